"""Many requests at a time on one relay: protocol 2.

Each request has a number, and its answer carries the same number, in any order::

    relay ──▶ Connection ──frames──▶ Session ──▶ a task (async), a thread (others) or a stream (generators) per request
      ▲           │                     │
      └─ writes ──┘◀──── answers ───────┘        Watchdog: names what blocks the event loop

``Connection`` moves bytes and never blocks: all answers that are ready at once are one write. ``Session`` knows what is in hand.
Everything but ``Threads`` and ``Watchdog`` runs on the event loop's thread, without locks.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from .ending import PATIENCE, end
from .session import Session

__all__ = ["Session", "run"]


# Objects that a request in hand keeps, about.
_OBJECTS_PER_REQUEST = 10


def run(serving: Coroutine[Any, Any, None], concurrency: int) -> None:
    """Run an event loop until the server stops this worker or closes the relay, and end what handlers have left behind."""
    _expect_requests(concurrency)
    loop = _new_event_loop()
    asyncio.set_event_loop(loop)
    task = loop.create_task(_serve(serving))
    try:
        with suppress(KeyboardInterrupt):
            loop.run_until_complete(task)
    finally:
        if not task.done():
            # A signal or sys.exit() has stopped the loop.
            task.cancel()
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        asyncio.set_event_loop(None)
        loop.close()


def _expect_requests(concurrency: int) -> None:
    """Have the garbage collector look for garbage less often than requests in hand make it.

    By default it looks at 700 new objects. 70 waiting requests are as many, and none of them is garbage.
    """
    first, second, third = gc.get_threshold()
    if first > 0:
        gc.set_threshold(max(first, _OBJECTS_PER_REQUEST * concurrency), second, third)


async def _serve(serving: Coroutine[Any, Any, None]) -> None:
    try:
        await serving
    finally:
        await end(asyncio.all_tasks() - {asyncio.current_task()})
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().shutdown_asyncgens(), PATIENCE)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
