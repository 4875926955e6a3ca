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
import sys
from contextlib import suppress
from typing import Callable

from ..relay import Relay
from .session import Session

__all__ = ["Session", "run"]

_PATIENCE = 5.0
"""Seconds that cancelled tasks have to end, when the process exits."""


def run(start: Callable[[Relay], Session]) -> None:
    """Serve requests until the server stops this worker or closes the relay. ``start`` is called on the event loop."""
    relay = Relay.open()
    loop = _new_event_loop()
    asyncio.set_event_loop(loop)
    serving = loop.create_task(_serve(relay, start))
    try:
        with suppress(KeyboardInterrupt):
            loop.run_until_complete(serving)
    finally:
        if not serving.done():
            # A signal or sys.exit() has stopped the loop.
            serving.cancel()
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(serving)
        asyncio.set_event_loop(None)
        loop.close()


async def _serve(relay: Relay, start: Callable[[Relay], Session]) -> None:
    session = start(relay)
    try:
        await session.finished
    finally:
        session.close()
        await _cancel_all()


async def _cancel_all() -> None:
    """Cancel what handlers have left behind, so that its ``finally`` blocks run."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        _, pending = await asyncio.wait(tasks, timeout=_PATIENCE)
        for task in pending:
            print(f"a task did not end after it was cancelled: {task!r}", file=sys.stderr, flush=True)
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.get_running_loop().shutdown_asyncgens(), _PATIENCE)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
