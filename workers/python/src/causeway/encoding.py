"""JSON on the wire."""

from __future__ import annotations

import json
from typing import Any

Json = Any
"""Any value that JSON can represent, or ``bytes``, which are sent as they are."""

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def to_bytes(value: Json) -> bytes:
    """Encode a value as JSON; return bytes as they are."""
    return value if isinstance(value, bytes) else _encode(value).encode()
