"""A stream that a handler sends: a generator on one side, frames on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextvars import copy_context
from functools import partial
from typing import Any, Callable, Optional

from ..codec import Codec
from ..events import Disconnect, Error, Event
from ..failures import Stop
from ..handler import Handler
from ..streams import StreamEncoder
from . import wire
from .window import Inbox, Window


class Stream:
    """The stream of one subscription, tied to its request by number."""

    def __init__(self, number: int, send: Callable[[bytes], None], *, bidirectional: bool) -> None:
        self.number = number
        self.window = Window()
        self.inbox: Optional[Inbox] = None
        if bidirectional:
            self.inbox = Inbox(lambda messages: send(wire.command({"window": number, "messages": messages})))
        self.is_open = False
        """Whether a message was sent."""
        self._send = send
        self._cancelled = False

    def receive(self, message: bytes, *, last: bool) -> None:
        """Take what the client published."""
        if self.inbox is not None:
            if message or not last:
                self.inbox.put(message)
            if last:
                self.inbox.end()

    def cancel(self) -> None:
        """Send nothing more, and close the generator where it is next."""
        self._cancelled = True
        if self.inbox is not None:
            self.inbox.end()

    async def send(self, items: AsyncGenerator[Any, None], codec: Codec, event: Event, handler: Handler) -> Optional[bytes]:
        """Send what a generator yields, as fast as the server takes it; return the answer if it rejects the subscription."""
        encoder = StreamEncoder(codec, event, handler)
        try:
            async for item in items:
                if self._cancelled:
                    raise asyncio.CancelledError
                rejection = encoder.rejection(item)
                if rejection is not None:
                    return rejection
                await self._send_all(encoder.messages(item))
        except (Stop, Error, Disconnect) as raised:
            return encoder.refusal(raised)
        finally:
            await items.aclose()
        await self._send_all(encoder.end())
        return None

    async def _send_all(self, messages: list[bytes]) -> None:
        for message in messages:
            await self.window.take(len(message))
            self._send(wire.message(self.number, message))
            self.is_open = True


async def asynchronous(
    generator: Generator[Any, None, None], run: Callable[[Callable[[], Any]], asyncio.Future[Any]]
) -> AsyncGenerator[Any, None]:
    """Yield what a generator yields that blocks; ``run`` calls a function on a thread."""
    context = copy_context()
    end = object()
    step: Optional[asyncio.Future[Any]] = None
    try:
        while True:
            step = run(partial(context.run, next, generator, end))
            # The thread goes on if this is cancelled.
            item = await asyncio.shield(step)
            if item is end:
                return
            yield item
    finally:
        if step is not None and not step.done():
            await asyncio.wait([step])
        await run(partial(context.run, generator.close))
