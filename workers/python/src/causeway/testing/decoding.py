"""Responses as plain values: the other direction of the codecs, for tests."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from ..codec import Codec
from ..encoding import JSON_FIELDS
from ..events import Event

_BASE64 = "b64"


def plain(codec: Codec, event: Event, response: bytes, *, in_stream: bool = False) -> dict[str, Any]:
    """Return the fields that are set in a response, or in a message of a stream. What carries JSON is decoded."""
    if codec.name == "json":
        decoded: dict[str, Any] = _json(json.loads(response))
        return decoded
    from .._proto import proxy_pb2

    kind = proxy_pb2.StreamSubscribeResponse if in_stream else event.response
    return fields_of(kind.FromString(response))


def fields_of(message: Any) -> dict[str, Any]:
    """Return the fields that are set in a protobuf message. What carries JSON is decoded."""
    return {descriptor.name: _field(descriptor.name, value) for descriptor, value in message.ListFields()}


def _json(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return [_json(entry) for entry in value] if isinstance(value, list) else value
    fields = {}
    for name, entry in value.items():
        if name.startswith(_BASE64):
            fields[name[len(_BASE64) :]] = base64.b64decode(entry)
        else:
            fields[name] = entry if name in JSON_FIELDS else _json(entry)
    return fields


def _field(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return _data(value) if name in JSON_FIELDS else value
    if isinstance(value, (str, bool, int, float)):
        return value
    if hasattr(value, "ListFields"):
        return fields_of(value)
    if hasattr(value, "items"):
        return {key: _field("", entry) for key, entry in value.items()}
    return [_field("", entry) for entry in value]


def _data(value: bytes) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
