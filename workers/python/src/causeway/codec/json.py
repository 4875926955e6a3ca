"""Messages as JSON, in the shape of Centrifugo's HTTP proxy.

Names are those of the protobuf fields. ``data``, ``info`` and ``meta`` are JSON; what is not JSON is base64, in ``b64data``,
``b64info`` and ``b64meta``. Centrifugo's own description: https://centrifugal.dev/docs/server/proxy.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, NoReturn, Optional

from ..encoding import to_text
from .base import Codec, Decoders
from .shapes import EMPTY, INTEGERS, MESSAGES, Kind

if TYPE_CHECKING:
    from ..events import Event
    from ..results import Publication, Result

# They return where the value ends, and are those that json itself uses.
_scan_string: Callable[[str, int], tuple[str, int]] = getattr(json.decoder, "scanstring")  # noqa: B009
_scan_value: Callable[[str, int], tuple[Any, int]] = getattr(json.JSONDecoder(), "scan_once")  # noqa: B009
_SPACE = " \t\n\r"


class _JsonCodec(Codec):
    """Messages are ``Record``s."""

    name = "json"

    decoders = Decoders(lambda message: partial(_decode, message))

    def result(self, event: Event, result: Optional[Result]) -> bytes:
        fields = _message(event.result_message, vars(result)) if result is not None else "{}"
        return f'{{"result":{fields}}}'.encode()

    def refusal(self, event: Event, kind: str, fields: Mapping[str, Any]) -> bytes:
        return f'{{"{kind}":{_message(kind.capitalize(), fields)}}}'.encode()

    def opening(self, response: bytes) -> bytes:
        return b'{"subscribe_response":%b}' % response

    def publication(self, publication: Publication) -> bytes:
        return f'{{"publication":{_message("Publication", vars(publication))}}}'.encode()

    def message(self, name: str, fields: Mapping[str, Any]) -> bytes:
        return _message(name, fields).encode()

    def raw(self, message: Record, field: str) -> bytes:
        return message.raw(field)

    def json(self, message: Record, field: str) -> Any:
        fields = message.fields
        # What is not JSON, or is nested deeply, is base64.
        return json.loads(message.raw(field)) if f"b64{field}" in fields else fields.get(field)


CODEC = _JsonCodec()


class Record:
    """A decoded message: its attributes are named after its fields, and are empty where a field is not set."""

    __slots__ = ("_fields", "_name", "_text")

    def __init__(self, name: str, fields: dict[str, Any], text: str) -> None:
        """Take the name of the message, its decoded fields and the JSON that they were decoded from."""
        self._name = name
        self._fields = fields
        self._text = text

    @property
    def fields(self) -> dict[str, Any]:
        """All fields that are set, those that ``causeway.proxy`` does not know included."""
        return self._fields

    def raw(self, name: str) -> bytes:
        """Return the JSON of a field as it was sent; nothing when it is not set."""
        if name not in self._fields:
            return base64.b64decode(self._fields.get(f"b64{name}", ""), validate=True)
        # In a JSON string the quotes would be escaped: what is found once is the field.
        key = f'"{name}":'
        if self._text.count(key) == 1:
            start = _skip(self._text, self._text.index(key) + len(key))
            value, end = _scan_value(self._text, start)
            if value == self._fields[name]:
                return self._text[start:end].encode()
        return _slices(self._text).get(name, "").encode()

    def __getattr__(self, name: str) -> Any:
        kind = MESSAGES[self._name].get(name)
        if kind is None:
            raise AttributeError(f"{self._name} has no field {name}")
        if kind == "bytes":
            return self.raw(name)
        value = self._fields.get(name)
        if isinstance(kind, list):
            return [_record(kind[0], entry) for entry in value or ()]
        if isinstance(kind, dict):
            return {key: _record(kind["string"], entry) for key, entry in (value or {}).items()}
        return EMPTY.get(kind) if value is None else _record(kind, value)

    def __repr__(self) -> str:
        return f"{self._name}({self._fields})"


def _decode(message: str, body: bytes) -> Record:
    text = body.decode() or "{}"
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError(f"expected a JSON object, found {text[:50]!r}")
    return Record(message, fields, text)


def _record(kind: str, value: Any) -> Any:
    return Record(kind, value, json.dumps(value)) if kind in MESSAGES else value


def _slices(text: str) -> dict[str, str]:
    """Return the text of each member of a JSON object that is known to be valid."""
    slices: dict[str, str] = {}
    at = text.index("{") + 1
    while True:
        at = _skip(text, at)
        if text[at] == "}":
            return slices
        if text[at] == ",":
            at = _skip(text, at + 1)
        name, at = _scan_string(text, at + 1)
        start = _skip(text, _skip(text, at) + 1)
        _, at = _scan_value(text, start)
        slices[name] = text[start:at]


def _skip(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


def _message(name: str, fields: Any) -> str:
    """Encode a message: a mapping of its fields, or a protobuf message of ``causeway.proxy``."""
    members = []
    shape = MESSAGES[name]
    for field, value in (fields if isinstance(fields, Mapping) else _fields(fields)).items():
        if value is None:
            continue
        try:
            kind = shape.get(field)
            if kind is None:
                raise AttributeError(f"{name} has no such field")
            if kind == "bytes":
                if value != b"":
                    members.append(_embedded(field, value))
            elif value or isinstance(value, Mapping):
                text = _value(kind, value)
                if text:
                    members.append(f'"{field}":{text}')
        except (AttributeError, TypeError, ValueError) as error:
            raise TypeError(f"{field}: {error}") from error
    return f"{{{','.join(members)}}}"


def _embedded(field: str, value: Any) -> str:
    """Encode a field that holds JSON. Bytes are embedded if they are JSON, so that logs are readable, or else base64."""
    if not isinstance(value, bytes):
        return f'"{field}":{to_text(value)}'
    if len(value) <= _LARGE and value.count(b"[") + value.count(b"{") <= _DEPTH:
        with suppress(ValueError):
            text = value.decode()
            _decode_strictly(text)
            return f'"{field}":{text}'
    # The server takes this prefix even where Centrifugo's message does not have the field.
    return f'"b64{field}":"{base64.b64encode(value).decode()}"'


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_LARGE = 64 * 1024
"""Bytes that are not worth looking at."""

_DEPTH = 490
"""Levels of nesting that the server takes in any case."""

_decode_strictly = json.JSONDecoder(parse_constant=_refuse).decode


def _value(kind: Kind, value: Any) -> str:
    if isinstance(kind, list):
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            raise TypeError(f"expected a list, found {type(value).__name__}")
        return f"[{','.join(_value(kind[0], entry) for entry in value)}]"
    if isinstance(kind, dict):
        if not isinstance(value, Mapping):
            raise TypeError(f"expected a mapping, found {type(value).__name__}")
        members = (f"{_value('string', key)}:{_value(kind['string'], entry)}" for key, entry in value.items())
        return f"{{{','.join(members)}}}" if value else ""
    if kind in MESSAGES:
        return _message(kind, value)
    if kind == "string" and isinstance(value, str):
        return to_text(value)
    if kind == "bool" and isinstance(value, bool):
        return "true" if value else "false"
    if kind in INTEGERS and isinstance(value, int):
        low, high = INTEGERS[kind]
        if not low <= value <= high:
            raise ValueError(f"{value} is out of the range of {kind}")
        return str(int(value))
    raise TypeError(f"expected {kind}, found {type(value).__name__}")


def _fields(message: Any) -> dict[str, Any]:
    """Return the fields of a protobuf message that are set."""
    try:
        return {descriptor.name: value for descriptor, value in message.ListFields()}
    except AttributeError:
        raise TypeError(f"expected a mapping or a message, found {type(message).__name__}") from None
