"""Messages as protobuf."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from google.protobuf.message import Message

from .._proto import proxy_pb2 as pb
from ..encoding import JSON_FIELDS, to_bytes
from .base import Codec, Decoders

if TYPE_CHECKING:
    from ..events import Event
    from ..results import Publication, Result


class _ProtoCodec(Codec):
    """Messages of ``causeway.proxy``."""

    name = "proto"

    decoders = Decoders(lambda message: getattr(pb, message).FromString)

    def result(self, event: Event, result: Optional[Result]) -> bytes:
        response: Any = event.response()
        message = response.result
        message.SetInParent()
        if result is not None:
            _fill(message, vars(result))
        serialized: bytes = response.SerializeToString()
        return serialized

    def refusal(self, event: Event, kind: str, fields: Mapping[str, Any]) -> bytes:
        response: Any = event.response()
        refusal = getattr(response, kind)
        refusal.SetInParent()
        for name, value in fields.items():
            setattr(refusal, name, value)
        return _serialize(response)

    def opening(self, response: bytes) -> bytes:
        message = pb.StreamSubscribeResponse()
        message.subscribe_response.ParseFromString(response)
        # The field is set even if the response is empty.
        message.subscribe_response.SetInParent()
        return _serialize(message)

    def publication(self, publication: Publication) -> bytes:
        message = pb.StreamSubscribeResponse()
        message.publication.SetInParent()
        _fill(message.publication, vars(publication))
        return _serialize(message)

    def message(self, name: str, fields: Mapping[str, Any]) -> bytes:
        message = getattr(pb, name)()
        _fill(message, fields)
        return _serialize(message)

    def raw(self, message: Any, field: str) -> bytes:
        value: bytes = getattr(message, field, b"")
        return value

    def json(self, message: Any, field: str) -> Any:
        value = getattr(message, field, b"")
        return json.loads(value) if value else None


CODEC = _ProtoCodec()


def _serialize(message: Any) -> bytes:
    serialized: bytes = message.SerializeToString()
    return serialized


def _fill(message: Any, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if value is None:
            continue
        try:
            # In proto3, zero and empty mean "not set"; in JSON, they are values.
            if name in JSON_FIELDS:
                setattr(message, name, to_bytes(value))
            elif value:
                _set(message, name, value)
        except (AttributeError, TypeError, ValueError) as error:
            raise TypeError(f"{name}: {error}") from error


def _set(message: Any, name: str, value: Any) -> None:
    if isinstance(value, Message):
        getattr(message, name).CopyFrom(value)
    elif isinstance(value, Mapping):
        target = getattr(message, name)
        if isinstance(target, Message):
            target.SetInParent()
            _fill(target, value)
            return
        for key, entry in value.items():
            if isinstance(entry, Message):
                target[key].CopyFrom(entry)
            elif isinstance(entry, Mapping):
                _fill(target[key], entry)
            else:
                target[key] = entry
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        target = getattr(message, name)
        for entry in value:
            if isinstance(entry, Mapping):
                _fill(target.add(), entry)
            else:
                target.append(entry)
    else:
        setattr(message, name, value)
