"""Middlewares: functions around handlers."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from contextvars import copy_context
from functools import partial
from typing import Any, Callable, Optional

from .events import Disconnect, Error, Event
from .failures import WorkerError, place_of
from .handler import Handler, Style, call, checked
from .requests import Request

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function that may block, beside the event loop."""

_CALLED_TWICE = "next was called twice"


class Middleware:
    """A function that is called with a request and with what comes next: other middlewares, and at last the handler."""

    __slots__ = ("asynchronous", "event", "synchronous")

    def __init__(self, function: Callable[..., Any], asynchronous: Optional[Callable[..., Any]], event: Optional[Event]) -> None:
        """Take a function, its counterpart for ``async`` handlers if there is one, and the event, or all events."""
        self.event = event
        is_async = Handler(function).style is Style.COROUTINE
        self.synchronous = None if is_async else function
        self.asynchronous = function if is_async else asynchronous

    def around(self, event: Event, inner: Handler, in_thread: Callable[[], Optional[InThread]]) -> Handler:
        """Return a handler that calls this middleware; raise ``TypeError`` if it would have to wait for what is ``async``.

        ``in_thread`` returns what calls handlers that are not ``async``; without it, they are called where the middleware is.
        """
        waits = inner.style is Style.COROUTINE
        if self.synchronous is not None and not waits:
            return Handler(_Synchronous(self.synchronous, event, inner), place=inner.place)
        if self.asynchronous is None:
            what = f"the middleware {place_of(self.synchronous)} is not async and cannot wait for {inner.place}, which is"
            raise TypeError(f"{what}: make it async, which serves both")
        return Handler(_Asynchronous(self.asynchronous, event, inner, in_thread), place=inner.place)


class _Around:
    """A middleware around a handler, or around other middlewares."""

    def __init__(self, function: Callable[..., Any], event: Event, inner: Handler) -> None:
        self._function = function
        self._event = event
        self._inner = inner
        self._place = place_of(function)

    def _own(self, answer: Any) -> Any:
        return checked(self._event, self._place, answer)

    def _inners(self, answer: Any) -> Any:
        """Return an answer with nothing to be told apart: a result, or what refuses the event, returned or raised."""
        return self._event.result() if answer is None else checked(self._event, self._inner.place, answer)


class _Synchronous(_Around):
    def __call__(self, request: Request) -> Any:
        called = False

        def following(request: Request) -> Any:
            nonlocal called
            if called:
                raise WorkerError(f"{self._place}: {_CALLED_TWICE}")
            called = True
            try:
                return self._inners(self._inner.function(request))
            except (Error, Disconnect) as refusal:
                return self._inners(refusal.with_traceback(None))

        return self._own(self._function(request, following))


class _Asynchronous(_Around):
    def __init__(
        self,
        function: Callable[..., Any],
        event: Event,
        inner: Handler,
        in_thread: Callable[[], Optional[InThread]],
    ) -> None:
        super().__init__(function, event, inner)
        self._in_thread = in_thread

    async def __call__(self, request: Request) -> Any:
        called = False

        async def following(request: Request) -> Any:
            nonlocal called
            if called:
                raise WorkerError(f"{self._place}: {_CALLED_TWICE}")
            called = True
            try:
                return self._inners(await self._call(request))
            except (Error, Disconnect) as refusal:
                return self._inners(refusal.with_traceback(None))

        return self._own(await self._function(request, following))

    async def _call(self, request: Request) -> Any:
        function, style = self._inner.function, self._inner.style
        if style is Style.COROUTINE:
            return await function(request)
        in_thread = self._in_thread()
        # Generators have not begun when they are called.
        if style is not Style.PLAIN or in_thread is None:
            answer = function(request)
        else:
            answer = await in_thread(partial(copy_context().run, call, function, request))
        return await answer if inspect.isawaitable(answer) else answer


__all__ = ["InThread", "Middleware"]
