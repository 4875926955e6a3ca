"""Calls to Centrifugo and to the server itself, through ``rpc.listen``."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, ClassVar, Optional, TypeVar

from ..frame import RAW
from .aio import AsyncRpc
from .centrifugo import Centrifugo
from .client import Client
from .errors import ApiError, GrpcError, RpcConnectionError, RpcError, RpcTimeoutError, ServerError
from .services import Informer, Lock, Logger, Metrics, Resetter, Status, Streams
from .values import DEFAULT_ADDRESS, FencedLock, PluginStatus, StreamInfo, WorkerState

__all__ = [
    "ApiError",
    "AsyncRpc",
    "Centrifugo",
    "FencedLock",
    "GrpcError",
    "Informer",
    "Lock",
    "Logger",
    "Metrics",
    "PluginStatus",
    "Resetter",
    "Rpc",
    "RpcConnectionError",
    "RpcError",
    "RpcTimeoutError",
    "ServerError",
    "Status",
    "StreamInfo",
    "Streams",
    "WorkerState",
]

if TYPE_CHECKING:
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")


class Rpc:
    """Calls Centrifugo and the server itself, through ``rpc.listen``.

    Connects with the first call and keeps the connection; threads that call at the same time have one each. A call reconnects if
    the server has closed the connection in the meantime; a call that the server may have received is never repeated. After a
    fork, the child opens its own connection.

    All methods, and those of the services, raise an ``RpcError``.
    """

    _shared: ClassVar[Optional[Rpc]] = None

    def __init__(self, address: Optional[str] = None, *, timeout: float = 30.0) -> None:
        """Take an address, ``tcp://host:port`` or ``unix://path``, and the seconds that a call may take.

        By default the address is what the environment variable ``RR_RPC`` says.
        """
        self.address = (os.environ.get("RR_RPC") or DEFAULT_ADDRESS) if address is None else address
        self.timeout = timeout
        self._client = Client(self.address, timeout)
        self.centrifugo = Centrifugo(self._client)
        """Centrifugo's server API."""
        self.informer = Informer(self._client)
        """The workers of a pool."""
        self.resetter = Resetter(self._client)
        """Replaces workers."""
        self.metrics = Metrics(self._client)
        """The application's metrics."""
        self.logger = Logger(self._client)
        """The server's log."""
        self.lock = Lock(self._client)
        """Locks shared by all workers."""
        self.status = Status(self._client)
        """The health of a pool."""
        self.stream = Streams(self._client)
        """The streams of subscriptions that the server holds."""

    @classmethod
    def shared(cls) -> Rpc:
        """Return the process-wide client, with the address in ``RR_RPC``."""
        if Rpc._shared is None:
            Rpc._shared = Rpc()
        return Rpc._shared

    def call(self, method: str, argument: Any = None, *, timeout: Optional[float] = None) -> Any:
        """Call a method with any value that JSON can represent, and return its decoded result.

        ``timeout`` is in seconds and replaces the client's timeout.
        """
        return self._client.call(method, argument, timeout)

    def call_proto(self, method: str, argument: Message, result: type[M], *, timeout: Optional[float] = None) -> M:
        """Call a method with a protobuf message, and return its result, a message of type ``result``."""
        return self._client.call_proto(method, argument, result, timeout)

    def call_bytes(self, method: str, argument: bytes, codec: int = RAW, *, timeout: Optional[float] = None) -> bytes:
        """Call a method with an encoded argument, and return its result, encoded alike.

        ``codec`` says how the argument is encoded: a flag of ``causeway.frame``.
        """
        return self._client.call_bytes(method, argument, codec, timeout)

    def version(self) -> str:
        """Return the server's version."""
        return str(self.call("rpc.Version", True))

    def config(self) -> Any:
        """Return the server's configuration, as decoded JSON."""
        return json.loads(self.call_bytes("rpc.Config", b"true"))

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._client.close()
