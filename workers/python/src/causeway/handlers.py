"""The handlers of an application: which one takes a request, and what is around it."""

from __future__ import annotations

import json
import re
from contextvars import ContextVar
from typing import Any, Callable, Optional, TypeVar

from . import tracing
from .events import Answer, Error, Event
from .failures import WorkerError, described
from .handler import AnyHandler, Handler
from .injection import Injector
from .logs import log
from .middlewares import InThread, Middleware
from .patterns import Pattern
from .requests import Request

H = TypeVar("H", bound=AnyHandler)

# Looking it up in the class takes longer.
_RPC = Event.RPC
_EVENTS = {event.value: event for event in Event}

# The event type, as Causeway and RoadRunner write it. No header can pass for it: in a JSON string, quotes are escaped.
_TYPE = re.compile(rb',"type":\["([a-z]+)"')

# Texts whose handler is remembered, per event, and the length of the longest one: clients choose them.
_REMEMBERED = 1024
_LONGEST_REMEMBERED = 255

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


class Route:
    """The handlers of one event."""

    __slots__ = ("_found", "_patterns", "_subject", "exact", "only", "others")

    def __init__(self, subject: str, handlers: dict[Pattern, Handler], others: Optional[Handler]) -> None:
        """Take the handlers by pattern, and the one that takes what no pattern matches."""
        self._subject = subject
        # Sorting keeps the order of registration among equals.
        ranked = sorted(handlers.items(), key=lambda item: item[0].rank)
        self.exact = {pattern.literal: handler for pattern, handler in ranked if pattern.literal is not None}
        self._patterns = [(pattern, handler) for pattern, handler in ranked if pattern.literal is None]
        self._found: dict[str, Optional[Handler]] = {}
        self.others = others
        self.only = None if self.exact or self._patterns else others
        """The handler of all requests, if there is but one."""

    @property
    def has_patterns(self) -> bool:
        """Whether there are patterns with wildcards."""
        return bool(self._patterns)

    def find(self, request: Request) -> Optional[Handler]:
        """Return the handler whose pattern is the most specific one that matches."""
        text = getattr(request, self._subject)
        handler = self.exact.get(text)
        if handler is not None:
            return handler
        if not self._patterns:
            return self.others
        if len(text) > _LONGEST_REMEMBERED:
            return self._search(text)
        if text not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[text] = self._search(text)
        return self._found[text]

    def _search(self, text: str) -> Optional[Handler]:
        return next((handler for pattern, handler in self._patterns if pattern.matches(text)), self.others)


class Handlers:
    """All handlers of an application, with the middlewares around them and the dependencies that they take."""

    def __init__(self) -> None:
        self._injector = Injector()
        self.in_thread: Optional[InThread] = None
        """What calls handlers that are not ``async``, where an event loop serves requests."""
        self.debug = False
        self._registered: dict[Event, dict[Pattern, Handler]] = {}
        self._middlewares: list[Middleware] = []
        self._routes: Optional[dict[Event, Route]] = None
        self._methods: dict[str, Handler] = {}
        self._missing: set[Event] = set()

    def register(self, event: Event, function: H, pattern: str = "*") -> H:
        """Take a handler of an event; raise ``ValueError`` when its pattern has one already, or the event has no patterns."""
        compiled = Pattern(pattern)
        if not event.subject and not compiled.matches_all:
            raise ValueError(f"{event.value} has neither a method nor a channel for the pattern {json.dumps(pattern)}")
        handlers = self._registered.setdefault(event, {})
        if compiled in handlers:
            what = "RPC method" if event is Event.RPC else event.value
            name = event.value if compiled.matches_all else f"{what} {json.dumps(pattern)}"
            raise ValueError(f"{name} has a handler already: {handlers[compiled].place}")
        handlers[compiled] = Handler(function)
        self._routes = None
        return function

    def add_middleware(self, middleware: Middleware) -> None:
        """Put a middleware around handlers, inside those that are there already."""
        self._middlewares.append(middleware)
        self._routes = None

    def provide(self, type_: Any, provider: Callable[..., Any], asynchronous: Optional[Callable[..., Any]] = None) -> None:
        """Take what provides a dependency, and its counterpart for ``async`` handlers if there is one."""
        self._injector.provide(type_, provider, asynchronous)
        self._routes = None

    def find(self, event: Event, request: Any) -> Optional[Handler]:
        """Return the handler that takes a request."""
        if self._routes is None:
            self._routes = self.prepare()
        # Most requests are calls of methods that have a handler: they get there without a detour.
        if event is _RPC and self._methods:
            handler = self._methods.get(request.method)
            if handler is not None:
                return handler
        route = self._routes.get(event)
        if route is None:
            return None
        return route.only or route.find(request)

    def prepare(self) -> dict[Event, Route]:
        """Put all together; raise ``TypeError`` with a place in the code when something does not fit."""
        routes = {}
        for event in Event:
            handlers = {pattern: self._complete(event, handler) for pattern, handler in self._registered.get(event, {}).items()}
            others = next((handlers.pop(pattern) for pattern in list(handlers) if pattern.matches_all), None)
            if others is None and self._middlewares_of(event):
                others = self._surround(event, Handler(lambda request, event=event: self.missing(event, request)))
            if handlers or others:
                routes[event] = Route(event.subject, handlers, others)
        self._routes, self._methods = routes, {}
        if Event.RPC in routes:
            rpc = routes[Event.RPC]
            self._methods = rpc.exact
            rpc.only = rpc.only if rpc.has_patterns else rpc.others
        return routes

    def missing(self, event: Event, request: Any) -> Answer:
        """Return the answer to an event without a handler, and log its first request."""
        if event not in self._missing and event is not Event.STREAM_END:
            self._missing.add(event)
            has_patterns = event is Event.RPC or event in self._registered
            log(f"no handler for {described(event, request) if has_patterns else event.value} (logged once)", type=event.value)
        # Some responses have no error: their result is empty instead.
        return Error.not_available() if event.refusals else None

    def _complete(self, event: Event, handler: Handler) -> Handler:
        return self._surround(event, self._injector.inject(event, handler))

    def _surround(self, event: Event, handler: Handler) -> Handler:
        for middleware in reversed(self._middlewares_of(event)):
            handler = middleware.around(event, handler, lambda: self.in_thread)
        return handler

    def _middlewares_of(self, event: Event) -> list[Middleware]:
        """Return the middlewares of an event, the outermost first: those of all events are outside."""
        ordered = sorted(self._middlewares, key=lambda middleware: middleware.event is not None)
        return [middleware for middleware in ordered if middleware.event in (None, event)]


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
