"""goridge RPC on an event loop: many calls at a time on one connection.

Requests that are made at once are one write, and replies come in any order. A call that is cancelled or times out leaves the
connection to the others; its late reply is dropped.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union, cast

from ... import frame
from ...encoding import to_bytes
from ...frame import JSON, PROTO
from ...relay import parse
from ..client import decode_json, decode_proto, result_of
from ..errors import RpcConnectionError, RpcTimeoutError

if TYPE_CHECKING:
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")

_IDLE = 0.05
"""Seconds after which a connection without calls may have been closed without the event loop having noticed."""


class Client:
    """Calls methods over one connection, which belongs to the event loop that runs when it is opened."""

    def __init__(self, address: str, timeout: float) -> None:
        """Take the address and the seconds that a call may take."""
        self.timeout = timeout
        self._address = address
        self._connection: Optional[_Connection] = None
        self._opening: Optional[asyncio.Task[_Connection]] = None

    async def call(self, method: str, argument: Any, timeout: Optional[float] = None) -> Any:
        """Call a method with JSON."""
        return decode_json(method, await self.call_bytes(method, to_bytes(argument), JSON, timeout))

    async def call_proto(self, method: str, argument: Message, result: type[M], timeout: Optional[float] = None) -> M:
        """Call a method with protobuf messages."""
        return decode_proto(method, result, await self.call_bytes(method, argument.SerializeToString(), PROTO, timeout))

    async def call_bytes(self, method: str, argument: bytes, codec: int, timeout: Optional[float] = None) -> bytes:
        """Call a method with an encoded argument, and return its result, encoded alike."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self.timeout if timeout is None else timeout)
        while True:
            connection = self._connection
            if connection is None or connection.loop is not loop or not connection.is_open or connection.pid != os.getpid():
                connection = await self._open(loop, deadline)
            elif connection.is_idle():
                # Two turns of the loop: it learns of a connection that the server has closed.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                if not connection.is_open:
                    continue
            try:
                reply = await connection.exchange(method, argument, codec, deadline)
            except RpcConnectionError as error:
                if error.may_have_run or not connection.has_worked or isinstance(error, RpcTimeoutError):
                    raise
                # The server closed a connection that had worked before, and has not seen this call.
                continue
            return result_of(reply, codec)

    async def close(self) -> None:
        """Close the connection; calls that wait for a reply fail."""
        if self._connection is not None:
            self._connection.has_worked = False
            self._connection.close("the connection was closed")
            self._connection = None

    async def _open(self, loop: asyncio.AbstractEventLoop, deadline: float) -> _Connection:
        """Wait for a connection, together with other calls; it is opened even if this call is cancelled."""
        if self._opening is None or self._opening.done() or self._opening.get_loop() is not loop:
            self._opening = loop.create_task(_connect(self._address, self.timeout))
            self._opening.add_done_callback(self._opened)
        opening = self._opening
        done, _ = await asyncio.wait({opening}, timeout=deadline - loop.time())
        if not done:
            raise RpcTimeoutError(f"cannot connect to {self._address} in time", may_have_run=False)
        return opening.result()

    def _opened(self, opening: asyncio.Task[_Connection]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._connection = opening.result()


async def _connect(address: str, timeout: float) -> _Connection:
    loop = asyncio.get_running_loop()
    where = parse(address)
    try:
        opened = loop.create_unix_connection(_Connection, where) if isinstance(where, str) else _connect_tcp(where)
        _, connection = await asyncio.wait_for(opened, timeout)
    except asyncio.TimeoutError as error:
        raise RpcTimeoutError(f"cannot connect to {address} in time", may_have_run=False) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise RpcConnectionError(f"cannot connect to {address}: {reason}", may_have_run=False) from error
    return connection


async def _connect_tcp(where: tuple[str, int]) -> tuple[asyncio.Transport, _Connection]:
    return await asyncio.get_running_loop().create_connection(_Connection, *where)


class _Connection(asyncio.Protocol):
    """One connection; a call is a future in ``_pending`` from its request to its reply, even if it was cancelled."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.pid = os.getpid()
        self.has_worked = False
        """Whether calls that it has not sent are worth another connection."""
        self.is_open = False
        self._sequence = 0
        self._used = self.loop.time()
        self._buffer = bytearray()
        self._pending: dict[int, _Call] = {}
        # Calls whose requests have not been written.
        self._unwritten: deque[_Call] = deque()
        self._last: Optional[_Call] = None
        self._scheduled = False
        self._full = False

    def is_idle(self) -> bool:
        """Whether it has not been used for a while."""
        return not self._pending and self.loop.time() - self._used > _IDLE

    async def exchange(self, method: str, argument: bytes, codec: int, deadline: float) -> frame.Frame:
        """Send a request and return its reply, which may be an error."""
        self._sequence = self._sequence % 0xFFFF_FFFF + 1
        call = _Call(self.loop, self._sequence, method, argument, codec)
        self._pending[call.sequence] = call
        self._unwritten.append(call)
        if len(self._pending) == 1:
            self._write()
        elif not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._write)
        timer = self.loop.call_at(deadline, self._expire, call)
        try:
            return await call.reply
        finally:
            timer.cancel()

    def close(self, reason: str) -> None:
        """Close the connection and fail all calls."""
        if self.is_open:
            self.is_open = False
            self._transport.abort()
        unsent = {call.sequence for call in self._unwritten}
        if self._full and self._last is not None:
            # At least its end is still here.
            unsent.add(self._last.sequence)
        for call in self._pending.values():
            call.fail(reason, may_have_run=call.sequence not in unsent)
        self._pending.clear()
        self._unwritten.clear()

    def _write(self) -> None:
        self._scheduled = False
        if self._full or not self.is_open or not self._unwritten:
            return
        requests = []
        for call in self._unwritten:
            if call.reply.done():
                # Cancelled or too late: it need not be sent.
                del self._pending[call.sequence]
            else:
                requests.append(call.request())
                self._last = call
        self._unwritten.clear()
        if requests:
            self._transport.write(b"".join(requests))

    def _expire(self, call: _Call) -> None:
        if not call.reply.done():
            may_have_run = call not in self._unwritten
            what = "was not answered in time" if may_have_run else "could not be sent in time"
            call.reply.set_exception(RpcTimeoutError(f"{call.method} {what}", may_have_run=may_have_run))

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses.
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True
        # Full as soon as anything waits in it, so that it is known what has been sent.
        self._transport.set_write_buffer_limits(high=0)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._write()

    def data_received(self, data: bytes) -> None:
        received: Union[bytes, bytearray] = data
        if self._buffer:
            self._buffer += data
            received = self._buffer
        start = 0
        try:
            while (found := frame.decode(received, start)) is not None:
                reply, start = found
                self._receive(reply)
        except frame.FrameError as error:
            self.close(f"invalid reply: {error}")
            return
        if received is self._buffer:
            del self._buffer[:start]
        else:
            self._buffer += data[start:]

    def _receive(self, reply: frame.Frame) -> None:
        self._used = self.loop.time()
        self.has_worked = True
        call = self._pending.get(reply.options[0]) if len(reply.options) == 2 else None
        if call is None or reply.options[1] != len(call.name) or not reply.payload.startswith(call.name):
            raise frame.FrameError(f"something other than the reply to a call: options {list(reply.options)}")
        del self._pending[call.sequence]
        if not call.reply.done():
            call.reply.set_result(reply._replace(payload=reply.payload[len(call.name) :]))

    def eof_received(self) -> None:
        self.is_open = False

    def connection_lost(self, error: Optional[Exception]) -> None:
        self.is_open = False
        self.close(f"the connection was lost: {error}" if error else "the server closed the connection")


class _Call:
    """A request, and what becomes of it."""

    __slots__ = ("argument", "codec", "method", "name", "reply", "sequence")

    def __init__(self, loop: asyncio.AbstractEventLoop, sequence: int, method: str, argument: bytes, codec: int) -> None:
        self.sequence = sequence
        self.method = method
        self.name = method.encode()
        self.argument = argument
        self.codec = codec
        self.reply: asyncio.Future[frame.Frame] = loop.create_future()

    def request(self) -> bytes:
        """Return the frame of the request, and let go of the argument."""
        encoded = frame.encode(self.name + self.argument, self.codec, (self.sequence, len(self.name)))
        self.argument = b""
        return encoded

    def fail(self, reason: str, *, may_have_run: bool) -> None:
        """End the call without a reply, if it has not ended."""
        if not self.reply.done():
            self.reply.set_exception(
                RpcConnectionError(
                    f"{reason} before {self.method} was {'answered' if may_have_run else 'sent'}", may_have_run=may_have_run
                )
            )
