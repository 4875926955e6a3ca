"""The clients that call handlers."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any, Callable, Optional

from ..app import App
from ..events import Disconnect, Error, Event
from ..failures import Handled, remember
from ..handler import Handler, Style, encode, respond
from ..handler import call as call_handler
from ..handlers import enter
from ..protocol2.window import Inbox
from ..requests import Request, SubscribeStreamRequest
from ..results import Publication
from ..streams import StreamEncoder
from .answers import Answer, AsyncStream, Stream, decoded
from .decoding import plain
from .events import Events


class TestClient(Events[Answer, Stream]):
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
        stream = Stream(event, **decoded(event, opening))
        stream._publications = self._publications(stream, messages)
        return stream

    def _publications(self, stream: Stream, messages: Iterator[bytes]) -> Iterator[Publication]:
        try:
            for message in messages:
                yield Publication(**plain(self.app.codec, stream.event, message, in_stream=True)["publication"])
        except Exception as error:
            stream.failure = self._failed(stream.event, error).failure
        finally:
            close = getattr(messages, "close", None)
            if close is not None:
                close()


class AsyncTestClient(Events[Awaitable[Answer], Awaitable[AsyncStream]]):
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
        stream = AsyncStream(event, **decoded(event, first["subscribe_response"]), _inbox=inbox)
        stream._publications = self._publications(stream, messages)
        return stream

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
                    answer = await asyncio.to_thread(call_handler, handler.function, request)
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

    async def _publications(self, stream: AsyncStream, messages: AsyncIterator[bytes]) -> AsyncIterator[Publication]:
        try:
            async for message in messages:
                yield Publication(**plain(self.app.codec, stream.event, message, in_stream=True)["publication"])
        except Exception as error:
            stream.failure = self._failed(stream.event, error).failure
        finally:
            await messages.aclose()  # type: ignore[attr-defined]


class _RejectedError(Exception):
    """A generator rejected the subscription."""

    def __init__(self, response: bytes) -> None:
        super().__init__()
        self.response = response


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
