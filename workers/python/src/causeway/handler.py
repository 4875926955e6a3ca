"""A handler: what is called with a request, how, and which answers it may give."""

from __future__ import annotations

import inspect
from enum import Enum
from typing import Any, Callable, Optional

from .codec import Codec
from .events import Disconnect, Error, Event
from .failures import WorkerError, place_of

AnyHandler = Callable[..., Any]


class Style(Enum):
    """How a handler is called."""

    PLAIN = "a function"
    COROUTINE = "an async function"
    GENERATOR = "a generator"
    ASYNC_GENERATOR = "an async generator"


class Handler:
    """A function that takes a type of request."""

    __slots__ = ("_place", "function", "style")

    def __init__(self, function: AnyHandler, *, place: Optional[str] = None) -> None:
        self.function = function
        self._place = place
        # Of an object, it is the method that is called.
        style = _style(function)
        self.style = style if style is not Style.PLAIN else _style(getattr(type(function), "__call__"))  # noqa: B004, B009

    @property
    def place(self) -> str:
        """Where the handler is defined: file and line."""
        return self._place or place_of(self.function)


def _style(function: AnyHandler) -> Style:
    if inspect.iscoroutinefunction(function):
        return Style.COROUTINE
    if inspect.isasyncgenfunction(function):
        return Style.ASYNC_GENERATOR
    return Style.GENERATOR if inspect.isgeneratorfunction(function) else Style.PLAIN


def call(function: AnyHandler, request: Any) -> Any:
    """Call a handler where a future gets what it raises: none takes ``StopIteration``, so that becomes ``RuntimeError``."""
    try:
        return function(request)
    except StopIteration as error:
        # As in coroutines.
        raise RuntimeError("the handler raised StopIteration").with_traceback(error.__traceback__) from error


def encode(codec: Codec, event: Event, handler: Handler, answer: Any) -> bytes:
    """Encode what a handler returned; raise ``WorkerError`` with its place when that cannot be its answer."""
    try:
        if isinstance(answer, event.result):
            return codec.result(event, answer)
        return respond(codec, event, answer)
    except Exception as error:
        problem = "" if isinstance(error, WorkerError) else f"cannot encode the answer to {event.value}: "
        raise WorkerError(f"{handler.place}: {problem}{error}") from error


def respond(codec: Codec, event: Event, answer: Any) -> bytes:
    """Encode the response to an event, unless it is a result with content."""
    if answer is None:
        return codec.result(event, None)
    problem = _problem(event, answer)
    if problem:
        raise WorkerError(problem)
    # One that is raised again and again would gather the frames of all requests.
    answer.__traceback__ = None
    if isinstance(answer, Error):
        fields = {"code": answer.code, "message": answer.message, "temporary": answer.temporary}
        return codec.refusal(event, "error", fields)
    return codec.refusal(event, "disconnect", {"code": answer.code, "reason": answer.reason})


def checked(event: Event, place: str, answer: Any) -> Any:
    """Return what may be the answer to an event; raise ``WorkerError`` with the place of its handler if it may not."""
    if answer is None or isinstance(answer, event.result):
        return answer
    if event.is_stream and (inspect.isgenerator(answer) or inspect.isasyncgen(answer)):
        return answer
    problem = _problem(event, answer)
    if problem:
        raise WorkerError(f"{place}: {problem}")
    return answer


def _problem(event: Event, answer: Any) -> str:
    """Say why this cannot be an answer without a result."""
    for kind, refusal in (("error", Error), ("disconnect", Disconnect)):
        if isinstance(answer, refusal):
            return "" if kind in event.refusals else f"Centrifugo takes no {kind} in answer to {event.value}"
    expected = ", ".join((event.result.__name__, *map(str.capitalize, event.refusals)))
    return f"the handler of {event.value} returned {type(answer).__name__}, expected {expected} or None"
