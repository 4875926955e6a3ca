"""goridge frames, version 1: pure bytes.

All integers are little-endian: version and header length (a byte), flags (a byte), payload length (four), CRC-32 of these six
bytes (four), stream bits (a byte), zero (a byte), options (four each), payload.
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

_CHECKED = struct.Struct("<BBI")
_REST = struct.Struct("<IBB")
_HEADER = struct.Struct("<BBIIBB")
_OPTIONS = tuple(struct.Struct(f"<{count}I") for count in range(11))


class Frame(NamedTuple):
    """A frame that was read."""

    flags: int
    stream: int
    options: tuple[int, ...]
    payload: bytes


class FrameError(Exception):
    """The bytes are no frame, and where the next one begins cannot be known."""


def encode(flags: int, payload: bytes, options: Sequence[int] = (), stream: int = 0) -> bytes:
    """Return one complete frame."""
    if len(options) > 10:
        raise ValueError("a frame has ten options at the most")
    checked = _CHECKED.pack(0x13 + len(options), flags, len(payload))
    return checked + _REST.pack(zlib.crc32(checked), stream, 0) + _OPTIONS[len(options)].pack(*options) + payload


def decode(buffer: Union[bytes, bytearray], start: int = 0) -> Optional[tuple[Frame, int]]:
    """Return the frame at ``start`` and where it ends, or ``None`` when bytes are missing.

    Raises ``FrameError`` when the bytes there are no frame.
    """
    found = locate(buffer, start)
    if found is None:
        return None
    flags, stream, options, body, end = found
    return Frame(flags, stream, options, bytes(buffer[body:end])), end


def locate(buffer: Union[bytes, bytearray], start: int = 0) -> Optional[tuple[int, int, tuple[int, ...], int, int]]:
    """Do as ``decode``, but copy no payload: return flags, stream, options, and where the payload begins and ends."""
    fixed = start + _HEADER.size
    if len(buffer) < fixed:
        return None
    first, flags, length, checksum, stream, _ = _HEADER.unpack_from(buffer, start)
    if not 0x13 <= first <= 0x1D:
        raise FrameError(f"not a frame: {bytes(buffer[start:fixed])!r}")
    if zlib.crc32(buffer[start : start + _CHECKED.size]) != checksum:
        raise FrameError(f"a frame with a wrong checksum: {bytes(buffer[start:fixed])!r}")
    options = _OPTIONS[first - 0x13]
    body = fixed + options.size
    end = body + length
    if len(buffer) < end:
        return None
    return flags, stream, options.unpack_from(buffer, fixed), body, end
