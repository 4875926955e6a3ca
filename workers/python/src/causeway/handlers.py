"""The handlers of an application: which one takes a request, and how it is called."""

from __future__ import annotations

import inspect
import json
import re
import sys
from contextvars import ContextVar
from enum import Enum
from typing import Any, Callable, Optional, TypeVar

from . import tracing
from .codec import Codec
from .events import Answer, Disconnect, Error, Event
from .requests import Request
from .worker import WorkerError

AnyHandler = Callable[[Any], Any]
H = TypeVar("H", bound=AnyHandler)

# Looking it up in the class takes longer.
_RPC = Event.RPC
_EVENTS = {event.value: event for event in Event}

# The event type, as Causeway and RoadRunner write it. No header can pass for it: in a JSON string, quotes are escaped.
_TYPE = re.compile(rb',"type":\["([a-z]+)"')

CURRENT: ContextVar[Optional[Request]] = ContextVar("causeway.current_request", default=None)


def current_request() -> Optional[Request]:
    """Return the request that is being handled here, in its handler and in what it calls or starts; otherwise ``None``."""
    return CURRENT.get()


def enter(request: Request) -> Any:
    """Make a request and its trace the current ones; return what ``leave`` needs. A task or a copied context need not be left."""
    CURRENT.set(request)
    return tracing.attach(request)


def leave(token: Any) -> None:
    """No request is the current one here any more."""
    CURRENT.set(None)
    tracing.detach(token)


class Style(Enum):
    """How a handler is called."""

    PLAIN = "a function"
    COROUTINE = "an async function"
    GENERATOR = "a generator"
    ASYNC_GENERATOR = "an async generator"


class Handler:
    """A function that takes a type of request."""

    __slots__ = ("function", "style")

    def __init__(self, function: AnyHandler) -> None:
        self.function = function
        called = function if inspect.isroutine(inspect.unwrap(function)) else getattr(type(function), "__call__", function)  # noqa: B004
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called):
            self.style = Style.COROUTINE
        elif inspect.isasyncgenfunction(function) or inspect.isasyncgenfunction(called):
            self.style = Style.ASYNC_GENERATOR
        elif inspect.isgeneratorfunction(function) or inspect.isgeneratorfunction(called):
            self.style = Style.GENERATOR
        else:
            self.style = Style.PLAIN

    @property
    def place(self) -> str:
        """Where the handler is defined: file and line."""
        code = getattr(inspect.unwrap(self.function), "__code__", None) or getattr(type(self.function).__call__, "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(self.function)


class Handlers:
    """All handlers of an application."""

    def __init__(self) -> None:
        self._by_event: dict[Event, Handler] = {}
        self._by_method: dict[str, Handler] = {}
        self._missing: set[Event] = set()

    def register(self, event: Event, function: H, method: Optional[str] = None) -> H:
        """Take the handler of an event, or of an RPC method; raise ``ValueError`` when there is one already."""
        handlers: dict[Any, Handler] = self._by_event if method is None else self._by_method
        key = event if method is None else method
        if key in handlers:
            what = event.value if method is None else f"RPC method {method!r}"
            raise ValueError(f"{what} has a handler already: {handlers[key].place}")
        handlers[key] = Handler(function)
        return function

    def find(self, event: Event, request: Any) -> Optional[Handler]:
        """Return the handler that takes a request."""
        if event is _RPC and self._by_method:
            return self._by_method.get(request.method) or self._by_event.get(event)
        return self._by_event.get(event)

    def missing(self, event: Event, request: Any) -> Answer:
        """Return the answer to an event without a handler, and log its first request."""
        if event not in self._missing and event is not Event.STREAM_END:
            self._missing.add(event)
            method = f" method {json.dumps(request.method[:100])}" if event is Event.RPC else ""
            print(f"no handler for {event.value}{method} (logged once)", file=sys.stderr, flush=True)
        # Some responses have no error: their result is empty instead.
        return Error.not_available() if event.refusals else None


def event_of(context: bytes) -> Event:
    """Return the event that a context names; raise ``WorkerError`` when it is unknown."""
    # Decoding all headers costs ten times as much, and few handlers need them.
    found = _TYPE.search(context)
    if found:
        kind = found[1].decode()
    else:
        decoded = json.loads(context) if context else None
        types = decoded.get("type") if isinstance(decoded, dict) else None
        kind = str(types[0] if isinstance(types, list) and types else types or "")
    event = _EVENTS.get(kind)
    if event is None:
        raise WorkerError(f'unknown event type "{kind}"')
    return event


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
    if isinstance(answer, Error):
        fields = {"code": answer.code, "message": answer.message, "temporary": answer.temporary}
        return codec.refusal(event, _accepted(event, "error"), fields)
    if isinstance(answer, Disconnect):
        return codec.refusal(event, _accepted(event, "disconnect"), {"code": answer.code, "reason": answer.reason})
    expected = ", ".join((event.result.__name__, *map(str.capitalize, event.refusals)))
    raise WorkerError(f"the handler of {event.value} returned {type(answer).__name__}, expected {expected} or None")


def _accepted(event: Event, refusal: str) -> str:
    if refusal not in event.refusals:
        raise WorkerError(f"Centrifugo takes no {refusal} in answer to {event.value}")
    return refusal
