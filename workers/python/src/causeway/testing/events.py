"""What a client sends, and what Centrifugo tells about it."""

from __future__ import annotations

import importlib.util
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Optional, TypeVar

from ..app import App
from ..codec import by_name
from ..codec.shapes import MESSAGES
from ..encoding import Json
from ..events import Event
from ..failures import Stop, failure
from ..injection import OVERRIDES
from ..worker import Payload
from .answers import Answer, decoded
from .decoding import plain

A = TypeVar("A")
S = TypeVar("S")


class Events(ABC, Generic[A, S]):
    """A client that has connected, or will: what it sends, and what Centrifugo tells about it."""

    __test__ = False

    def __init__(
        self,
        app: App,
        *,
        user: str = "",
        headers: Optional[Mapping[str, str]] = None,
        provide: Optional[Mapping[Any, Any]] = None,
        raise_exceptions: bool = True,
    ) -> None:
        """Take an application, and the user and the headers of all requests.

        ``provide`` has values by type, which handlers get instead of what the application's providers provide. Exceptions of
        handlers are raised here, unless ``raise_exceptions`` is false.
        """
        self.app = app
        # What a server offers is in the environment, and there is none.
        if app._codec is None and (app._wanted_codec == "json" or importlib.util.find_spec("google.protobuf") is None):
            app._codec = by_name("json")
        self.user = user
        """The user of requests that have one; set by ``connect``."""
        self.meta: Json = None
        """What is attached to the connection; set by ``connect``."""
        self._headers = dict(headers or {})
        self._provide = dict(provide or {})
        self._raise_exceptions = raise_exceptions

    def connect(self, data: Json = None, **fields: Any) -> A:
        """Connect. The requests that follow have the user and the meta of the result, as from Centrifugo."""
        return self._send(Event.CONNECT, data=data, **fields)

    def refresh(self, **fields: Any) -> A:
        """Have the connection refreshed."""
        return self._send(Event.REFRESH, **fields)

    def subscribe(self, channel: str, data: Json = None, **fields: Any) -> A:
        """Subscribe to a channel."""
        return self._send(Event.SUBSCRIBE, channel=channel, data=data, **fields)

    def publish(self, channel: str, data: Json = None, **fields: Any) -> A:
        """Publish to a channel."""
        return self._send(Event.PUBLISH, channel=channel, data=data, **fields)

    def rpc(self, method: str, data: Json = None, **fields: Any) -> A:
        """Call a method."""
        return self._send(Event.RPC, method=method, data=data, **fields)

    def sub_refresh(self, channel: str, **fields: Any) -> A:
        """Have a subscription refreshed."""
        return self._send(Event.SUB_REFRESH, channel=channel, **fields)

    def notify_cache_empty(self, channel: str, **fields: Any) -> A:
        """Notify of an empty cache."""
        return self._send(Event.NOTIFY_CACHE_EMPTY, channel=channel, **fields)

    def notify_channel_state(self, events: Sequence[Any], **fields: Any) -> A:
        """Notify of channels that were occupied or vacated."""
        return self._send(Event.NOTIFY_CHANNEL_STATE, events=events, **fields)

    def map_publish(self, channel: str, key: str, data: Json = None, **fields: Any) -> A:
        """Set an entry of a map channel."""
        return self._send(Event.MAP_PUBLISH, channel=channel, key=key, data=data, **fields)

    def map_remove(self, channel: str, key: str, **fields: Any) -> A:
        """Remove an entry of a map channel."""
        return self._send(Event.MAP_REMOVE, channel=channel, key=key, **fields)

    def shared_poll_refresh(self, channel: str, items: Sequence[Any], **fields: Any) -> A:
        """Poll items."""
        return self._send(Event.SHARED_POLL_REFRESH, channel=channel, items=items, **fields)

    def subscribe_unidirectional(self, channel: str, data: Json = None, **fields: Any) -> S:
        """Subscribe to a channel, and get a stream."""
        return self._open(Event.SUBSCRIBE_UNIDIRECTIONAL, channel=channel, data=data, **fields)

    def subscribe_bidirectional(self, channel: str, data: Json = None, **fields: Any) -> S:
        """Subscribe to a channel, and get a stream to publish to."""
        return self._open(Event.SUBSCRIBE_BIDIRECTIONAL, channel=channel, data=data, **fields)

    def stream_publish(self, channel: str, data: Json = None, **fields: Any) -> A:
        """Publish to a stream that the server holds."""
        return self._send(Event.STREAM_PUBLISH, channel=channel, data=data, **fields)

    def stream_end(self, channel: str, **fields: Any) -> A:
        """Leave a stream."""
        return self._send(Event.STREAM_END, channel=channel, **fields)

    @abstractmethod
    def _send(self, event: Event, **fields: Any) -> A: ...

    @abstractmethod
    def _open(self, event: Event, **fields: Any) -> S: ...

    def _payload(
        self, event: Event, stream: str = "test-stream", headers: Optional[Mapping[str, str]] = None, **fields: Any
    ) -> Payload:
        """Encode a request, whose message has these fields beside those that all requests of this client have."""
        known = {**_CLIENT, "user": self.user, "meta": self.meta}
        names = MESSAGES[event.request._message]
        message = {name: value for name, value in known.items() if name in names}
        body = self.app.codec.message(event.request._message, {**message, **fields})
        context = {name.lower(): [value] for name, value in {**self._headers, **(headers or {})}.items()}
        if event.is_stream or event in (Event.STREAM_PUBLISH, Event.STREAM_END):
            context["stream"] = [stream]
        return Payload(json.dumps({**context, "type": [event.value]}, separators=(",", ":")).encode(), body)

    def _answer(self, event: Event, response: bytes) -> Answer:
        answer = Answer(event, **decoded(event, plain(self.app.codec, event, response)))
        if event is Event.CONNECT and answer.result is not None:
            self.user, self.meta = answer.result.user, answer.result.meta
        return answer

    def _failed(self, event: Event, error: Exception) -> Answer:
        if self._raise_exceptions or isinstance(error, Stop):
            raise error
        return Answer(event, failure=failure(error).decode())

    @contextmanager
    def _provided(self) -> Iterator[None]:
        token = OVERRIDES.set(self._provide)
        try:
            yield
        finally:
            OVERRIDES.reset(token)


_CLIENT = {"client": "test-client", "transport": "websocket", "protocol": "json", "encoding": "json"}
