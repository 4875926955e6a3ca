"""An application: the handlers of Centrifugo's events."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import sys
from collections.abc import Awaitable
from typing import Any, Callable, Optional, TypeVar, Union

from . import requests, results
from .events import Answer, Disconnect, Error, Event
from .requests import Request
from .results import Result
from .worker import Payload, Worker, WorkerError

Q = TypeVar("Q", bound=Request)
A = TypeVar("A")
Handler = Callable[[Q], Union[A, Awaitable[A]]]
AnyHandler = Callable[[Any], Any]
H = TypeVar("H", bound=AnyHandler)
K = TypeVar("K")
Refusal = Union[Error, Disconnect, None]
# Decorators return what they take, so that an application's own code and tests can call its handlers.
ConnectHandler = TypeVar("ConnectHandler", bound=Handler[requests.ConnectRequest, Union[results.ConnectResult, Refusal]])
RefreshHandler = TypeVar("RefreshHandler", bound=Handler[requests.RefreshRequest, Union[results.RefreshResult, Refusal]])
SubscribeHandler = TypeVar("SubscribeHandler", bound=Handler[requests.SubscribeRequest, Union[results.SubscribeResult, Refusal]])
PublishHandler = TypeVar("PublishHandler", bound=Handler[requests.PublishRequest, Union[results.PublishResult, Refusal]])
RpcHandler = TypeVar("RpcHandler", bound=Handler[requests.RpcRequest, Union[results.RpcResult, Refusal]])
SubRefreshHandler = TypeVar(
    "SubRefreshHandler", bound=Handler[requests.SubRefreshRequest, Union[results.SubRefreshResult, Refusal]]
)
NotifyCacheEmptyHandler = TypeVar(
    "NotifyCacheEmptyHandler", bound=Handler[requests.NotifyCacheEmptyRequest, Optional[results.NotifyCacheEmptyResult]]
)
NotifyChannelStateHandler = TypeVar(
    "NotifyChannelStateHandler",
    bound=Handler[requests.NotifyChannelStateRequest, Union[results.NotifyChannelStateResult, Error, None]],
)
MapPublishHandler = TypeVar(
    "MapPublishHandler", bound=Handler[requests.MapPublishRequest, Union[results.MapPublishResult, Refusal]]
)
MapRemoveHandler = TypeVar("MapRemoveHandler", bound=Handler[requests.MapRemoveRequest, Union[results.MapRemoveResult, Refusal]])
SharedPollRefreshHandler = TypeVar(
    "SharedPollRefreshHandler",
    bound=Handler[requests.SharedPollRefreshRequest, Union[results.SharedPollRefreshResult, Error, None]],
)

_EVENTS = {event.value: event for event in Event}

# The event type, as Causeway and RoadRunner write it. No header can pass for it: in a JSON string, quotes are escaped.
_TYPE = re.compile(rb',"type":\["([a-z]+)"')


class App:
    """The handlers of an application, and the loop that calls them.

    A handler takes a request and returns a result, ``None`` for an empty result, an ``Error`` or a ``Disconnect``; the last two
    may be raised as well. ``Stop`` hands the request to another worker. Any other exception fails the request; the worker logs it
    and goes on. Every request gets exactly one answer.

    An event without a handler is answered with Centrifugo's error 108, "not available".

    Handlers may be ``async``. A worker serves one request at a time, and its event loop runs only while a handler does.
    """

    def __init__(self) -> None:
        self._handlers: dict[Event, AnyHandler] = {}
        self._methods: dict[str, AnyHandler] = {}
        self._missing: set[Event] = set()
        self._loop: Optional[asyncio.AbstractEventLoop] = None

    def on_connect(self, handler: ConnectHandler) -> ConnectHandler:
        """Handle connects."""
        return self.on(Event.CONNECT)(handler)

    def on_refresh(self, handler: RefreshHandler) -> RefreshHandler:
        """Handle refreshes of connections."""
        return self.on(Event.REFRESH)(handler)

    def on_subscribe(self, handler: SubscribeHandler) -> SubscribeHandler:
        """Handle subscribes."""
        return self.on(Event.SUBSCRIBE)(handler)

    def on_publish(self, handler: PublishHandler) -> PublishHandler:
        """Handle publications of clients."""
        return self.on(Event.PUBLISH)(handler)

    def on_rpc(self, method: str) -> Callable[[RpcHandler], RpcHandler]:
        """Handle calls of one method, or with ``"*"`` the calls that no other handler takes."""
        if not isinstance(method, str):
            raise TypeError('on_rpc takes the name of a method, or "*"')
        if method == "*":
            return self.on(Event.RPC)

        def register(handler: RpcHandler) -> RpcHandler:
            return _register(self._methods, method, handler, f"RPC method {method!r}")

        return register

    def on_sub_refresh(self, handler: SubRefreshHandler) -> SubRefreshHandler:
        """Handle refreshes of subscriptions."""
        return self.on(Event.SUB_REFRESH)(handler)

    def on_notify_cache_empty(self, handler: NotifyCacheEmptyHandler) -> NotifyCacheEmptyHandler:
        """Handle notifications of empty caches."""
        return self.on(Event.NOTIFY_CACHE_EMPTY)(handler)

    def on_notify_channel_state(self, handler: NotifyChannelStateHandler) -> NotifyChannelStateHandler:
        """Handle notifications of occupied and vacated channels."""
        return self.on(Event.NOTIFY_CHANNEL_STATE)(handler)

    def on_map_publish(self, handler: MapPublishHandler) -> MapPublishHandler:
        """Handle entries that clients set in map channels."""
        return self.on(Event.MAP_PUBLISH)(handler)

    def on_map_remove(self, handler: MapRemoveHandler) -> MapRemoveHandler:
        """Handle entries that clients remove from map channels."""
        return self.on(Event.MAP_REMOVE)(handler)

    def on_shared_poll_refresh(self, handler: SharedPollRefreshHandler) -> SharedPollRefreshHandler:
        """Handle shared polls."""
        return self.on(Event.SHARED_POLL_REFRESH)(handler)

    def on(self, event: Event) -> Callable[[H], H]:
        """Handle any type of event; raise ``ValueError`` when it has a handler already."""

        def register(handler: H) -> H:
            return _register(self._handlers, event, handler, event.value)

        return register

    def run(self, worker: Optional[Worker] = None) -> None:
        """Serve requests until the server stops this worker."""
        (worker or Worker()).run(self.answer)

    def answer(self, payload: Payload) -> bytes:
        """Return the encoded response to one request.

        Raises ``WorkerError`` when the event is unknown or its handler returns what cannot be its answer.
        """
        kind = _event_type(payload.context)
        event = _EVENTS.get(kind)
        if event is None:
            raise WorkerError(f'unknown event type "{kind}"')
        request: Any = event.request(payload.body, payload.context)
        handler = (self._methods.get(request.method) if kind == "rpc" else None) or self._handlers.get(event)
        if handler is None:
            return self._without_handler(event, request)
        try:
            answer = self._call(handler, request)
        except (Error, Disconnect) as refusal:
            answer = refusal
        try:
            return _response(event, answer)
        except Exception as error:
            problem = "" if isinstance(error, WorkerError) else f"cannot encode the answer to {event.value}: "
            raise WorkerError(f"{_place(handler)}: {problem}{error}") from error

    def _call(self, handler: AnyHandler, request: Request) -> Any:
        answer = handler(request)
        if isinstance(answer, Result) or not inspect.isawaitable(answer):
            return answer
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        try:
            return self._loop.run_until_complete(_wait(answer))
        except asyncio.CancelledError as error:
            # No subclass of Exception: it would end the worker.
            raise RuntimeError("the handler was cancelled") from error

    def _without_handler(self, event: Event, request: Any) -> bytes:
        """Answer an event without a handler. The response to an empty cache has no error, so that its result is empty instead."""
        if event not in self._missing:
            self._missing.add(event)
            method = f" method {json.dumps(request.method[:100])}" if event is Event.RPC else ""
            print(f"no handler for {event.value}{method} (logged once)", file=sys.stderr, flush=True)
        return _response(event, None if event is Event.NOTIFY_CACHE_EMPTY else Error.not_available())


def _response(event: Event, answer: Answer) -> bytes:
    response: Any = event.response()
    if answer is None or isinstance(answer, event.result):
        result = response.result
        result.SetInParent()
        if answer is not None:
            answer.fill(result)
    elif isinstance(answer, Error):
        error = _field(event, response, "error")
        error.code, error.message, error.temporary = answer.code, answer.message, answer.temporary
    elif isinstance(answer, Disconnect):
        disconnect = _field(event, response, "disconnect")
        disconnect.code, disconnect.reason = answer.code, answer.reason
    else:
        refusals = [name for name in ("error", "disconnect") if name in event.response.DESCRIPTOR.fields_by_name]
        expected = ", ".join((event.result.__name__, *map(str.capitalize, refusals)))
        raise WorkerError(f"the handler of {event.value} returned {type(answer).__name__}, expected {expected} or None")
    serialized: bytes = response.SerializeToString()
    return serialized


def _field(event: Event, response: Any, name: str) -> Any:
    if name not in event.response.DESCRIPTOR.fields_by_name:
        raise WorkerError(f"Centrifugo takes no {name} in answer to {event.value}")
    field = getattr(response, name)
    field.SetInParent()
    return field


def _register(handlers: dict[K, AnyHandler], key: K, handler: H, what: str) -> H:
    if key in handlers:
        raise ValueError(f"{what} has a handler already: {_place(handlers[key])}")
    handlers[key] = handler
    return handler


def _place(handler: AnyHandler) -> str:
    """Return where a handler is defined: file and line."""
    code = getattr(inspect.unwrap(handler), "__code__", None) or getattr(type(handler).__call__, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(handler)


def _event_type(context: bytes) -> str:
    # Decoding all headers costs ten times as much, and few handlers need them.
    found = _TYPE.search(context)
    if found:
        return found[1].decode()
    decoded = json.loads(context) if context else None
    types = decoded.get("type") if isinstance(decoded, dict) else None
    return str(types[0] if isinstance(types, list) and types else types or "")


async def _wait(answer: Awaitable[Any]) -> Any:
    return await answer
