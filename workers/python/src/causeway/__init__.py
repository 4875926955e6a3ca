"""Workers for Centrifugo's proxy events: who may connect, subscribe and publish, and what an RPC returns.

Causeway (or RoadRunner) starts a worker and speaks goridge with it over standard streams, TCP or a unix socket, as the
environment variable ``RR_RELAY`` says::

    import causeway

    app = causeway.App()

    @app.on_connect
    def connect(request: causeway.ConnectRequest) -> causeway.ConnectResult:
        return causeway.ConnectResult(user="42", data={"hello": "world"})

    @app.on_rpc("sum")
    def add(request: causeway.RpcRequest) -> causeway.RpcResult:
        return causeway.RpcResult(data=request.json["a"] + request.json["b"])

    app.run()

In the other direction, ``causeway.Rpc`` calls Centrifugo's server API and the server itself::

    rpc = causeway.Rpc()
    rpc.centrifugo.publish("news", {"hello": "world"})

The messages of Centrifugo's server API are in ``causeway.api``, those of its events in ``causeway.proxy``.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .app import App
from .data import Data
from .events import Disconnect, Error, Event
from .failures import Stop, WorkerError
from .handlers import current_request
from .relay import Relay
from .requests import (
    ConnectRequest,
    MapPublishRequest,
    MapRemoveRequest,
    NotifyCacheEmptyRequest,
    NotifyChannelStateRequest,
    PublishRequest,
    RefreshRequest,
    Request,
    RpcRequest,
    SharedPollRefreshRequest,
    StreamEndRequest,
    StreamPublishRequest,
    SubRefreshRequest,
    SubscribeRequest,
    SubscribeStreamRequest,
)
from .results import (
    ConnectResult,
    MapPublishResult,
    MapRemoveResult,
    NotifyCacheEmptyResult,
    NotifyChannelStateResult,
    Publication,
    PublishResult,
    RefreshResult,
    Result,
    RpcResult,
    SharedPollRefreshResult,
    StreamEndResult,
    SubRefreshResult,
    SubscribeResult,
)
from .rpc import (
    ApiError,
    AsyncRpc,
    Centrifugo,
    FencedLock,
    GrpcError,
    Informer,
    Lock,
    Logger,
    Metrics,
    PluginStatus,
    Resetter,
    Rpc,
    RpcConnectionError,
    RpcError,
    RpcTimeoutError,
    ServerError,
    Status,
    StreamInfo,
    Streams,
    WorkerState,
)
from .streams import Message
from .worker import Payload, Worker

__all__ = [
    "ApiError",
    "App",
    "AsyncRpc",
    "Centrifugo",
    "ConnectRequest",
    "ConnectResult",
    "Data",
    "Disconnect",
    "Error",
    "Event",
    "FencedLock",
    "GrpcError",
    "Informer",
    "Lock",
    "Logger",
    "MapPublishRequest",
    "MapPublishResult",
    "MapRemoveRequest",
    "MapRemoveResult",
    "Message",
    "Metrics",
    "NotifyCacheEmptyRequest",
    "NotifyCacheEmptyResult",
    "NotifyChannelStateRequest",
    "NotifyChannelStateResult",
    "Payload",
    "PluginStatus",
    "Publication",
    "PublishRequest",
    "PublishResult",
    "RefreshRequest",
    "RefreshResult",
    "Relay",
    "Request",
    "Resetter",
    "Result",
    "Rpc",
    "RpcConnectionError",
    "RpcError",
    "RpcRequest",
    "RpcResult",
    "RpcTimeoutError",
    "ServerError",
    "SharedPollRefreshRequest",
    "SharedPollRefreshResult",
    "Status",
    "Stop",
    "StreamEndRequest",
    "StreamEndResult",
    "StreamInfo",
    "StreamPublishRequest",
    "Streams",
    "SubRefreshRequest",
    "SubRefreshResult",
    "SubscribeRequest",
    "SubscribeResult",
    "SubscribeStreamRequest",
    "Worker",
    "WorkerError",
    "WorkerState",
    "api",
    "current_request",
    "proxy",
]
__version__ = "0.1.0"

if TYPE_CHECKING:
    from ._proto import api_pb2 as api
    from ._proto import proxy_pb2 as proxy


def __getattr__(name: str) -> Any:
    # Workers whose messages are JSON do without protobuf.
    modules = {"api": "api_pb2", "proxy": "proxy_pb2"}
    if name not in modules:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = globals()[name] = importlib.import_module(f"._proto.{modules[name]}", __name__)
    return module
