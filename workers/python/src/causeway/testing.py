"""Calls the handlers of an application without a server.

::

    client = TestClient(app)
    answer = client.connect({"name": "Ann"})
    assert answer.result == ConnectResult(user="42")
    assert client.rpc("orders.cancel", {"id": 7}).error == Error(403, "permission denied")

Events are encoded and decoded as on the way to a worker and back, so that what cannot be sent fails here, too.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from functools import partial
from typing import Any, Callable, Generic, Optional, TypeVar

from .app import App
from .codec import by_name
from .codec.shapes import MESSAGES
from .decoding import plain
from .encoding import Json
from .events import Disconnect, Error, Event
from .failures import Handled, Stop, failure, remember
from .handler import Handler, Style, encode, respond
from .handlers import enter
from .injection import OVERRIDES
from .requests import Request, SubscribeStreamRequest
from .results import Publication, Result
from .streams import StreamEncoder
from .worker import Payload

__all__ = ["Answer", "AsyncStream", "AsyncTestClient", "Stream", "TestClient"]

A = TypeVar("A")
S = TypeVar("S")


@dataclass
class Answer:
    """What an event is answered with: one of these is set."""

    event: Event
    result: Optional[Any] = None
    """The result of the event, such as a ``ConnectResult``. Its data are decoded JSON, or bytes if they are not JSON."""
    error: Optional[Error] = None
    """What the client gets instead of a result; it stays connected."""
    disconnect: Optional[Disconnect] = None
    """Disconnects the client."""
    failure: Optional[str] = None
    """Why there is no answer, as Centrifugo learns it; clients get an internal server error."""

    @property
    def ok(self) -> bool:
        """Whether there is a result."""
        return self.result is not None

    @property
    def data(self) -> Json:
        """The data of the result; ``None`` when there is none."""
        return getattr(self.result, "data", None)


@dataclass
class Stream(Answer):
    """The answer to a subscription that gets a stream, and an iterator of its publications if the handler is a generator.

    Each step runs the handler until it yields.
    """

    _publications: Iterator[Publication] = field(default_factory=lambda: iter(()), repr=False, compare=False)

    def __iter__(self) -> Iterator[Publication]:
        return self._publications

    def __next__(self) -> Publication:
        return next(self._publications)

    def close(self) -> None:
        """Leave, as a client does: the generator is closed."""
        close = getattr(self._publications, "close", None)
        if close is not None:
            close()


@dataclass
class AsyncStream(Answer):
    """A ``Stream`` of an ``AsyncTestClient``, whose client may publish to it."""

    _publications: Optional[AsyncIterator[Publication]] = field(default=None, repr=False, compare=False)
    _inbox: Any = field(default=None, repr=False, compare=False)

    def __aiter__(self) -> AsyncIterator[Publication]:
        return self

    async def __anext__(self) -> Publication:
        if self._publications is None:
            raise StopAsyncIteration
        return await self._publications.__anext__()

    def publish(self, data: Json) -> None:
        """Publish to the stream of a bidirectional subscription: the handler gets it in ``request.messages``."""
        if self._inbox is None:
            raise RuntimeError("clients publish to streams of generators that answer a bidirectional subscription")
        self._inbox.put(_bytes(data))

    async def close(self) -> None:
        """Leave, as a client does: the messages end, and the generator is closed."""
        if self._inbox is not None:
            self._inbox.end()
        close = getattr(self._publications, "aclose", None)
        if close is not None:
            await close()


class _Events(ABC, Generic[A, S]):
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
        self, event: Event, stream: str = "stream", headers: Optional[Mapping[str, str]] = None, **fields: Any
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
        answer = Answer(event, **_decoded(event, plain(self.app.codec, event, response)))
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


class TestClient(_Events[Answer, Stream]):
    """Calls handlers as a worker that serves one request at a time does. In a ``with`` block, the application is started."""

    def __enter__(self) -> TestClient:
        self._lifespan = self.app.lifespan()
        self.app._complete(self._lifespan.__aenter__())
        return self

    def __exit__(self, *raised: Any) -> None:
        self.app._complete(self._lifespan.__aexit__(*raised))

    def _send(self, event: Event, **fields: Any) -> Answer:
        try:
            with self._provided():
                response = self.app.answer(self._payload(event, **fields))
        except Exception as error:
            return self._failed(event, error)
        return self._answer(event, b"".join(response) if not isinstance(response, bytes) else response)

    def _open(self, event: Event, **fields: Any) -> Stream:
        try:
            with self._provided():
                messages = self.app.answer(self._payload(event, **fields))
                first = messages if isinstance(messages, bytes) else next(messages)
        except Exception as error:
            return Stream(**vars(self._failed(event, error)))
        if isinstance(messages, bytes):
            return Stream(**vars(self._answer(event, messages)))
        opening = plain(self.app.codec, event, first, in_stream=True)["subscribe_response"]
        return Stream(event, **_decoded(event, opening), _publications=self._publications(event, messages))

    def _publications(self, event: Event, messages: Iterator[bytes]) -> Iterator[Publication]:
        try:
            for message in messages:
                yield Publication(**plain(self.app.codec, event, message, in_stream=True)["publication"])
        finally:
            close = getattr(messages, "close", None)
            if close is not None:
                close()


class AsyncTestClient(_Events[Awaitable[Answer], Awaitable[AsyncStream]]):
    """Calls handlers as a worker with ``concurrency`` does: on the running event loop, or on threads.

    In an ``async with`` block, the application is started.
    """

    def __init__(self, app: App, **options: Any) -> None:
        """Take what ``TestClient`` takes."""
        super().__init__(app, **options)
        if app._handlers.in_thread is None:
            app._handlers.in_thread = asyncio.to_thread

    async def __aenter__(self) -> AsyncTestClient:
        self._lifespan = self.app.lifespan()
        await self._lifespan.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._lifespan.__aexit__(*raised)

    async def _send(self, event: Event, **fields: Any) -> Answer:
        request, handler = self._request(event, fields)
        try:
            answer = await self._call(event, request, handler)
            response = self._encode(event, handler, answer)
        except Exception as error:
            return self._failed(event, error)
        return self._answer(event, response)

    async def _open(self, event: Event, **fields: Any) -> AsyncStream:
        from .protocol2.window import Inbox

        request, handler = self._request(event, fields)
        inbox = Inbox(lambda messages: None) if event is Event.SUBSCRIBE_BIDIRECTIONAL else None
        if isinstance(request, SubscribeStreamRequest):
            request._messages = inbox
        try:
            answer = await self._call(event, request, handler)
            if handler is None or not (inspect.isgenerator(answer) or inspect.isasyncgen(answer)):
                return AsyncStream(**vars(self._answer(event, self._encode(event, handler, answer))))
            messages = self._messages(event, request, handler, answer)
            first = plain(self.app.codec, event, await messages.__anext__(), in_stream=True)
        except _RejectedError as rejected:
            return AsyncStream(**vars(self._answer(event, rejected.response)))
        except Exception as error:
            return AsyncStream(**vars(self._failed(event, error)))
        opening = _decoded(event, first["subscribe_response"])
        return AsyncStream(event, **opening, _publications=self._publications(event, messages), _inbox=inbox)

    def _request(self, event: Event, fields: Mapping[str, Any]) -> tuple[Request, Optional[Handler]]:
        context, body = self._payload(event, **fields)
        request = event.request(body, context, self.app.codec)
        return request, self.app._handlers.find(event, request)

    async def _call(self, event: Event, request: Request, handler: Optional[Handler]) -> Any:
        """Call a handler in a context of its own; return its answer, or a generator that has not begun."""
        if handler is None:
            return self.app._handlers.missing(event, request)

        async def call() -> Any:
            enter(request)
            try:
                if handler.style is Style.PLAIN:
                    answer = await asyncio.to_thread(handler.function, request)
                else:
                    answer = handler.function(request)
                return await answer if inspect.isawaitable(answer) else answer
            except (Error, Disconnect) as refusal:
                return refusal
            except Exception as error:
                remember(error, Handled(event, request, self.app._handlers.debug))
                raise

        with self._provided():
            task = asyncio.ensure_future(call())
        return await task

    def _encode(self, event: Event, handler: Optional[Handler], answer: Any) -> bytes:
        codec = self.app.codec
        return respond(codec, event, answer) if handler is None else encode(codec, event, handler, answer)

    async def _messages(self, event: Event, request: Request, handler: Handler, items: Any) -> AsyncIterator[bytes]:
        encoder = StreamEncoder(self.app.codec, event, handler)
        generator: Any = _asynchronous(items) if inspect.isgenerator(items) else items
        with self._provided():
            context = copy_context()
        context.run(enter, request)
        try:
            while True:
                try:
                    item = await _in_context(context, generator.__anext__)
                except StopAsyncIteration:
                    break
                rejection = encoder.rejection(item)
                if rejection is not None:
                    raise _RejectedError(rejection)
                for message in encoder.messages(item):
                    yield message
            for message in encoder.end():
                yield message
        except (Error, Disconnect) as raised:
            raise _RejectedError(encoder.refusal(raised)) from raised
        finally:
            await _in_context(context, generator.aclose)

    async def _publications(self, event: Event, messages: AsyncIterator[bytes]) -> AsyncIterator[Publication]:
        try:
            async for message in messages:
                yield Publication(**plain(self.app.codec, event, message, in_stream=True)["publication"])
        finally:
            await messages.aclose()  # type: ignore[attr-defined]


_CLIENT = {"client": "client", "transport": "websocket", "protocol": "json", "encoding": "json"}


class _RejectedError(Exception):
    """A generator rejected the subscription."""

    def __init__(self, response: bytes) -> None:
        super().__init__()
        self.response = response


def _decoded(event: Event, response: Mapping[str, Any]) -> dict[str, Any]:
    if "error" in response:
        return {"error": Error(**{"code": 0, "message": "", **response["error"]})}
    if "disconnect" in response:
        return {"disconnect": Disconnect(**{"code": 0, "reason": "", **response["disconnect"]})}
    known = {field.name for field in fields_of(event.result)}  # type: ignore[arg-type]
    given = {name: value for name, value in response.get("result", {}).items() if name in known}
    result: Callable[..., Result] = event.result
    return {"result": result(**given)}


def _bytes(data: Json) -> bytes:
    return data if isinstance(data, bytes) else json.dumps(data).encode()


async def _asynchronous(items: Iterator[Any]) -> AsyncIterator[Any]:
    end = object()
    try:
        while (item := await asyncio.to_thread(next, items, end)) is not end:
            yield item
    finally:
        items.close()  # type: ignore[attr-defined]


async def _in_context(context: Any, function: Callable[[], Awaitable[Any]]) -> Any:
    """Await what a function returns, in a context: Python 3.9 has no other way than a task that is created there."""

    async def wait() -> Any:
        return await function()

    return await context.run(partial(asyncio.ensure_future, wait()))
