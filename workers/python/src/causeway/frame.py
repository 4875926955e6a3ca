"""goridge frames, version 1: pure bytes.

All integers are little-endian: version and header length (a byte), flags (a byte), payload length (four), CRC-32 of these six
bytes (four), stream bits (a byte), zero (a byte), options (four each), payload.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple, Optional

CONTROL = 0x01
RAW = 0x04
JSON = 0x08
MSGPACK = 0x10
GOB = 0x20
ERROR = 0x40
PROTO = 0x80

_HEAD = struct.Struct("<BBI")
_TAIL = struct.Struct("<IBB")
_FIXED = 12


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
    head = _HEAD.pack(0x10 | (3 + len(options)), flags, len(payload))
    tail = _TAIL.pack(zlib.crc32(head), stream, 0)
    return head + tail + struct.pack(f"<{len(options)}I", *options) + payload


def decode(buffer: bytearray, start: int = 0) -> Optional[tuple[Frame, int]]:
    """Return the frame at ``start`` and where it ends, or ``None`` when bytes are missing.

    Raises ``FrameError`` when the bytes there are no frame.
    """
    if len(buffer) - start < _FIXED:
        return None
    first, flags, length = _HEAD.unpack_from(buffer, start)
    checksum, stream, _ = _TAIL.unpack_from(buffer, start + 6)
    words = first & 0x0F
    if first >> 4 != 1 or not 3 <= words <= 13:
        raise FrameError(f"not a frame: {bytes(buffer[start : start + _FIXED])!r}")
    if zlib.crc32(buffer[start : start + 6]) != checksum:
        raise FrameError(f"a frame with a wrong checksum: {bytes(buffer[start : start + _FIXED])!r}")
    body = start + 4 * words
    end = body + length
    if len(buffer) < end:
        return None
    options = struct.unpack_from(f"<{words - 3}I", buffer, start + _FIXED)
    return Frame(flags, stream, options, bytes(buffer[body:end])), end
