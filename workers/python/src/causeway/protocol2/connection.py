"""The relay on an event loop: bytes in, bytes out, and never blocked.

All that is sent before the loop gets to it is one write, and one read may carry many frames. What the server does not read
waits in memory: it is bounded by the number of requests in hand and by the windows of streams.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Callable, Optional, Union

from ..logs import log
from ..relay import Relay

_READ = 64 * 1024
"""Bytes to read at once: what a pipe holds."""

_PIECES = 64
"""Waiting pieces to write at once."""

Received = Union[bytes, bytearray]


class Connection:
    """Calls ``received`` with bytes, which returns how many it has used, and ``lost`` once, when the relay is closed or fails."""

    def __init__(self, relay: Relay, received: Callable[[Received], int], lost: Callable[[Optional[Exception]], None]) -> None:
        self._relay = relay
        self._input, self._output = relay.descriptors()
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)
        self._loop = asyncio.get_running_loop()
        self._received = received
        self._lost = lost
        self._rest = bytearray()
        self._parts: list[bytes] = []
        self._unsent: deque[memoryview] = deque()
        self._scheduled = False
        self._reading = False
        self._forked = False
        self._drained: Optional[asyncio.Future[None]] = None
        self.is_open = True
        self._loop.add_reader(self._input, self._read)
        _CONNECTIONS.add(self)

    def send(self, parts: Iterable[bytes]) -> None:
        """Send bytes with the next write."""
        self._parts += parts
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def send_now(self, parts: Iterable[bytes]) -> None:
        """Send bytes and what waits to be sent: nothing more will be ready soon."""
        self._parts += parts
        if not self._reading:
            self._flush()

    async def drain(self) -> None:
        """Wait until everything has been written or the connection is lost."""
        while self.is_open and (self._parts or self._unsent):
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    def close(self) -> None:
        """Read and write no more."""
        if self.is_open:
            self.is_open = False
            self._loop.remove_reader(self._input)
            if self._unsent:
                self._loop.remove_writer(self._output)
            self._settle()

    def _read(self) -> None:
        try:
            chunk = os.read(self._input, _READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._end(None)
            return
        # Answers that are ready before all of it has been handled are one write, without another turn of the loop.
        self._reading = self._scheduled = True
        try:
            if self._rest:
                self._rest += chunk
                del self._rest[: self._received(self._rest)]
            else:
                used = self._received(chunk)
                if used < len(chunk):
                    self._rest += chunk[used:]
        except Exception as error:
            # Answers that are ready are not lost.
            self._flush()
            self._end(error)
            return
        finally:
            self._reading = False
        self._flush()

    def _flush(self) -> None:
        self._scheduled = False
        if not self._parts:
            return
        data = b"".join(self._parts)
        self._parts.clear()
        if self._forked:
            _leave()
        if not self.is_open:
            return
        if self._unsent:
            self._unsent.append(memoryview(data))
            return
        try:
            written = os.write(self._output, data)
        except (BlockingIOError, InterruptedError):
            written = 0
        except OSError:
            self._end(None)
            return
        if written < len(data):
            self._unsent.append(memoryview(data)[written:])
            self._loop.add_writer(self._output, self._write)
        elif self._drained is not None:
            self._settle()

    def _write(self) -> None:
        try:
            written = os.writev(self._output, list(islice(self._unsent, _PIECES)))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._end(None)
            return
        while self._unsent and written >= len(self._unsent[0]):
            written -= len(self._unsent.popleft())
        if self._unsent:
            self._unsent[0] = self._unsent[0][written:]
        else:
            self._loop.remove_writer(self._output)
            self._settle()

    def _settle(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def _end(self, error: Optional[Exception]) -> None:
        if self._forked:
            _leave()
        if self.is_open:
            self.close()
            self._lost(error)

    def forget(self) -> None:
        """In a forked child: leave the relay to the parent."""
        self._forked = True
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in {self._input, self._output}:
            os.dup2(null, descriptor, inheritable=False)
        os.close(null)


def _leave() -> None:
    log("a forked child returned from its handler into the event loop of its parent: it exits", level="error")
    os._exit(1)


_CONNECTIONS: weakref.WeakSet[Connection] = weakref.WeakSet()


def _forget_all() -> None:
    for connection in list(_CONNECTIONS):
        if connection.is_open:
            connection.forget()


os.register_at_fork(after_in_child=_forget_all)
