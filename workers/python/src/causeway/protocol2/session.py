"""What a worker has in hand: requests by number, until each has been answered once."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import zlib
from collections import deque
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Callable, NoReturn, Optional

from .. import backtrace, frame
from ..codec import Codec
from ..events import Disconnect, Error, Event
from ..failures import ENDS, Handled, Stop, failure
from ..frame import CONTROL, ERROR, PING, STOP, STREAM, FrameError
from ..handler import Handler, Style, encode, respond
from ..handlers import Handlers, enter, event_of
from ..relay import Relay
from ..requests import Request, SubscribeStreamRequest
from ..results import Result
from ..worker import greeting
from . import wire
from .connection import Connection, Received
from .ending import end
from .streamed import Stream, asynchronous
from .threads import Threads
from .watchdog import Watchdog


class Session:
    """Serves the requests of one relay.

    A request is in ``_tasks`` if its handler is ``async`` or a generator, and in ``_calls`` if it is a function, which runs on a
    thread. ``_finish`` takes it out and sends the answer, once.
    """

    def __init__(
        self,
        relay: Relay,
        handlers: Handlers,
        codec: Codec,
        *,
        concurrency: int,
        threads: int,
        blocking_limit: Optional[float],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._handlers = handlers
        self._codec = codec
        self._claims: dict[str, object] = {"protocol": 2, "concurrency": concurrency, "name": _name()}
        if codec.name != "proto":
            self._claims["codec"] = codec.name
        self._claims.update(backtrace.offer(self._oldest))
        self._thread = threading.get_ident()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._streams: dict[int, Stream] = {}
        # In their order; the values say nothing.
        self._calls: dict[int, None] = {}
        self._cancelled: set[int] = set()
        # Calls that no thread has begun yet.
        self._queued: dict[int, Callable[[], Callable[[], None]]] = {}
        self._threads = Threads(threads) if threads else None
        handlers.in_thread = self._run_in_thread
        # What threads leave to the event loop.
        self._left: deque[Callable[[], None]] = deque()
        self._woken = False
        self._stopping = False
        self._context: Optional[bytes] = None
        self._event = Event.RPC
        self.finished: asyncio.Future[None] = self._loop.create_future()
        """Is done when the server has stopped this worker and all is answered, or when the relay is closed."""
        self._spawn: Callable[[Any], asyncio.Task[None]] = partial(asyncio.Task, loop=self._loop, **_EAGER)
        self._receiving = False
        self._watchdog = Watchdog(self._loop, blocking_limit, lambda: self._receiving or self._is_busy())
        self._connection = Connection(relay, self._received, self._lost)
        self._send = self._connection.send

    def limit(self, credit: int) -> None:
        """Tell the server to have at most so many requests in hand, from any thread."""
        # A closed loop raises RuntimeError: the process exits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._send, (wire.command({"credit": credit}),))

    async def close(self) -> None:
        """Close the relay, and cancel the handlers whose answers will not be read."""
        self._watchdog.stop()
        self._connection.close()
        for stream in self._streams.values():
            stream.cancel()
        await end(list(self._tasks.values()))

    # What arrives.

    def _received(self, data: Received) -> int:
        """Handle all complete frames and return where they end."""
        # Handlers may run before this returns.
        self._receiving = True
        if not self._watchdog.is_awake:
            self._watchdog.wake()
        try:
            return self._handle(data)
        finally:
            self._receiving = False

    def _handle(self, data: Received) -> int:
        start = 0
        size = len(data)
        unpack = wire.NUMBERED.unpack_from
        while size - start >= 12:
            if size - start >= 20:
                first, flags, length, checksum, stream, _, border, number = unpack(data, start)
                if first == wire.NUMBERED_FIRST and not stream and not flags & (CONTROL | ERROR):
                    if zlib.crc32(data[start : start + 6]) != checksum:
                        raise FrameError(f"wrong checksum of a frame: {data[start : start + 12].hex()}")
                    body = start + 20
                    end = body + length
                    if end > size:
                        break
                    border = min(body + border, end)
                    self._begin(number, bytes(data[body:border]), bytes(data[border:end]))
                    start = end
                    continue
            found = frame.locate(data, start)
            if found is None:
                break
            flags, stream, options, body, end = found
            if flags & CONTROL:
                self._command(wire.decode_command(data[body:end]))
            elif stream & PING:
                self._send((wire.PONG_FRAME,))
            elif stream & STREAM and len(options) == 2 and options[1] in self._streams:
                message = bytes(data[min(body + options[0], end) : end])
                self._streams[options[1]].receive(message, last=bool(stream & STOP))
            start = end
        return start

    def _command(self, command: dict[str, Any]) -> None:
        if "pid" in command:
            self._send((greeting(self._claims),))
        elif isinstance(command.get("cancel"), int):
            self._cancel(command["cancel"])
        elif isinstance(command.get("window"), int):
            stream = self._streams.get(command["window"])
            if stream is not None:
                stream.window.grant(int(command.get("messages", 0)))
        elif command.get("stop") is True:
            self._stop()

    def _lost(self, error: Optional[Exception]) -> None:
        if self.finished.done():
            return
        if error is None:
            self.finished.set_result(None)
        else:
            self.finished.set_exception(error)

    def _is_busy(self) -> bool:
        return bool(self._tasks or self._calls)

    def _oldest(self) -> backtrace.Frames:
        """Return the frames of what blocks the event loop, or else of the oldest request, as far as another thread can see them.

        The server does not ask about streams that are open.
        """
        blocking = backtrace.of_loop(self._thread, _CALLERS)
        if blocking:
            return blocking
        tasks = [task for number, task in list(self._tasks.items()) if not self._is_open(number)]
        calls = list(self._calls)
        if tasks and calls:
            raise LookupError("it is not known which one is older")
        if tasks:
            return backtrace.of_coroutine(tasks[0].get_coro())
        for thread in threading.enumerate():
            if calls and thread.name.startswith("causeway-handler-"):
                frames = backtrace.of_thread(thread.ident)
                for index, frame in enumerate(frames):
                    if frame.f_code is Session._call.__code__ and frame.f_locals.get("number") == calls[0]:
                        return frames[index:]
        return []

    def _is_open(self, number: int) -> bool:
        stream = self._streams.get(number)
        return stream is not None and stream.is_open

    # Requests.

    def _begin(self, number: int, context: bytes, body: bytes) -> None:
        """Start to handle a request."""
        if self._stopping:
            self._send((wire.replace(number),))
            return
        try:
            # Mostly the same as the one before.
            if context != self._context:
                self._event = event_of(context)
                self._context = context
            event = self._event
            request = event.request(body, context, self._codec)
            handler = self._handlers.find(event, request)
            if handler is None:
                self._send(wire.answer(number, respond(self._codec, event, self._handlers.missing(event, request))))
                return
        except Exception as error:
            self._send((wire.error(number, failure(error)),))
            return
        style = handler.style
        if style is Style.COROUTINE:
            self._start(number, self._answer(number, event, handler, request, handler.function))
        elif style is not Style.PLAIN and event.is_stream:
            self._start_stream(number, event, handler, request, handler.function)
        else:
            self._calls[number] = None
            context_of_call = copy_context()
            context_of_call.run(enter, request)
            call = partial(_in_context, context_of_call, partial(self._call, number, event, handler, request))
            if self._threads is None:
                call()()
            else:
                self._queued[number] = call
                self._threads.submit(partial(self._run_queued, number))

    def _start(self, number: int, coroutine: Any) -> None:
        task = self._spawn(coroutine)
        if not task.done():
            self._tasks[number] = task

    async def _answer(
        self, number: int, event: Event, handler: Handler, request: Request, function: Callable[[Any], Any]
    ) -> None:
        """Answer with what an ``async`` handler returns."""
        enter(request)
        try:
            try:
                answer = await function(request)
            except (Error, Disconnect) as refusal:
                answer = refusal
            if event.is_stream and (inspect.isgenerator(answer) or inspect.isasyncgen(answer)):
                await self._answer_stream(self._open(number, event, request), event, handler, request, lambda _: answer)
                return
            parts: tuple[bytes, ...] = wire.answer(number, encode(self._codec, event, handler, answer))
        except asyncio.CancelledError:
            parts = (self._cancellation(number, event, request),)
        except ENDS:
            raise
        except BaseException as error:
            parts = (self._failure(number, error, event, request),)
        self._finish(number, parts)

    def _finish(self, number: int, parts: tuple[bytes, ...]) -> None:
        """Send the one answer to a request."""
        self._tasks.pop(number, None)
        if self._tasks or self._calls:
            self._send(parts)
        else:
            self._connection.send_now(parts)
        if self._cancelled:
            self._cancelled.discard(number)
        if self._stopping:
            self._leave_when_done()

    # Handlers that are functions: on threads, or on the event loop if there are none.

    def _run_queued(self, number: int) -> None:
        """On a thread, call a handler unless it has been cancelled."""
        call = self._queued.pop(number, None)
        if call is not None:
            self._leave_to_loop(call())

    def _call(self, number: int, event: Event, handler: Handler, request: Request) -> Callable[[], None]:
        """Call a handler, and return what is left to do on the event loop, in this context."""
        try:
            try:
                answer = handler.function(request)
            except (Error, Disconnect) as refusal:
                answer = refusal
            if not isinstance(answer, Result):
                if inspect.isawaitable(answer):
                    coroutine = self._answer(number, event, handler, request, lambda _: answer)
                    return self._continuation(number, partial(self._start, number, coroutine))
                if event.is_stream and (inspect.isgenerator(answer) or inspect.isasyncgen(answer)):
                    start = partial(self._start_stream, number, event, handler, request, lambda _: answer)
                    return self._continuation(number, start)
            parts: tuple[bytes, ...] = wire.answer(number, encode(self._codec, event, handler, answer))
        except ENDS as error:
            # They end the process from the main thread only.
            return partial(_raise, error)
        except BaseException as error:
            parts = (self._failure(number, error, event, request),)
        return self._continuation(number, partial(self._finish, number, parts))

    def _continuation(self, number: int, function: Callable[[], None]) -> Callable[[], None]:
        context = copy_context()

        def run() -> None:
            self._calls.pop(number, None)
            context.run(function)

        return run

    def _leave_to_loop(self, function: Callable[[], None]) -> None:
        """From a thread, run a function on the event loop, together with those of other threads."""
        self._left.append(function)
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._run_left)

    def _run_left(self) -> None:
        self._woken = False
        while self._left:
            self._left.popleft()()

    # Streams.

    def _start_stream(
        self, number: int, event: Event, handler: Handler, request: Request, function: Callable[[Any], Any]
    ) -> None:
        stream = self._open(number, event, request)
        self._start(number, self._answer_stream(stream, event, handler, request, function))

    def _open(self, number: int, event: Event, request: Request) -> Stream:
        bidirectional = event is Event.SUBSCRIBE_BIDIRECTIONAL
        stream = self._streams[number] = Stream(number, self._send_one, bidirectional=bidirectional)
        if isinstance(request, SubscribeStreamRequest):
            request._messages = stream.inbox
        return stream

    def _send_one(self, data: bytes) -> None:
        self._send((data,))

    async def _answer_stream(
        self, stream: Stream, event: Event, handler: Handler, request: Request, function: Callable[[Any], Any]
    ) -> None:
        """Answer with the messages of a generator."""
        enter(request)
        number = stream.number
        parts: tuple[bytes, ...]
        try:
            items: Any = function(request)
            blocks = inspect.isgenerator(items)
            items = asynchronous(items, self._run_in_thread) if blocks else items
            rejection = await stream.send(items, self._codec, event, handler)
            parts = (wire.end(number),) if rejection is None else wire.answer(number, rejection)
        except asyncio.CancelledError:
            parts = (self._cancellation(number, event, request),)
        except ENDS:
            raise
        except BaseException as error:
            parts = (self._failure(number, error, event, request),)
        del self._streams[number]
        self._finish(number, parts)

    def _run_in_thread(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Call a function on a thread."""
        future = self._loop.create_future()

        def run() -> None:
            try:
                settle = partial(future.set_result, function())
            except BaseException as error:
                settle = partial(future.set_exception, error)
            # The future is cancelled along with the task that waits for it.
            self._leave_to_loop(lambda: None if future.done() else settle())

        if self._threads is None:
            run()
        else:
            self._threads.submit(run)
        return future

    # Cancelling and leaving.

    def _cancel(self, number: int) -> None:
        """Cancel a handler. Its request is finished when it has ended, which it may delay."""
        task = self._tasks.get(number)
        if task is not None:
            self._cancelled.add(number)
            if number in self._streams:
                self._streams[number].cancel()
            # After its first step: a task that is cancelled before it has begun ends without an answer.
            self._loop.call_soon(task.cancel)
        elif self._queued.pop(number, None) is not None:
            self._calls.pop(number, None)
            self._finish(number, (wire.error(number, b"cancelled"),))

    def _cancellation(self, number: int, event: Event, request: Request) -> bytes:
        """Return the answer of a handler that was cancelled by the server, or by itself."""
        if number in self._cancelled or self.finished.done():
            return wire.error(number, b"cancelled")
        return self._failure(number, RuntimeError("the handler was cancelled"), event, request)

    def _failure(self, number: int, error: BaseException, event: Event, request: Request) -> bytes:
        """Log why a request failed, and return its answer."""
        if isinstance(error, Stop):
            return wire.replace(number)
        return wire.error(number, failure(error, Handled(event, request, self._handlers.debug)))

    def _stop(self) -> None:
        """Finish what is in hand, and end. Streams have no end of their own."""
        if not self._stopping:
            self._stopping = True
            for number in list(self._streams):
                self._cancel(number)
            self._leave_when_done()

    def _leave_when_done(self) -> None:
        if not self._is_busy() and not self.finished.done():
            self._leaving = asyncio.ensure_future(self._leave())

    async def _leave(self) -> None:
        await self._connection.drain()
        self._lost(None)


_EAGER: Any = {"eager_start": True} if sys.version_info >= (3, 12) else {}
"""Handlers that do not wait are done at once."""


_CALLERS = {function.__code__ for function in (Session._answer, Session._answer_stream, Session._call)}
"""What calls handlers."""


def _in_context(context: Context, call: Callable[[], Callable[[], None]]) -> Callable[[], None]:
    return context.run(call)


def _raise(error: BaseException) -> NoReturn:
    raise error


def _name() -> str:
    from .. import __version__

    return f"causeway-worker {__version__}"
