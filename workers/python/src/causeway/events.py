"""The types of events, and the answers that are not results."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Union

from google.protobuf.message import Message

from . import requests, results
from ._proto import proxy_pb2 as pb
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


class Stop(Exception):  # noqa: N818 - a request, not an error
    """Raise it to hand the request to another worker and have this one replaced."""


Answer = Union[Result, Error, Disconnect, None]


class Event(str, Enum):
    """The types of events, as a request's context names them."""

    CONNECT = "connect", requests.ConnectRequest, results.ConnectResult, pb.ConnectResponse
    REFRESH = "refresh", requests.RefreshRequest, results.RefreshResult, pb.RefreshResponse
    SUBSCRIBE = "subscribe", requests.SubscribeRequest, results.SubscribeResult, pb.SubscribeResponse
    PUBLISH = "publish", requests.PublishRequest, results.PublishResult, pb.PublishResponse
    RPC = "rpc", requests.RpcRequest, results.RpcResult, pb.RPCResponse
    SUB_REFRESH = "subrefresh", requests.SubRefreshRequest, results.SubRefreshResult, pb.SubRefreshResponse
    NOTIFY_CACHE_EMPTY = (
        "notifycacheempty",
        requests.NotifyCacheEmptyRequest,
        results.NotifyCacheEmptyResult,
        pb.NotifyCacheEmptyResponse,
    )
    NOTIFY_CHANNEL_STATE = (
        "notifychannelstate",
        requests.NotifyChannelStateRequest,
        results.NotifyChannelStateResult,
        pb.NotifyChannelStateResponse,
    )
    MAP_PUBLISH = "mappublish", requests.MapPublishRequest, results.MapPublishResult, pb.MapPublishResponse
    MAP_REMOVE = "mapremove", requests.MapRemoveRequest, results.MapRemoveResult, pb.MapRemoveResponse
    SHARED_POLL_REFRESH = (
        "sharedpollrefresh",
        requests.SharedPollRefreshRequest,
        results.SharedPollRefreshResult,
        pb.SharedPollRefreshResponse,
    )

    request: type[Request]
    """What a handler takes."""
    result: type[Result]
    """What a handler returns."""
    response: type[Message]
    """The response message, which holds the result, an error or a disconnect."""

    def __new__(cls, value: str, request: type[Request], result: type[Result], response: type[Message]) -> Event:
        """Create a member whose value is the type in the context."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.request, member.result, member.response = request, result, response
        return member
