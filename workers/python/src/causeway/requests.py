"""What Centrifugo asks: a request for each type of event."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Optional

from .codec import Codec, by_name
from .encoding import Json
from .lazy import cached_property

if TYPE_CHECKING:
    from .streams import Message


class Request:
    """What all events have in common. A field that an event does not have is empty.

    Fields that carry nested messages, and those of newer versions of Centrifugo, are in ``message``.
    """

    _message: ClassVar[str]

    def __init__(self, body: bytes, context: bytes, codec: Optional[Codec] = None) -> None:
        """Take an encoded message and the context, by default in protobuf."""
        self._codec = codec or by_name("proto")
        self._context = context
        # Nearly every handler looks at it. To decode it when it is first used would take longer.
        self.message: Any = self._codec.decoders[self._message](body)
        """The message with all its fields: a class in ``causeway.proxy``, or with JSON an object with the same attributes."""

    @cached_property
    def headers(self) -> Mapping[str, Sequence[str]]:
        """The headers of Centrifugo's call, by name in lower case: those that it forwards and its own, such as ``user-agent``."""
        decoded = json.loads(self._context) if self._context else None
        # Another server's context may hold more than lists of strings.
        return {name: _strings(values) for name, values in decoded.items()} if isinstance(decoded, dict) else {}

    def header(self, name: str, default: Optional[str] = None) -> Optional[str]:
        """Return the first value of a header, or ``default``. Names are case-insensitive."""
        values = self.headers.get(name.lower())
        return values[0] if values else default

    @cached_property
    def context(self) -> dict[str, Any]:
        """What middlewares leave for each other and for the handler; empty at first, and sent nowhere."""
        return {}

    @property
    def client(self) -> str:
        """The id of the client's connection."""
        return self._text("client")

    @property
    def user(self) -> str:
        """The id of the user."""
        return self._text("user")

    @property
    def transport(self) -> str:
        """The client's transport, such as ``websocket``."""
        return self._text("transport")

    @property
    def protocol(self) -> str:
        """The client's protocol: ``json`` or ``protobuf``."""
        return self._text("protocol")

    @property
    def encoding(self) -> str:
        """The encoding of the client's data: ``json`` or ``binary``."""
        return self._text("encoding")

    @cached_property
    def data(self) -> bytes:
        """The data that the client sent; decoded if Centrifugo sent it as base64."""
        message = self.message
        encoded = getattr(message, "b64data", "")
        return base64.b64decode(encoded, validate=True) if encoded else self._codec.raw(message, "data")

    @cached_property
    def json(self) -> Json:
        """The data, decoded as JSON; ``None`` when there is none."""
        if getattr(self.message, "b64data", ""):
            return json.loads(self.data)
        return self._codec.json(self.message, "data")

    @cached_property
    def meta(self) -> Json:
        """What the application attached to the connection, hidden from the client; ``None`` when there is nothing."""
        return self._codec.json(self.message, "meta")

    @property
    def labels(self) -> dict[str, str]:
        """The labels that the application attached to the connection."""
        return dict(getattr(self.message, "labels", {}))

    def _text(self, field: str) -> str:
        """Return a field of the message, or an empty string where the message does not have it."""
        return str(getattr(self.message, field, ""))


class _ChannelRequest(Request):
    @property
    def channel(self) -> str:
        """The channel."""
        return str(self.message.channel)


class _KeyRequest(_ChannelRequest):
    @property
    def key(self) -> str:
        """The key of the entry."""
        return str(self.message.key)


class ConnectRequest(Request):
    """A client connects."""

    _message = "ConnectRequest"

    @property
    def name(self) -> str:
        """The name of the client's application."""
        return str(self.message.name)

    @property
    def version(self) -> str:
        """The version of the client's application."""
        return str(self.message.version)

    @property
    def channels(self) -> list[str]:
        """The channels that the client asks to be subscribed to."""
        return list(self.message.channels)


class RefreshRequest(Request):
    """A connection is about to expire."""

    _message = "RefreshRequest"


class SubscribeRequest(_ChannelRequest):
    """A client subscribes to a channel."""

    _message = "SubscribeRequest"

    @property
    def token(self) -> str:
        """The client's subscription token."""
        return str(self.message.token)


class PublishRequest(_ChannelRequest):
    """A client publishes to a channel."""

    _message = "PublishRequest"


class RpcRequest(Request):
    """A client calls a method."""

    _message = "RPCRequest"

    @property
    def method(self) -> str:
        """The name of the method."""
        return str(self.message.method)


class SubRefreshRequest(_ChannelRequest):
    """A subscription is about to expire."""

    _message = "SubRefreshRequest"


class NotifyCacheEmptyRequest(_ChannelRequest):
    """A cache channel has no publication."""

    _message = "NotifyCacheEmptyRequest"


class NotifyChannelStateRequest(Request):
    """Channels were occupied or vacated."""

    _message = "NotifyChannelStateRequest"

    @property
    def events(self) -> list[Any]:
        """What happened: each event has ``time_ms``, ``channel`` and ``type``."""
        return list(self.message.events)


class MapPublishRequest(_KeyRequest):
    """A client sets an entry of a map channel."""

    _message = "MapPublishRequest"


class MapRemoveRequest(_KeyRequest):
    """A client removes an entry from a map channel."""

    _message = "MapRemoveRequest"


class SharedPollRefreshRequest(_ChannelRequest):
    """Centrifugo polls the state of items for its clients."""

    _message = "SharedPollRefreshRequest"

    @property
    def items(self) -> list[Any]:
        """The items to return: each has ``key``, and the ``version`` that Centrifugo knows."""
        return list(self.message.items)


class _StreamRequest(_ChannelRequest):
    @property
    def stream(self) -> str:
        """The id of the stream, with which ``Rpc.stream`` publishes to it and closes it."""
        return self.header("stream") or ""


class SubscribeStreamRequest(_StreamRequest):
    """A client subscribes to a channel, and gets a stream of its own."""

    _message = "SubscribeRequest"

    _messages: Optional[AsyncIterator[Message]] = None

    @property
    def token(self) -> str:
        """The client's subscription token."""
        return str(self.message.token)

    @property
    def messages(self) -> AsyncIterator[Message]:
        """What the client publishes to the stream, for a handler that is an async generator.

        Raises ``RuntimeError`` if there is no such iterator: the stream is unidirectional, or the server runs one request at a
        time; there, and if the handler returns a result, ``on_stream_publish`` gets what the client publishes.
        """
        if self._messages is None:
            raise RuntimeError("messages are for generators that answer a bidirectional subscription, with concurrency")
        return self._messages


class StreamPublishRequest(_StreamRequest):
    """A client publishes to the stream of its bidirectional subscription."""

    _message = "PublishRequest"


class StreamEndRequest(_StreamRequest):
    """The stream of a subscription has ended."""

    _message = "SubscribeRequest"

    @property
    def token(self) -> str:
        """The client's subscription token."""
        return str(self.message.token)


def _strings(values: Any) -> list[str]:
    listed = values if isinstance(values, list) else [values]
    return [str(value) for value in listed if isinstance(value, (str, int, float))]
