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
"""

from .app import App
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
from .worker import Payload, Worker, WorkerError

__all__ = [
    "App",
    "ConnectRequest",
    "ConnectResult",
    "Disconnect",
    "Error",
    "MapPublishRequest",
    "MapPublishResult",
    "MapRemoveRequest",
    "MapRemoveResult",
    "NotifyCacheEmptyRequest",
    "NotifyCacheEmptyResult",
    "NotifyChannelStateRequest",
    "NotifyChannelStateResult",
    "Payload",
    "PublishRequest",
    "PublishResult",
    "RefreshRequest",
    "RefreshResult",
    "Request",
    "RpcRequest",
    "RpcResult",
    "SharedPollRefreshRequest",
    "SharedPollRefreshResult",
    "Stop",
    "SubRefreshRequest",
    "SubRefreshResult",
    "SubscribeRequest",
    "SubscribeResult",
    "Worker",
    "WorkerError",
]
__version__ = "0.1.0"
