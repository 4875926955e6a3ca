"""Threads for handlers that block."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Callable


class Threads:
    """Runs functions on up to ``limit`` threads, which are started when they are needed.

    They are daemons, unlike those of ``concurrent.futures``: a handler that never returns does not keep the process alive.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle = threading.Semaphore(0)

    def submit(self, function: Callable[[], None]) -> None:
        """Run a function, which must not raise, as soon as a thread is idle."""
        self._queue.put(function)
        if not self._idle.acquire(blocking=False) and self._count < self._limit:
            self._count += 1
            threading.Thread(target=self._run, name=f"causeway-handler-{self._count}", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._queue.get()()
            self._idle.release()
