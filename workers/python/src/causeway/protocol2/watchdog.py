"""Finds handlers that block the event loop, and names the place in the code where they do."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from types import FrameType
from typing import Callable, Optional

from ..logs import log

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__init__.py")
_ASYNCIO = os.path.dirname(os.path.abspath(asyncio.__file__)) + os.sep

_STEP = asyncio.Handle._run.__code__
"""Calls each step of what an event loop does, unless the loop is uvloop's."""

_AGAIN = 60.0
"""Seconds until the same place is logged again."""


class Watchdog:
    """A thread that asks the event loop for a sign of life, and looks at what it is doing if there is none.

    It costs a wakeup of the loop per ``limit``, and nothing while no request is in hand: then the thread sleeps until ``wake``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: Optional[float], is_busy: Callable[[], bool]) -> None:
        """Take the seconds after which a loop counts as blocked, or ``None`` to watch nothing."""
        self._loop = loop
        self._limit = limit or 0.0
        self._is_busy = is_busy
        self._watched = threading.get_ident()
        self._signal = threading.Event()
        self._stopped = False
        self._late = False
        self._logged: dict[str, float] = {}
        self._thread: Optional[threading.Thread] = None
        self.is_awake = not limit
        """Whether ``wake`` has nothing to do."""

    def wake(self) -> None:
        """Watch, now that a request is in hand."""
        self.is_awake = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="causeway-watchdog", daemon=True)
            self._thread.start()
        else:
            self._signal.set()

    def stop(self) -> None:
        """End the thread."""
        self._stopped = True
        self._signal.set()

    def _run(self) -> None:
        while not self._stopped:
            if not self._is_busy():
                self._sleep()
            self._late = True
            try:
                self._loop.call_soon_threadsafe(self._in_time)
            except RuntimeError:
                return
            self._wait(self._limit)
            if self._late:
                self._find()

    def _in_time(self) -> None:
        self._late = False

    def _sleep(self) -> None:
        self._signal.clear()
        self.is_awake = False
        # A request may have come in the meantime.
        if self._is_busy() or self._stopped:
            self.is_awake = True
        else:
            self._signal.wait()

    def _wait(self, seconds: float) -> None:
        if self._stopped:
            return
        self._signal.clear()
        self._signal.wait(seconds)

    def _find(self) -> None:
        """Log what blocks the loop until it answers again. A step must be seen twice: many short ones block nothing."""
        before: Optional[FrameType] = None
        while self._late and not self._stopped:
            frames = _frames(sys._current_frames().get(self._watched))
            step = frames[0] if frames else None
            if step is not None and step is before:
                self._log(frames)
            before = step
            self._wait(self._limit / 4)

    def _log(self, frames: list[FrameType]) -> None:
        places = [f"{frame.f_code.co_name} ({frame.f_code.co_filename}:{frame.f_lineno})" for frame in frames]
        shown = places if len(places) <= 4 else [*places[:2], "...", *places[-1:]]
        place = " > ".join(shown)
        now = time.monotonic()
        if now - self._logged.get(place, -_AGAIN) >= _AGAIN:
            self._logged[place] = now
            milliseconds = round(self._limit * 1000)
            log(f"the event loop is blocked for more than {milliseconds} ms: {place}")


def _frames(frame: Optional[FrameType]) -> list[FrameType]:
    """Return the frames of the application, the outermost first, without those of the event loop and of this package."""
    frames = []
    while frame is not None and frame.f_code is not _STEP and frame.f_code.co_filename != _RUN:
        frames.append(frame)
        frame = frame.f_back
    while frames and frames[-1].f_code.co_filename.startswith((_HERE, _ASYNCIO)):
        frames.pop()
    return frames[::-1]
