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

from ._proto import api_pb2 as api
from ._proto import proxy_pb2 as proxy
from .app import App
from .events import Disconnect, Error, Event, Stop
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
    SubRefreshRequest,
    SubscribeRequest,
)
from .results import (
    ConnectResult,
    MapPublishResult,
    MapRemoveResult,
    NotifyCacheEmptyResult,
    NotifyChannelStateResult,
    PublishResult,
    RefreshResult,
    Result,
    RpcResult,
    SharedPollRefreshResult,
    SubRefreshResult,
    SubscribeResult,
)
from .rpc import (
    ApiError,
    Centrifugo,
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
    WorkerState,
)
from .worker import Payload, Worker, WorkerError

__all__ = [
    "ApiError",
    "App",
    "Centrifugo",
    "ConnectRequest",
    "ConnectResult",
    "Disconnect",
    "Error",
    "Event",
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
    "SubRefreshRequest",
    "SubRefreshResult",
    "SubscribeRequest",
    "SubscribeResult",
    "Worker",
    "WorkerError",
    "WorkerState",
    "api",
    "proxy",
]
__version__ = "0.1.0"
