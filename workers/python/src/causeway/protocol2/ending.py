"""How tasks end with the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Optional

from ..logs import log

PATIENCE = 5.0
"""Seconds that cancelled tasks have to end."""


async def end(tasks: Collection[Optional[asyncio.Task[Any]]]) -> None:
    """Cancel tasks and wait until their ``finally`` blocks have run, but not forever."""
    cancelled = [task for task in tasks if task is not None]
    for task in cancelled:
        task.cancel()
    if cancelled:
        _, pending = await asyncio.wait(cancelled, timeout=PATIENCE)
        for task in pending:
            log(f"a task did not end after it was cancelled: {task!r}")
