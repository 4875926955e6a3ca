"""goridge frames, version 1.

Integers are little-endian: version and header length (1 byte), flags (1), payload length (4), CRC-32 of these six bytes (4),
stream bits (1), zero (1), options (4 each), payload.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple, Optional, Union

CONTROL = 0x01
RAW = 0x04
JSON = 0x08
MSGPACK = 0x10
GOB = 0x20
ERROR = 0x40
PROTO = 0x80

# Stream bits.
STREAM = 0x01
STOP = 0x02
PING = 0x04
PONG = 0x08

_CHECKED = struct.Struct("<BBI")
_REST = struct.Struct("<IBB")
_HEADER = struct.Struct("<BBIIBB")
_OPTIONS = tuple(struct.Struct(f"<{count}I") for count in range(11))


class Frame(NamedTuple):
    """A decoded frame."""

    payload: bytes
    flags: int = 0
    options: tuple[int, ...] = ()
    stream: int = 0


class FrameError(Exception):
    """The bytes are not a frame, so that the start of the next frame is unknown."""


def encode(payload: bytes, flags: int = 0, options: Sequence[int] = (), stream: int = 0) -> bytes:
    """Return the bytes of a frame; raise ``ValueError`` when there are more than ten options."""
    if len(options) > 10:
        raise ValueError("a frame has at most ten options")
    checked = _CHECKED.pack(0x13 + len(options), flags, len(payload))
    return checked + _REST.pack(zlib.crc32(checked), stream, 0) + _OPTIONS[len(options)].pack(*options) + payload


def decode(buffer: Union[bytes, bytearray], start: int = 0) -> Optional[tuple[Frame, int]]:
    """Decode the frame at ``start`` and return it with its end; return ``None`` when bytes are missing.

    Raises ``FrameError`` when the bytes are not a frame.
    """
    found = locate(buffer, start)
    if found is None:
        return None
    flags, stream, options, body, end = found
    return Frame(bytes(buffer[body:end]), flags, options, stream), end


def locate(buffer: Union[bytes, bytearray], start: int = 0) -> Optional[tuple[int, int, tuple[int, ...], int, int]]:
    """Decode like ``decode`` without copying the payload: return flags, stream, options, and the payload's start and end."""
    fixed = start + _HEADER.size
    if len(buffer) < fixed:
        return None
    first, flags, length, checksum, stream, _ = _HEADER.unpack_from(buffer, start)
    if not 0x13 <= first <= 0x1D:
        raise FrameError(f"not a frame: {buffer[start:fixed].hex()}")
    if zlib.crc32(buffer[start : start + _CHECKED.size]) != checksum:
        raise FrameError(f"wrong checksum of a frame: {buffer[start:fixed].hex()}")
    options = _OPTIONS[first - 0x13]
    body = fixed + options.size
    end = body + length
    if len(buffer) < end:
        return None
    return flags, stream, options.unpack_from(buffer, fixed), body, end
