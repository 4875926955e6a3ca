"""The server's side of protocol 2, on the event loop of the test."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import causeway
from causeway import App, Event, Relay, frame, proxy
from causeway.frame import CONTROL, JSON, PROTO
from causeway.protocol2 import Session

PATIENCE = 60.0
FENCE = frame.encode(b'{"pid":1}', CONTROL | JSON)


class SocketRelay(Relay):
    """A relay over one end of a pair of sockets."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def descriptors(self) -> tuple[int, int]:
        return self.connection.fileno(), self.connection.fileno()

    def read(self) -> bytes:
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        raise NotImplementedError


class Bridge:
    """Runs an application's session, sends it frames and receives its answers."""

    session: Session
    greeting: dict[str, Any]

    def __init__(self, app: App, concurrency: int = 64, threads: int = 4, blocking_limit: Optional[float] = None) -> None:
        self._app = app
        self._options = (concurrency, threads, blocking_limit)
        self._ours, self._theirs = socket.socketpair()
        self._buffer = bytearray()
        self._number = 0

    async def __aenter__(self) -> Bridge:
        self.session = self._app.open_session(SocketRelay(self._theirs), *self._options)
        self._ours.setblocking(False)
        await self.send(FENCE)
        self.greeting = json.loads((await self.receive()).payload)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ours.close()
        if not self.session.finished.done():
            await asyncio.wait_for(asyncio.wait([self.session.finished]), PATIENCE)
        await self.session.close()
        self._theirs.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=PATIENCE)

    async def send(self, data: bytes) -> None:
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(self._ours, data), PATIENCE)

    async def command(self, **value: Any) -> None:
        await self.send(frame.encode(json.dumps(value).encode(), CONTROL | JSON))

    def close(self) -> None:
        """Close the relay."""
        self._ours.close()

    def request(
        self, event: Event, message: Any = None, *, context: Optional[Mapping[str, Sequence[str]]] = None
    ) -> tuple[int, bytes]:
        """Return a number and the frame of a request."""
        self._number += 1
        values = {":authority": ["test"], "type": [event.value], **(context or {})}
        encoded = json.dumps(values, separators=(",", ":")).encode()
        if self._app.codec.name == "json":
            body = json.dumps(message or {}).encode()
        else:
            body = message.SerializeToString() if message is not None else b""
        flags = JSON if self._app.codec.name == "json" else PROTO
        return self._number, frame.encode(encoded + body, flags, (len(encoded), self._number))

    async def start(self, event: Event, message: Any = None, *, context: Optional[Mapping[str, Sequence[str]]] = None) -> int:
        """Send a request and return its number."""
        number, data = self.request(event, message, context=context)
        await self.send(data)
        return number

    async def rpc(self, method: str, data: bytes = b"null") -> int:
        """Send a call of a method and return its number."""
        return await self.start(Event.RPC, proxy.RPCRequest(method=method, user="42", data=data))

    async def receive(self) -> frame.Frame:
        """Return the next frame."""
        return await asyncio.wait_for(self._receive(), PATIENCE)

    async def _receive(self) -> frame.Frame:
        while (found := frame.decode(self._buffer)) is None:
            chunk = await asyncio.get_running_loop().sock_recv(self._ours, 65536)
            assert chunk, "the worker closed the relay"
            self._buffer += chunk
        received, end = found
        del self._buffer[:end]
        return received

    async def answer(self, number: int) -> Any:
        """Return the response to a call, whose answer is the next frame."""
        return response(await self.receive(), number)

    async def failure(self, number: int) -> str:
        """Return the text of a failed request, whose answer is the next frame."""
        return error(await self.receive(), number)

    async def is_idle(self) -> bool:
        """Whether nothing but the answer to a ping comes."""
        await self.send(frame.encode(b"", stream=frame.PING))
        return await self.receive() == frame.Frame(b"", 0, (), frame.PONG)


def response(received: frame.Frame, number: int, event: Event = Event.RPC) -> Any:
    """Return the response in an answer."""
    assert (received.flags, received.options, received.stream) == (0, (0, number), 0), received
    return event.response.FromString(received.payload)


def error(received: frame.Frame, number: int) -> str:
    """Return the text of an error."""
    assert (received.flags, received.options, received.stream) == (frame.ERROR, (0, number), 0), received
    return received.payload.decode()


class Held:
    """A handler that waits until it is released, once per method."""

    def __init__(self) -> None:
        self.started: dict[str, asyncio.Event] = {}
        self.released: dict[str, asyncio.Event] = {}

    async def __call__(self, request: causeway.RpcRequest) -> causeway.RpcResult:
        self.event(self.started, request.method).set()
        await self.event(self.released, request.method).wait()
        return causeway.RpcResult(request.method)

    async def begun(self, *methods: str) -> None:
        """Wait until the handlers of these methods have begun."""
        for method in methods:
            await asyncio.wait_for(self.event(self.started, method).wait(), PATIENCE)

    def release(self, *methods: str) -> None:
        """Let the handlers of these methods return."""
        for method in methods:
            self.event(self.released, method).set()

    @staticmethod
    def event(events: dict[str, asyncio.Event], method: str) -> asyncio.Event:
        return events.setdefault(method, asyncio.Event())
