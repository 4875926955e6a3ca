"""Says where in the code a slow request is, when the server asks by a signal.

The server asks only if its pool has ``slow_after``: it announces the signal in ``CAUSEWAY_BACKTRACE`` and sends it to workers
that have offered in their handshake to answer. A thread waits for it, and every other one blocks it, so that it interrupts no
system call; it reads the stack of the thread that works, also while that is in C code that has released the GIL.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterable
from types import FrameType
from typing import Any, Callable, Optional

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_ASYNCIO = os.path.dirname(os.__file__) + os.sep + "asyncio" + os.sep
_SIGNAL = signal.SIGUSR2

# The answer is one write, which a pipe takes as a whole.
_MAX_STACK = 3000

Frames = list[FrameType]

_watched: Callable[[], Frames] = list
_started_in = 0


def offer(watch: Callable[[], Frames]) -> dict[str, object]:
    """Answer the server from now on, if it asks; return what to add to the handshake.

    ``watch`` returns the frames of what the worker is at, the outermost first.
    """
    global _watched, _started_in
    if os.environ.get("CAUSEWAY_BACKTRACE") != _SIGNAL.name:
        return {}
    _watched = watch
    if _started_in != os.getpid():
        if threading.current_thread() is not threading.main_thread() or signal.getsignal(_SIGNAL) is not signal.SIG_DFL:
            # The application has a use of its own for the signal.
            return {}
        # Threads that the application has started before do not block it; without a handler it would end the process.
        signal.signal(_SIGNAL, lambda *_: _report())
        signal.siginterrupt(_SIGNAL, False)
        signal.pthread_sigmask(signal.SIG_BLOCK, {_SIGNAL})
        threading.Thread(target=_answer, name="causeway-backtrace", daemon=True).start()
        _started_in = os.getpid()
    return {"backtrace": _SIGNAL.name}


def of_thread(ident: Optional[int]) -> Frames:
    """Return the frames of a thread, the outermost first."""
    frame = sys._current_frames().get(ident or 0)
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def of_coroutine(coroutine: Any) -> Frames:
    """Return the frames of a coroutine that waits, the outermost first."""
    frames: Frames = []
    while coroutine is not None:
        for frame, awaited in (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await")):
            if hasattr(coroutine, frame):
                found = getattr(coroutine, frame)
                if found is not None:
                    frames.append(found)
                coroutine = getattr(coroutine, awaited)
                break
        else:
            return frames
    return frames


def places(frames: Iterable[FrameType]) -> list[str]:
    """Return the places of the application, without what has called it."""
    shown = [(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name) for frame in frames]
    of_this_package = [name.startswith(_HERE) for name, _, _ in shown]
    if True in of_this_package:
        start = of_this_package.index(True)
        while start < len(shown) and of_this_package[start]:
            start += 1
        shown = shown[start:]
    # What waits is of less interest than who waits.
    while len(shown) > 1 and shown[-1][0].startswith((_HERE, _ASYNCIO)):
        shown.pop()
    return [f"{name}:{line} in {function}" for name, line, function in shown]


def _answer() -> None:
    while True:
        signal.sigwait({_SIGNAL})
        _report()


def _report() -> None:
    try:
        found = places(_watched())
    except Exception as error:
        found = [f"unknown: {type(error).__name__}"]
    place = found[-1] if found else "between requests"
    line = {"backtrace": place, "stack": " > ".join(found)[-_MAX_STACK:], "level": "info", "msg": "the worker is here"}
    with_end = json.dumps(line).encode(errors="replace") + b"\n"
    os.write(2, with_end)
