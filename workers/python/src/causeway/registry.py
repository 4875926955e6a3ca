"""The decorators of an application: one for each event, for middlewares and for providers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, Union, overload

from . import requests, results
from .events import Disconnect, Error, Event
from .handlers import Handlers
from .injection import provided_type
from .middlewares import Middleware
from .requests import Request
from .results import Publication, Result

if TYPE_CHECKING:
    # Type checkers know it without the package.
    from typing_extensions import Concatenate

Q = TypeVar("Q", bound=Request)
A = TypeVar("A")
F = TypeVar("F", bound=Callable[..., Any])
Refusal = Union[Error, Disconnect, None]
Answer = Union[Result, Error, Disconnect]
Streamed = Union[results.SubscribeResult, Error, Disconnect, Publication]
Subscribed = Union[results.SubscribeResult, Refusal]

# A request, and dependencies.
if TYPE_CHECKING:
    Takes = Callable[Concatenate[Q, ...], A]
    Answers = Callable[Concatenate[Q, ...], Union[A, Awaitable[A]]]
else:
    Takes = Answers = Callable[[Q], A]

# Decorators return what they take, so that an application's own code and tests can call its handlers.
ConnectHandler = TypeVar("ConnectHandler", bound=Answers[requests.ConnectRequest, Union[results.ConnectResult, Refusal]])
RefreshHandler = TypeVar("RefreshHandler", bound=Answers[requests.RefreshRequest, Union[results.RefreshResult, Refusal]])
SubscribeHandler = TypeVar("SubscribeHandler", bound=Answers[requests.SubscribeRequest, Subscribed])
PublishHandler = TypeVar("PublishHandler", bound=Answers[requests.PublishRequest, Union[results.PublishResult, Refusal]])
RpcHandler = TypeVar("RpcHandler", bound=Answers[requests.RpcRequest, Union[results.RpcResult, Refusal]])
SubRefreshHandler = TypeVar(
    "SubRefreshHandler", bound=Answers[requests.SubRefreshRequest, Union[results.SubRefreshResult, Refusal]]
)
NotifyCacheEmptyHandler = TypeVar(
    "NotifyCacheEmptyHandler", bound=Answers[requests.NotifyCacheEmptyRequest, Optional[results.NotifyCacheEmptyResult]]
)
NotifyChannelStateHandler = TypeVar(
    "NotifyChannelStateHandler",
    bound=Answers[requests.NotifyChannelStateRequest, Union[results.NotifyChannelStateResult, Error, None]],
)
MapPublishHandler = TypeVar(
    "MapPublishHandler", bound=Answers[requests.MapPublishRequest, Union[results.MapPublishResult, Refusal]]
)
MapRemoveHandler = TypeVar("MapRemoveHandler", bound=Answers[requests.MapRemoveRequest, Union[results.MapRemoveResult, Refusal]])
SharedPollRefreshHandler = TypeVar(
    "SharedPollRefreshHandler",
    bound=Answers[requests.SharedPollRefreshRequest, Union[results.SharedPollRefreshResult, Error, None]],
)
SubscribeStreamHandler = TypeVar(
    "SubscribeStreamHandler",
    bound=Takes[
        requests.SubscribeStreamRequest, Union[Subscribed, Awaitable[Subscribed], Iterator[Streamed], AsyncIterator[Streamed]]
    ],
)
StreamPublishHandler = TypeVar(
    "StreamPublishHandler", bound=Answers[requests.StreamPublishRequest, Union[results.PublishResult, Refusal]]
)
StreamEndHandler = TypeVar("StreamEndHandler", bound=Answers[requests.StreamEndRequest, Optional[results.StreamEndResult]])


class Registry:
    """Takes the handlers of an application.

    A pattern is for methods or channels: ``*`` stands for any characters, even none, ``?`` for one, and a backslash makes the
    next character literal. The most specific pattern that matches wins: one without wildcards, then the one with the most
    literal characters, then with the fewest ``*``, then with the most ``?``, then the first. Without a pattern, a handler takes
    what no other handler of its event takes.
    """

    def __init__(self) -> None:
        self._handlers = Handlers()

    def on_connect(self, handler: ConnectHandler) -> ConnectHandler:
        """Handle connects."""
        return self.on(Event.CONNECT)(handler)

    def on_refresh(self, handler: RefreshHandler) -> RefreshHandler:
        """Handle refreshes of connections."""
        return self.on(Event.REFRESH)(handler)

    @overload
    def on_subscribe(self, pattern: SubscribeHandler) -> SubscribeHandler: ...

    @overload
    def on_subscribe(self, pattern: str) -> Callable[[SubscribeHandler], SubscribeHandler]: ...

    def on_subscribe(self, pattern: Any) -> Any:
        """Handle subscribes, to all channels or to those that match a pattern."""
        return self._on(Event.SUBSCRIBE, pattern)

    @overload
    def on_publish(self, pattern: PublishHandler) -> PublishHandler: ...

    @overload
    def on_publish(self, pattern: str) -> Callable[[PublishHandler], PublishHandler]: ...

    def on_publish(self, pattern: Any) -> Any:
        """Handle publications of clients."""
        return self._on(Event.PUBLISH, pattern)

    def on_rpc(self, pattern: str) -> Callable[[RpcHandler], RpcHandler]:
        """Handle calls of one method or of those that match a pattern, with ``"*"`` the calls that no other handler takes."""
        if not isinstance(pattern, str):
            raise TypeError('on_rpc takes the name of a method, or a pattern such as "users.*"')
        return self.on(Event.RPC, pattern)

    @overload
    def on_sub_refresh(self, pattern: SubRefreshHandler) -> SubRefreshHandler: ...

    @overload
    def on_sub_refresh(self, pattern: str) -> Callable[[SubRefreshHandler], SubRefreshHandler]: ...

    def on_sub_refresh(self, pattern: Any) -> Any:
        """Handle refreshes of subscriptions."""
        return self._on(Event.SUB_REFRESH, pattern)

    @overload
    def on_notify_cache_empty(self, pattern: NotifyCacheEmptyHandler) -> NotifyCacheEmptyHandler: ...

    @overload
    def on_notify_cache_empty(self, pattern: str) -> Callable[[NotifyCacheEmptyHandler], NotifyCacheEmptyHandler]: ...

    def on_notify_cache_empty(self, pattern: Any) -> Any:
        """Handle notifications of empty caches."""
        return self._on(Event.NOTIFY_CACHE_EMPTY, pattern)

    def on_notify_channel_state(self, handler: NotifyChannelStateHandler) -> NotifyChannelStateHandler:
        """Handle notifications of occupied and vacated channels."""
        return self.on(Event.NOTIFY_CHANNEL_STATE)(handler)

    @overload
    def on_map_publish(self, pattern: MapPublishHandler) -> MapPublishHandler: ...

    @overload
    def on_map_publish(self, pattern: str) -> Callable[[MapPublishHandler], MapPublishHandler]: ...

    def on_map_publish(self, pattern: Any) -> Any:
        """Handle entries that clients set in map channels."""
        return self._on(Event.MAP_PUBLISH, pattern)

    @overload
    def on_map_remove(self, pattern: MapRemoveHandler) -> MapRemoveHandler: ...

    @overload
    def on_map_remove(self, pattern: str) -> Callable[[MapRemoveHandler], MapRemoveHandler]: ...

    def on_map_remove(self, pattern: Any) -> Any:
        """Handle entries that clients remove from map channels."""
        return self._on(Event.MAP_REMOVE, pattern)

    @overload
    def on_shared_poll_refresh(self, pattern: SharedPollRefreshHandler) -> SharedPollRefreshHandler: ...

    @overload
    def on_shared_poll_refresh(self, pattern: str) -> Callable[[SharedPollRefreshHandler], SharedPollRefreshHandler]: ...

    def on_shared_poll_refresh(self, pattern: Any) -> Any:
        """Handle shared polls."""
        return self._on(Event.SHARED_POLL_REFRESH, pattern)

    @overload
    def on_subscribe_unidirectional(self, pattern: SubscribeStreamHandler) -> SubscribeStreamHandler: ...

    @overload
    def on_subscribe_unidirectional(self, pattern: str) -> Callable[[SubscribeStreamHandler], SubscribeStreamHandler]: ...

    def on_subscribe_unidirectional(self, pattern: Any) -> Any:
        """Handle subscriptions that get a stream of their own.

        If the handler returns a result, the server keeps the stream open: any caller publishes to it by ``request.stream``, with
        ``Rpc.stream``. A handler that is a generator yields the publications itself, after a ``SubscribeResult`` that accepts the
        subscription.
        """
        return self._on(Event.SUBSCRIBE_UNIDIRECTIONAL, pattern)

    @overload
    def on_subscribe_bidirectional(self, pattern: SubscribeStreamHandler) -> SubscribeStreamHandler: ...

    @overload
    def on_subscribe_bidirectional(self, pattern: str) -> Callable[[SubscribeStreamHandler], SubscribeStreamHandler]: ...

    def on_subscribe_bidirectional(self, pattern: Any) -> Any:
        """Handle subscriptions that get a stream of their own to which the client publishes, too."""
        return self._on(Event.SUBSCRIBE_BIDIRECTIONAL, pattern)

    @overload
    def on_stream_publish(self, pattern: StreamPublishHandler) -> StreamPublishHandler: ...

    @overload
    def on_stream_publish(self, pattern: str) -> Callable[[StreamPublishHandler], StreamPublishHandler]: ...

    def on_stream_publish(self, pattern: Any) -> Any:
        """Handle what clients publish to their streams. An ``Error`` or ``Disconnect`` ends the stream."""
        return self._on(Event.STREAM_PUBLISH, pattern)

    @overload
    def on_stream_end(self, pattern: StreamEndHandler) -> StreamEndHandler: ...

    @overload
    def on_stream_end(self, pattern: str) -> Callable[[StreamEndHandler], StreamEndHandler]: ...

    def on_stream_end(self, pattern: Any) -> Any:
        """Handle the end of streams."""
        return self._on(Event.STREAM_END, pattern)

    def on(self, event: Event, pattern: str = "*") -> Callable[[F], F]:
        """Handle any type of event; raise ``ValueError`` when it has a handler for this pattern already."""

        def register(handler: F) -> F:
            return self._handlers.register(event, handler, pattern)

        return register

    def _on(self, event: Event, pattern: Any) -> Any:
        """Register a handler, or return a decorator that does."""
        return self.on(event, pattern) if isinstance(pattern, str) else self.on(event)(pattern)

    @overload
    def middleware(self, event: F) -> F: ...

    @overload
    def middleware(self, event: Event) -> Callable[[F], F]: ...

    def middleware(self, event: Any) -> Any:
        """Put a function around the handlers of an event, or of all events: ``function(request, next)``.

        ``next(request)`` returns the answer of what is inside, also if it was raised: a result, an ``Error`` or a ``Disconnect``.
        What the function returns is the answer; it need not call ``next``. Middlewares of all events are outside of those of
        one, and the first one is outside of those that come later. One that is ``async`` serves all handlers; one that is not
        serves those that are not.
        """
        if isinstance(event, Event):
            return lambda function: self.add_middleware(function, event)
        return self.add_middleware(event)

    def add_middleware(
        self, function: F, event: Optional[Event] = None, *, asynchronous: Optional[Callable[..., Any]] = None
    ) -> F:
        """Put a function around handlers, and its counterpart around those that are ``async``; otherwise like ``middleware``."""
        self._handlers.add_middleware(Middleware(function, asynchronous, event))
        return function

    def provider(self, function: F) -> F:
        """Provide what the function returns, to all handlers and providers with a parameter of that type.

        It is called once for each request that needs it. A generator yields the value, and goes on when the handler has ended;
        what the handler raises is raised where it yields.
        """
        self.provide(provided_type(function), function)
        return function

    def provide(self, type_: Any, function: Callable[..., Any], *, asynchronous: Optional[Callable[..., Any]] = None) -> None:
        """Provide a type by a function, whatever that says about its result, and by its counterpart in ``async`` handlers."""
        self._handlers.provide(type_, function, asynchronous)
