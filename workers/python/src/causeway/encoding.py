"""JSON on the wire."""

from __future__ import annotations

import json
from typing import Any

Json = Any
"""Any value that JSON can represent, or ``bytes``, which are sent as they are."""

JSON_FIELDS = frozenset(("data", "info", "meta", "stream_data", "prev_data"))
"""Bytes fields of Centrifugo's messages that carry JSON."""

to_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
"""Encodes a value as JSON. Raises ``TypeError`` or ``ValueError`` when JSON cannot represent it, such as NaN."""


def to_bytes(value: Json) -> bytes:
    """Encode a value as JSON; return bytes as they are.

    Raises ``TypeError`` or ``ValueError`` when JSON cannot represent the value, such as NaN.
    """
    return value if isinstance(value, bytes) else to_text(value).encode()
