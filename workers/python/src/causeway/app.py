"""The application: which function answers which event."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Awaitable
from typing import Any, Callable, Optional, TypeVar, Union

from .events import (
    EVENTS,
    Answer,
    ConnectRequest,
    Disconnect,
    Error,
    MapPublishRequest,
    MapRemoveRequest,
    NotifyCacheEmptyRequest,
    NotifyChannelStateRequest,
    PublishRequest,
    RefreshRequest,
    Result,
    RpcRequest,
    SharedPollRefreshRequest,
    Stop,
    SubRefreshRequest,
    SubscribeRequest,
)
from .worker import Payload, StopWorker, Worker, WorkerError

R = TypeVar("R")
Handler = Callable[[R], Union[Answer, Awaitable[Answer]]]

NOT_AVAILABLE = Error(108, "not available")
"""The answer to an event that the application has no function for: Centrifugo's own code for what is not available."""

# The type, as Causeway and RoadRunner write it. No header can pass for it: inside of a JSON string, a quote follows a backslash.
_TYPE = re.compile(rb',"type":\["([a-z]+)"')


class App:
    """A table of functions, and the loop that calls them.

    A function gets a request and returns a result (``None`` is an empty one), an ``Error`` or a ``Disconnect``; the last two may
    be raised as well. Any other exception fails the request. Functions may be ``async``: one request is handled at a time, and
    the event loop is kept between requests.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, Handler[Any]] = {}
        self._methods: dict[str, Handler[RpcRequest]] = {}
        self._loop: Optional[asyncio.AbstractEventLoop] = None

    def connect(self, handler: Handler[ConnectRequest]) -> Handler[ConnectRequest]:
        """Answer connects with this function."""
        return self._on("connect", handler)

    def refresh(self, handler: Handler[RefreshRequest]) -> Handler[RefreshRequest]:
        """Answer refreshes of connections with this function."""
        return self._on("refresh", handler)

    def subscribe(self, handler: Handler[SubscribeRequest]) -> Handler[SubscribeRequest]:
        """Answer subscribes with this function."""
        return self._on("subscribe", handler)

    def publish(self, handler: Handler[PublishRequest]) -> Handler[PublishRequest]:
        """Answer publications of clients with this function."""
        return self._on("publish", handler)

    def sub_refresh(self, handler: Handler[SubRefreshRequest]) -> Handler[SubRefreshRequest]:
        """Answer refreshes of subscriptions with this function."""
        return self._on("subrefresh", handler)

    def notify_cache_empty(self, handler: Handler[NotifyCacheEmptyRequest]) -> Handler[NotifyCacheEmptyRequest]:
        """Answer notices of empty caches with this function."""
        return self._on("notifycacheempty", handler)

    def notify_channel_state(self, handler: Handler[NotifyChannelStateRequest]) -> Handler[NotifyChannelStateRequest]:
        """Answer notices of occupied and vacated channels with this function."""
        return self._on("notifychannelstate", handler)

    def map_publish(self, handler: Handler[MapPublishRequest]) -> Handler[MapPublishRequest]:
        """Answer entries of map channels with this function."""
        return self._on("mappublish", handler)

    def map_remove(self, handler: Handler[MapRemoveRequest]) -> Handler[MapRemoveRequest]:
        """Answer removals from map channels with this function."""
        return self._on("mapremove", handler)

    def shared_poll_refresh(self, handler: Handler[SharedPollRefreshRequest]) -> Handler[SharedPollRefreshRequest]:
        """Answer shared polls with this function."""
        return self._on("sharedpollrefresh", handler)

    def rpc(self, method: Optional[str] = None) -> Callable[[Handler[RpcRequest]], Handler[RpcRequest]]:
        """Answer calls of ``method`` with this function; without a name, all that no other function answers."""

        def register(handler: Handler[RpcRequest]) -> Handler[RpcRequest]:
            if method is None:
                return self._on("rpc", handler)
            self._methods[method] = handler
            return handler

        return register

    def run(self, worker: Optional[Worker] = None) -> None:
        """Answer events until the supervisor says stop."""
        (worker or Worker()).run(self.answer)

    def answer(self, payload: Payload) -> bytes:
        """Return the response message to one request."""
        kind = _kind(payload.context)
        event = EVENTS.get(kind)
        if event is None:
            raise WorkerError(f"this worker does not know events of type {kind!r}")
        request = event.request(payload.body, payload.context)
        response: Any = event.response()
        try:
            answer = self._call(kind, request)
        except (Error, Disconnect) as refusal:
            answer = refusal
        except Stop:
            raise StopWorker from None
        if answer is None or isinstance(answer, Result):
            result = response.result
            result.SetInParent()
            if answer is not None:
                answer.fill(result)
        elif isinstance(answer, Error):
            response.error.code, response.error.message = answer.code, answer.message
            response.error.temporary = answer.temporary
        elif isinstance(answer, Disconnect):
            if "disconnect" not in event.response.DESCRIPTOR.fields_by_name:
                raise WorkerError(f"an event of type {kind} cannot be answered with a disconnect")
            response.disconnect.code, response.disconnect.reason = answer.code, answer.reason
        else:
            raise TypeError(f"expected a result, an Error, a Disconnect or None, found {answer!r}")
        serialized: bytes = response.SerializeToString()
        return serialized

    def _on(self, kind: str, handler: Handler[R]) -> Handler[R]:
        self._handlers[kind] = handler
        return handler

    def _call(self, kind: str, request: Any) -> Answer:
        handler = self._methods.get(request.method) if kind == "rpc" else None
        handler = handler or self._handlers.get(kind)
        if handler is None:
            return NOT_AVAILABLE
        answer = handler(request)
        if isinstance(answer, Result):
            return answer
        if inspect.isawaitable(answer):
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
            return self._loop.run_until_complete(_wait(answer))
        return answer


def _kind(context: bytes) -> str:
    # Reading all metadata costs ten times as much, and few functions ask for them.
    found = _TYPE.search(context)
    if found:
        return found[1].decode()
    kinds = json.loads(context).get("type") if context else None
    return str(kinds[0]) if kinds else ""


async def _wait(answer: Awaitable[Answer]) -> Answer:
    return await answer
