"""An application: the handlers of Centrifugo's events."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from . import codec as codecs
from .codec import Codec
from .events import Disconnect, Error, Event
from .failures import Handled, Stop, WorkerError, remember
from .handler import Handler, encode, respond
from .handlers import CURRENT, enter, event_of, leave
from .logs import log
from .registry import Registry
from .relay import Relay
from .requests import Request
from .results import Result
from .streams import StreamEncoder
from .tracing import TRACED, attach, detach
from .worker import Payload, Worker

if TYPE_CHECKING:
    from .protocol2 import Session

Lifespan = Callable[["App"], AbstractAsyncContextManager[Any]]

_END = object()


class App(Registry):
    """The handlers of an application, and the loop that calls them.

    A handler takes a request and returns a result, ``None`` for an empty result, an ``Error`` or a ``Disconnect``; the last two
    may be raised as well. ``Stop`` hands the request to another worker. Any other exception fails the request; the worker logs it
    and goes on. Every request gets exactly one answer.

    An event without a handler is answered with Centrifugo's error 108, "not available".

    Handlers may be ``async``. ``run(concurrency=64)`` serves many requests at a time. Without it, a worker serves one at a
    time, and its event loop runs only while a handler does.
    """

    def __init__(self, *, codec: Optional[str] = None, debug: Optional[bool] = None, lifespan: Optional[Lifespan] = None) -> None:
        """Take the encoding of messages, ``proto`` or ``json``; by default ``proto`` where its fast implementation exists.

        ``lifespan(app)`` returns an asynchronous context manager, which is entered before the first request and left after the
        last one. With ``debug``, which ``CAUSEWAY_DEBUG=1`` turns on as well, the log has the request and the variables of a
        handler that raised an exception.
        """
        super().__init__()
        self._handlers.debug = os.environ.get("CAUSEWAY_DEBUG") in ("1", "true") if debug is None else debug
        self._wanted_codec = codec
        self._codec: Optional[Codec] = None
        # Runs a coroutine on an event loop and returns its result.
        self._run: Optional[Callable[[Coroutine[Any, Any, Any]], Any]] = None
        self._context: Optional[bytes] = None
        self._event = Event.RPC
        self._session: Optional[Session] = None
        self._lifespan = lifespan

    def run(
        self,
        worker: Optional[Worker] = None,
        *,
        concurrency: Optional[int] = None,
        threads: Optional[int] = None,
        blocking_limit: Optional[float] = 0.1,
    ) -> None:
        """Serve requests until the server stops this worker.

        With ``concurrency``, up to so many requests are handled at a time: ``async`` handlers on one event loop, others on up to
        ``threads`` threads, by default 32 or ``concurrency``, whichever is less; with 0 they run on the event loop, too. A
        handler that blocks the event loop for ``blocking_limit`` seconds is logged with its place in the code. Where the server
        does not support all this, requests are handled one at a time.

        Raises ``TypeError`` with a place in the code when a handler takes what nothing provides.
        """
        self._handlers.prepare()
        if concurrency is not None:
            if worker is not None:
                raise ValueError("a Worker handles one request at a time: leave out worker or concurrency")
            if _may_be_concurrent(concurrency):
                from . import protocol2

                serving = self.serve(concurrency=concurrency, threads=threads, blocking_limit=blocking_limit)
                protocol2.run(serving, concurrency)
                return
        if worker is None:
            worker = Worker(codec=self.codec.name)
        if self._lifespan is None:
            worker.run(self.answer)
            return
        lifespan = self.lifespan()
        self._complete(lifespan.__aenter__())
        try:
            worker.run(self.answer)
        except BaseException:
            self._complete(lifespan.__aexit__(*sys.exc_info()))
            raise
        self._complete(lifespan.__aexit__(None, None, None))

    async def serve(self, *, concurrency: int = 64, threads: Optional[int] = None, blocking_limit: Optional[float] = 0.1) -> None:
        """Serve requests on the running event loop until the server stops this worker; otherwise like ``run``.

        It is for applications that open something before and close it afterwards, such as connections to a database: when this
        returns, no handler runs any more.
        """
        self._handlers.prepare()
        # It protects standard output, which may be the relay, from what is printed there.
        relay = Relay.open()
        async with self.lifespan():
            if not _may_be_concurrent(concurrency):
                await self._serve_one_at_a_time(Worker(relay, codec=self.codec.name))
                return
            session = self.open_session(relay, concurrency, min(32, concurrency) if threads is None else threads, blocking_limit)
            try:
                await session.finished
            finally:
                await session.close()

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Enter what is entered before the first request and left after the last one; ``run`` and ``serve`` do so."""
        if self._lifespan is None:
            yield
        else:
            async with self._lifespan(self):
                yield

    def open_session(
        self, relay: Relay, concurrency: int = 64, threads: int = 32, blocking_limit: Optional[float] = 0.1
    ) -> Session:
        """Serve requests from a relay on the running event loop, until the session is ``finished``; ``close`` it then."""
        from .protocol2 import Session

        self._session = Session(
            relay, self._handlers, self.codec, concurrency=concurrency, threads=threads, blocking_limit=blocking_limit
        )
        return self._session

    async def _serve_one_at_a_time(self, worker: Worker) -> None:
        """Let a thread wait for requests and call handlers; what is ``async`` runs on this event loop."""
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[None] = loop.create_future()
        self._run = lambda answer: asyncio.run_coroutine_threadsafe(answer, loop).result()

        def serve() -> None:
            try:
                worker.run(self.answer)
                settle = partial(finished.set_result, None)
            except BaseException as error:
                settle = partial(finished.set_exception, error)
            # A closed loop raises RuntimeError: the process exits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: None if finished.done() else settle())

        threading.Thread(target=serve, name="causeway-worker", daemon=True).start()
        await finished

    @property
    def codec(self) -> Codec:
        """The encoding of messages."""
        if self._codec is None:
            self._codec = codecs.choose(self._wanted_codec)
        return self._codec

    def limit(self, credit: int) -> None:
        """Take at most so many requests at a time from now on, 0 for none, from any handler and thread.

        It has no effect on what is being handled, on more than ``concurrency``, and where requests are handled one at a time.
        """
        if credit < 0:
            raise ValueError(f"expected a number of requests, found {credit}")
        if self._session is not None:
            self._session.limit(credit)

    def answer(self, payload: Payload) -> Union[bytes, Iterator[bytes]]:
        """Return the encoded response to one request, or an iterator of messages when its handler is a generator.

        Raises ``WorkerError`` when the event is unknown or its handler returns what cannot be its answer.
        """
        codec = self._codec or self.codec
        context, body = payload
        # Mostly the same as the one before.
        if context != self._context:
            self._event = event_of(context)
            self._context = context
        event = self._event
        request = event.request(body, context, codec)
        handler = self._handlers.find(event, request)
        if handler is None:
            return respond(codec, event, self._handlers.missing(event, request))
        CURRENT.set(request)
        # For most requests, two calls less.
        entered = attach(request) if TRACED in context else None
        try:
            answer = handler.function(request)
            if not isinstance(answer, Result):
                if inspect.isawaitable(answer):
                    answer = self._complete(answer)
                if event.is_stream and (inspect.isgenerator(answer) or inspect.isasyncgen(answer)):
                    return self._stream(event, handler, request, answer)
        except (Error, Disconnect) as refusal:
            answer = refusal
        except BaseException as error:
            remember(error, Handled(event, request, self._handlers.debug))
            raise
        finally:
            CURRENT.set(None)
            if entered is not None:
                detach(entered)
        try:
            return encode(codec, event, handler, answer)
        except WorkerError as error:
            remember(error, Handled(event, request, self._handlers.debug))
            raise

    def _complete(self, answer: Awaitable[Any]) -> Any:
        """Run the event loop until there is the answer."""
        if self._run is None:
            self._run = asyncio.new_event_loop().run_until_complete
        try:
            return self._run(_wait(answer))
        except (asyncio.CancelledError, concurrent.futures.CancelledError) as error:
            # No subclass of Exception: it would end the worker.
            raise RuntimeError("the handler was cancelled") from error

    def _stream(self, event: Event, handler: Handler, request: Request, generator: Any) -> Union[bytes, Iterator[bytes]]:
        """Return the messages of a generator, or the answer if it rejects the subscription."""
        items: Any = generator if inspect.isgenerator(generator) else self._synchronous(generator)
        encoder = StreamEncoder(self.codec, event, handler)
        try:
            first = next(items, _END)
        except (Error, Disconnect) as refusal:
            first = refusal
        rejection = encoder.rejection(first)
        if rejection is not None:
            items.close()
            return rejection
        return _messages(encoder, first, items, Handled(event, request, self._handlers.debug))

    def _synchronous(self, generator: Any) -> Generator[Any, None, None]:
        """Return a generator for an async one, which runs the event loop for each item."""
        try:
            while True:
                try:
                    item = self._complete(generator.__anext__())
                except StopAsyncIteration:
                    return
                yield item
        finally:
            self._complete(generator.aclose())


def _may_be_concurrent(concurrency: int) -> bool:
    """Whether the server can send many requests at a time; if not, log it."""
    if not 1 <= concurrency <= 65535:
        raise ValueError(f"expected a concurrency from 1 to 65535, found {concurrency}")
    if "2" in os.environ.get("CAUSEWAY_PROTOCOLS", "1").split(","):
        return True
    log("this worker handles one request at a time: the server does not offer protocol 2")
    return False


def _messages(encoder: StreamEncoder, first: Any, items: Generator[Any, None, None], handled: Handled) -> Iterator[bytes]:
    entered = enter(handled.request)
    try:
        with closing(items):
            if first is not _END:
                yield from encoder.messages(first)
            for item in items:
                yield from encoder.messages(item)
            yield from encoder.end()
    except (Stop, Error, Disconnect) as raised:
        encoder.refusal(raised)
    except BaseException as error:
        remember(error, handled)
        raise
    finally:
        leave(entered)


async def _wait(answer: Awaitable[Any]) -> Any:
    return await answer
