"""JSON on the wire."""

from __future__ import annotations

import json
from typing import Any

Json = Any
"""Any value that JSON can represent, models of pydantic included, or ``bytes``, which are sent as they are."""

JSON_FIELDS = frozenset(("data", "info", "meta", "stream_data", "prev_data"))
"""Bytes fields of Centrifugo's messages that carry JSON."""


def _default(value: Any) -> Any:
    """Return what represents a model of pydantic in JSON."""
    dump = getattr(value, "model_dump", None)
    if dump is None or isinstance(value, type):
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    return dump(mode="json")


to_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_default).encode
"""Encodes a value as JSON. Raises ``TypeError`` or ``ValueError`` when JSON cannot represent it, such as NaN."""


def to_bytes(value: Json) -> bytes:
    """Encode a value as JSON; return bytes as they are.

    Raises ``TypeError`` or ``ValueError`` when JSON cannot represent the value, such as NaN.
    """
    return value if isinstance(value, bytes) else to_text(value).encode()
