"""Calls to Centrifugo and to the server itself from an event loop, which none of them blocks."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, ClassVar, Optional, TypeVar

from ...frame import RAW
from ..values import DEFAULT_ADDRESS
from .centrifugo import Centrifugo
from .client import Client
from .services import Informer, Lock, Logger, Metrics, Resetter, Status, Streams

if TYPE_CHECKING:
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")

__all__ = ["AsyncRpc", "Centrifugo", "Informer", "Lock", "Logger", "Metrics", "Resetter", "Status", "Streams"]


class AsyncRpc:
    """``Rpc`` for ``async`` handlers: the same services and methods, to be awaited.

    All calls share one connection, which opens with the first one, and opens again after the server has closed it, and on another
    event loop. A call that the server may have received is never repeated. A call may be cancelled: the server may run it all the
    same.
    """

    _shared: ClassVar[Optional[AsyncRpc]] = None

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
    def shared(cls) -> AsyncRpc:
        """Return the process-wide client, with the address in ``RR_RPC``."""
        if AsyncRpc._shared is None:
            AsyncRpc._shared = AsyncRpc()
        return AsyncRpc._shared

    async def __aenter__(self) -> AsyncRpc:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(self, method: str, argument: Any = None, *, timeout: Optional[float] = None) -> Any:
        """Call a method with any value that JSON can represent, and return its decoded result.

        ``timeout`` is in seconds and replaces the client's timeout.
        """
        return await self._client.call(method, argument, timeout)

    async def call_proto(self, method: str, argument: Message, result: type[M], *, timeout: Optional[float] = None) -> M:
        """Call a method with a protobuf message, and return its result, a message of type ``result``."""
        return await self._client.call_proto(method, argument, result, timeout)

    async def call_bytes(self, method: str, argument: bytes, codec: int = RAW, *, timeout: Optional[float] = None) -> bytes:
        """Call a method with an encoded argument, and return its result, encoded alike.

        ``codec`` says how the argument is encoded: a flag of ``causeway.frame``.
        """
        return await self._client.call_bytes(method, argument, codec, timeout)

    async def version(self) -> str:
        """Return the server's version."""
        return str(await self.call("rpc.Version", True))

    async def config(self) -> Any:
        """Return the server's configuration, as decoded JSON."""
        return json.loads(await self.call_bytes("rpc.Config", b"true"))

    async def close(self) -> None:
        """Close the connection; the next call opens another."""
        await self._client.close()
