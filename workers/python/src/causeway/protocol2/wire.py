"""The frames of protocol 2, as they are written and read most often."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any, Union

from .. import frame
from ..frame import CONTROL, ERROR, JSON, PONG, STOP, STREAM
from ..worker import REPLACE

NUMBERED = struct.Struct("<BBIIBBII")
"""The header of a request: version and length, flags, length of the payload, checksum, stream bits, zero, and both options."""

NUMBERED_FIRST = 0x15
"""The first byte of a frame with two options."""

PONG_FRAME = frame.encode(b"", stream=PONG)

_CHECKED = struct.Struct("<BBI")
_STREAM_BITS = struct.Struct("<IBB")
_OPTIONS = struct.Struct("<II")
_HEADS: dict[int, bytes] = {}


def answer(number: int, payload: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the parts of the frame that answers a request."""
    length = len(payload)
    head = _HEADS.get(length)
    if head is None:
        checked = _CHECKED.pack(NUMBERED_FIRST, 0, length)
        head = checked + _STREAM_BITS.pack(zlib.crc32(checked), 0, 0)
        # Most lengths come again.
        if length < 4096:
            _HEADS[length] = head
    return head, _OPTIONS.pack(0, number), payload


def error(number: int, text: bytes) -> bytes:
    """Return the frame that fails a request or ends its stream with an error."""
    return frame.encode(text, ERROR, (0, number))


def replace(number: int) -> bytes:
    """Return the frame that hands a request to another worker."""
    return frame.encode(REPLACE, options=(len(REPLACE), number))


def message(number: int, payload: bytes) -> bytes:
    """Return the frame of a stream's message."""
    return frame.encode(payload, options=(0, number), stream=STREAM)


def end(number: int) -> bytes:
    """Return the frame that ends a stream."""
    return frame.encode(b"", options=(0, number), stream=STREAM | STOP)


def command(value: dict[str, Any]) -> bytes:
    """Return a control frame."""
    return frame.encode(json.dumps(value, separators=(",", ":")).encode(), CONTROL | JSON)


def decode_command(payload: Union[bytes, bytearray]) -> dict[str, Any]:
    """Decode a control frame; a command that is not a JSON object is empty."""
    try:
        decoded = json.loads(payload)
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}
