"""JSON on the wire."""

from __future__ import annotations

import json
from typing import Any

Json = Any
"""Any value that JSON can represent, or ``bytes``, which are sent as they are."""

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def to_bytes(value: Json) -> bytes:
    """Encode a value as JSON; return bytes as they are.

    Raises ``TypeError`` or ``ValueError`` when JSON cannot represent the value, such as NaN.
    """
    return value if isinstance(value, bytes) else _encode(value).encode()
