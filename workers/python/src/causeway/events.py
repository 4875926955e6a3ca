"""The types of events, and the answers that are not results."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Union

from . import requests, results
from .lazy import cached_property
from .requests import Request
from .results import Result


@dataclass(unsafe_hash=True)
class Error(Exception):
    """Refuses an event with a code and a message; the client stays connected. Return it or raise it."""

    code: int
    message: str
    temporary: bool = False

    def __post_init__(self) -> None:
        # ``args``, which exceptions are copied and pickled with.
        super().__init__(self.code, self.message, self.temporary)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @classmethod
    def not_available(cls) -> Error:
        """Return Centrifugo's error 108: the answer to events without a handler."""
        return cls(108, "not available")


@dataclass(unsafe_hash=True)
class Disconnect(Exception):  # noqa: N818 - an answer, not an error
    """Disconnects the client. Return it or raise it.

    The client reconnects after codes 4000 to 4499, but not after 4500 to 4999.
    """

    code: int
    reason: str

    def __post_init__(self) -> None:
        super().__init__(self.code, self.reason)

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


Answer = Union[Result, Error, Disconnect, None]


_REFUSALS = ("error", "disconnect")


class Event(str, Enum):
    """The types of events, as a request's context names them."""

    CONNECT = "connect", requests.ConnectRequest, results.ConnectResult
    REFRESH = "refresh", requests.RefreshRequest, results.RefreshResult
    SUBSCRIBE = "subscribe", requests.SubscribeRequest, results.SubscribeResult
    PUBLISH = "publish", requests.PublishRequest, results.PublishResult
    RPC = "rpc", requests.RpcRequest, results.RpcResult, "RPCResult"
    SUB_REFRESH = "subrefresh", requests.SubRefreshRequest, results.SubRefreshResult
    NOTIFY_CACHE_EMPTY = (
        "notifycacheempty",
        requests.NotifyCacheEmptyRequest,
        results.NotifyCacheEmptyResult,
        "NotifyCacheEmptyResult",
        (),
    )
    NOTIFY_CHANNEL_STATE = (
        "notifychannelstate",
        requests.NotifyChannelStateRequest,
        results.NotifyChannelStateResult,
        "NotifyChannelStateResult",
        ("error",),
    )
    MAP_PUBLISH = "mappublish", requests.MapPublishRequest, results.MapPublishResult
    MAP_REMOVE = "mapremove", requests.MapRemoveRequest, results.MapRemoveResult
    SHARED_POLL_REFRESH = (
        "sharedpollrefresh",
        requests.SharedPollRefreshRequest,
        results.SharedPollRefreshResult,
        "SharedPollRefreshResult",
        ("error",),
    )
    SUBSCRIBE_UNIDIRECTIONAL = "subscribeunidirectional", requests.SubscribeStreamRequest, results.SubscribeResult
    SUBSCRIBE_BIDIRECTIONAL = "subscribebidirectional", requests.SubscribeStreamRequest, results.SubscribeResult
    STREAM_PUBLISH = "streampublish", requests.StreamPublishRequest, results.PublishResult
    STREAM_END = "streamend", requests.StreamEndRequest, results.StreamEndResult, "SubscribeResult", ()

    request: type[Request]
    """What a handler takes."""
    result: type[Result]
    """What a handler returns."""
    result_message: str
    """The message that carries the result."""
    is_stream: bool
    """Whether a stream answers the event."""
    subject: str
    """The field of requests that patterns match: ``method`` or ``channel``, or nothing."""
    refusals: tuple[str, ...]
    """What may be in a response instead of the result: ``error`` and ``disconnect``, one of them or neither."""

    def __new__(
        cls,
        value: str,
        request: type[Request],
        result: type[Result],
        message: str = "",
        refusals: tuple[str, ...] = _REFUSALS,
    ) -> Event:
        """Create a member whose value is the type in the context."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.request, member.result, member.refusals = request, result, refusals
        member.result_message = message or result.__name__
        member.subject = next((name for name in ("method", "channel") if hasattr(request, name)), "")
        member.is_stream = request is requests.SubscribeStreamRequest
        return member

    @cached_property
    def response(self) -> type[Any]:
        """The protobuf message that holds the result, an error or a disconnect."""
        from ._proto import proxy_pb2

        found: type[Any] = getattr(proxy_pb2, self.result_message[: -len("Result")] + "Response")
        return found
