"""How far one side of a stream may be ahead of the other."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Callable, Optional

from ..streams import Message

SIZE = 64
"""Messages that may be sent before the receiver has granted any."""

BYTES = 256 * 1024
"""Bytes that may be sent likewise, unless they are few messages."""


class Window:
    """The messages that may still be sent to the server, which grants more for those that it has passed on.

    It grants half a window at a time. So that many large messages do not fill its memory, only half of the window is used while
    what it has not granted again exceeds ``BYTES``.
    """

    def __init__(self) -> None:
        self._left = SIZE
        # A few numbers: an empty deque takes ten times as much memory.
        self._sizes: list[int] = []
        self._bytes = 0
        self._waiter: Optional[asyncio.Future[None]] = None

    def grant(self, messages: int) -> None:
        """Allow more messages."""
        self._left += messages
        self._bytes -= sum(self._sizes[:messages])
        del self._sizes[:messages]
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self, size: int) -> None:
        """Wait until a message of this size may be sent, and count it as sent."""
        while self._left <= 0 or (self._bytes >= BYTES and len(self._sizes) >= SIZE // 2):
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._left -= 1
        self._sizes.append(size)
        self._bytes += size


class Inbox:
    """What the client has published and the handler has not taken: an asynchronous iterator, which ends when the client leaves.

    ``grant`` tells the server how many messages more it may send; it is called for half of the window at a time.
    """

    def __init__(self, grant: Callable[[int], None]) -> None:
        self._grant = grant
        self._messages: deque[Message] = deque()
        self._taken = 0
        self._ended = False
        self._waiter: Optional[asyncio.Future[None]] = None

    def put(self, data: bytes) -> None:
        """Add a message."""
        self._messages.append(Message(data))
        self._wake()

    def end(self) -> None:
        """End the iteration after what has arrived."""
        self._ended = True
        self._wake()

    def __aiter__(self) -> Inbox:
        return self

    async def __anext__(self) -> Message:
        while not self._messages:
            if self._ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._messages.popleft()
        self._taken += 1
        if self._taken == SIZE // 2 and not self._ended:
            self._taken = 0
            self._grant(SIZE // 2)
        return message

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
