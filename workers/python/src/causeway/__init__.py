"""Answers Centrifugo's events: who may connect, subscribe, publish, and what an RPC returns.

A worker is started by Causeway (or RoadRunner) and speaks goridge with it over standard input and output, TCP or a unix socket,
as the variable ``RR_RELAY`` says::

    import causeway

    app = causeway.App()

    @app.connect
    def connect(request: causeway.ConnectRequest) -> causeway.ConnectResult:
        return causeway.ConnectResult(user="42", data={"hello": "world"})

    @app.rpc("sum")
    def add(request: causeway.RpcRequest) -> causeway.RpcResult:
        return causeway.RpcResult(data=request.json["a"] + request.json["b"])

    app.run()

The other way, a handler publishes with ``causeway.Centrifugo().publish("news", {"hello": "world"})``, and asks the bridge itself
with ``Informer``, ``Resetter``, ``Metrics``, ``Logger``, ``Lock`` and ``Status``; all of them share one connection to ``RR_RPC``.
"""

from ._proto import api_pb2 as api
from .app import App
from .bridge import Informer, Lock, Logger, Metrics, PluginStatus, Resetter, Status, WorkerState
from .centrifugo import Centrifugo
from .events import (
    ConnectRequest,
    ConnectResult,
    Disconnect,
    Error,
    MapPublishRequest,
    MapPublishResult,
    MapRemoveRequest,
    MapRemoveResult,
    NotifyCacheEmptyRequest,
    NotifyCacheEmptyResult,
    NotifyChannelStateRequest,
    NotifyChannelStateResult,
    PublishRequest,
    PublishResult,
    RefreshRequest,
    RefreshResult,
    Request,
    RpcRequest,
    RpcResult,
    SharedPollRefreshRequest,
    SharedPollRefreshResult,
    Stop,
    SubRefreshRequest,
    SubRefreshResult,
    SubscribeRequest,
    SubscribeResult,
)
from .rpc import ApiError, GrpcError, Rpc, RpcConnectionError, RpcError, RpcTimeoutError, ServerError
from .worker import Payload, Worker, WorkerError

__all__ = [
    "ApiError",
    "App",
    "Centrifugo",
    "ConnectRequest",
    "ConnectResult",
    "Disconnect",
    "Error",
    "GrpcError",
    "Informer",
    "Lock",
    "Logger",
    "MapPublishRequest",
    "MapPublishResult",
    "MapRemoveRequest",
    "MapRemoveResult",
    "Metrics",
    "NotifyCacheEmptyRequest",
    "NotifyCacheEmptyResult",
    "NotifyChannelStateRequest",
    "NotifyChannelStateResult",
    "Payload",
    "PluginStatus",
    "PublishRequest",
    "PublishResult",
    "RefreshRequest",
    "RefreshResult",
    "Request",
    "Resetter",
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
    "SubRefreshRequest",
    "SubRefreshResult",
    "SubscribeRequest",
    "SubscribeResult",
    "Worker",
    "WorkerError",
    "WorkerState",
    "api",
]
__version__ = "0.1.0"
