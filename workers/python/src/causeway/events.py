"""Centrifugo's events: what it asks, and what can be answered."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Optional, Union

from google.protobuf.message import Message

from ._proto import proxy_pb2 as pb
from .lazy import cached_property

Json = Any
"""Whatever JSON can hold, or ``bytes``, which are passed on as they are."""

_to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def to_bytes(value: Json) -> bytes:
    """Return bytes as they are, and anything else as JSON."""
    if isinstance(value, bytes):
        return value
    return _to_json(value).encode()


class Request:
    """What all events have: a message and the metadata that Centrifugo forwarded."""

    _message: ClassVar[type[Message]]

    def __init__(self, body: bytes, headers: Union[Mapping[str, Sequence[str]], bytes]) -> None:
        self.message: Any = self._message.FromString(body)
        """The protobuf message, for fields that have no property here."""
        self._headers = headers

    @cached_property
    def headers(self) -> Mapping[str, Sequence[str]]:
        """The metadata of the call; names are in lower case."""
        if isinstance(self._headers, bytes):
            return dict(json.loads(self._headers)) if self._headers else {}
        return self._headers

    def header(self, name: str, default: Optional[str] = None) -> Optional[str]:
        """Return the first value of a header."""
        values = self.headers.get(name.lower())
        return values[0] if values else default

    @property
    def client(self) -> str:
        """The id of the client's connection."""
        return str(getattr(self.message, "client", ""))

    @property
    def user(self) -> str:
        """The id of the user."""
        return str(getattr(self.message, "user", ""))

    @property
    def labels(self) -> dict[str, str]:
        """What the application attached to the connection."""
        return dict(getattr(self.message, "labels", {}))

    @cached_property
    def data(self) -> bytes:
        """What the client sent along, decoded from base64 where Centrifugo was told to use it."""
        encoded = getattr(self.message, "b64data", "")
        return base64.b64decode(encoded) if encoded else getattr(self.message, "data", b"")

    @cached_property
    def json(self) -> Json:
        """The data as JSON; ``None`` when there is none."""
        return json.loads(self.data) if self.data else None

    @cached_property
    def meta(self) -> Json:
        """What the application attached to the connection out of the client's sight."""
        meta = bytes(getattr(self.message, "meta", b""))
        return json.loads(meta) if meta else None


class _ChannelRequest(Request):
    @property
    def channel(self) -> str:
        """The channel."""
        return str(self.message.channel)


class ConnectRequest(Request):
    """A client wants to connect."""

    _message = pb.ConnectRequest

    @property
    def channels(self) -> list[str]:
        """The channels that the client asks for."""
        return list(self.message.channels)


class RefreshRequest(Request):
    """A connection is about to expire."""

    _message = pb.RefreshRequest


class SubscribeRequest(_ChannelRequest):
    """A client wants to subscribe to a channel."""

    _message = pb.SubscribeRequest

    @property
    def token(self) -> str:
        """The subscription token that the client sent."""
        return str(self.message.token)


class PublishRequest(_ChannelRequest):
    """A client wants to publish into a channel."""

    _message = pb.PublishRequest


class RpcRequest(Request):
    """A client calls a method."""

    _message = pb.RPCRequest

    @property
    def method(self) -> str:
        """The method's name."""
        return str(self.message.method)


class SubRefreshRequest(_ChannelRequest):
    """A subscription is about to expire."""

    _message = pb.SubRefreshRequest


class NotifyCacheEmptyRequest(_ChannelRequest):
    """A cache channel has no publication."""

    _message = pb.NotifyCacheEmptyRequest


class NotifyChannelStateRequest(Request):
    """Channels were occupied or vacated."""

    _message = pb.NotifyChannelStateRequest

    @property
    def events(self) -> list[Any]:
        """What happened: each has ``time_ms``, ``channel`` and ``type``."""
        return list(self.message.events)


class MapPublishRequest(_ChannelRequest):
    """A client wants to set an entry of a map channel."""

    _message = pb.MapPublishRequest

    @property
    def key(self) -> str:
        """The entry's key."""
        return str(self.message.key)


class MapRemoveRequest(_ChannelRequest):
    """A client wants to remove an entry of a map channel."""

    _message = pb.MapRemoveRequest

    @property
    def key(self) -> str:
        """The entry's key."""
        return str(self.message.key)


class SharedPollRefreshRequest(_ChannelRequest):
    """Centrifugo asks for the state of what clients poll together."""

    _message = pb.SharedPollRefreshRequest

    @property
    def items(self) -> list[Any]:
        """What is asked for: each has ``key`` and ``version``."""
        return list(self.message.items)


@dataclass
class Error(Exception):
    """The event is refused with a code; the client stays. Return it or raise it."""

    code: int
    message: str
    temporary: bool = False


@dataclass
class Disconnect(Exception):  # noqa: N818 - an answer, not an error
    """The client is disconnected. Return it or raise it.

    Codes 4000 to 4499 let the client connect again, 4500 to 4999 do not.
    """

    code: int
    reason: str


class Stop(Exception):  # noqa: N818 - a wish, not an error
    """Raise it to have the event handled by another worker, and this one replaced."""


class Result:
    """What all results have: the names of a protobuf result's fields."""

    _bytes: ClassVar[tuple[str, ...]] = ("data", "info", "meta", "stream_data")

    def fill(self, message: Any) -> None:
        """Copy what is set into a protobuf result."""
        for name, value in vars(self).items():
            if value is None:
                continue
            if name in self._bytes:
                setattr(message, name, to_bytes(value))
            elif isinstance(value, (list, tuple)):
                getattr(message, name).extend(value)
            elif isinstance(value, dict):
                target = getattr(message, name)
                for key, entry in value.items():
                    if isinstance(entry, Message):
                        target[key].CopyFrom(entry)
                    else:
                        target[key] = entry
            elif isinstance(value, Message):
                getattr(message, name).CopyFrom(value)
            else:
                setattr(message, name, value)


@dataclass
class ConnectResult(Result):
    """The client may connect."""

    user: str = ""
    data: Json = None
    channels: Sequence[str] = ()
    expire_at: int = 0
    info: Json = None
    meta: Json = None
    labels: Optional[dict[str, str]] = None
    subs: Optional[dict[str, pb.SubscribeOptions]] = None


@dataclass
class RefreshResult(Result):
    """The connection goes on, or has expired."""

    expire_at: int = 0
    expired: bool = False
    info: Json = None
    meta: Json = None


@dataclass
class SubscribeResult(Result):
    """The client may subscribe."""

    data: Json = None
    info: Json = None
    expire_at: int = 0
    allow: Sequence[str] = ()


@dataclass
class PublishResult(Result):
    """The publication may go on, with other data if they are given."""

    data: Json = None
    skip_history: bool = False
    tags: Optional[dict[str, str]] = None


@dataclass
class RpcResult(Result):
    """The answer to a call."""

    data: Json = None


@dataclass
class SubRefreshResult(Result):
    """The subscription goes on, or has expired."""

    expire_at: int = 0
    expired: bool = False
    info: Json = None


@dataclass
class NotifyCacheEmptyResult(Result):
    """Whether the application has filled the cache."""

    populated: bool = False


@dataclass
class NotifyChannelStateResult(Result):
    """Taken note."""


@dataclass
class MapPublishResult(Result):
    """The entry may be set, under another key or with other data if they are given."""

    key: str = ""
    data: Json = None
    tags: Optional[dict[str, str]] = None
    score: int = 0


@dataclass
class MapRemoveResult(Result):
    """The entry may be removed."""

    key: str = ""


@dataclass
class SharedPollRefreshResult(Result):
    """The state that was asked for."""

    items: Sequence[pb.SharedPollRefreshResultItem] = ()
    epoch: str = ""


Answer = Union[Result, Error, Disconnect, None]


@dataclass(frozen=True)
class Event:
    """One kind of event: its request and its response."""

    kind: str
    request: type[Request]
    response: type[Message]


EVENTS = {
    event.kind: event
    for event in (
        Event("connect", ConnectRequest, pb.ConnectResponse),
        Event("refresh", RefreshRequest, pb.RefreshResponse),
        Event("subscribe", SubscribeRequest, pb.SubscribeResponse),
        Event("publish", PublishRequest, pb.PublishResponse),
        Event("rpc", RpcRequest, pb.RPCResponse),
        Event("subrefresh", SubRefreshRequest, pb.SubRefreshResponse),
        Event("notifycacheempty", NotifyCacheEmptyRequest, pb.NotifyCacheEmptyResponse),
        Event("notifychannelstate", NotifyChannelStateRequest, pb.NotifyChannelStateResponse),
        Event("mappublish", MapPublishRequest, pb.MapPublishResponse),
        Event("mapremove", MapRemoveRequest, pb.MapRemoveResponse),
        Event("sharedpollrefresh", SharedPollRefreshRequest, pb.SharedPollRefreshResponse),
    )
}
