"""Says where in the code a slow request is, when the server asks by a signal.

The server asks only if its pool has ``slow_after``: it announces the signal in ``CAUSEWAY_BACKTRACE`` and sends it to workers
that have offered in their handshake to answer: to a thread that waits for nothing else, and is the only one to block it. So it
interrupts no system call, child processes inherit nothing, and what the application does with the signal is its own affair. The
thread reads the stack of the one that works, also while that is in C code that has released the GIL.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Container, Iterable
from queue import SimpleQueue
from types import CodeType, FrameType
from typing import Any, Callable, Optional

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_ASYNCIO = os.path.dirname(os.__file__) + os.sep + "asyncio" + os.sep
_SIGNAL = signal.SIGUSR2

_CALLBACK = asyncio.Handle._run.__code__

# The answer is one write, which a pipe takes as a whole.
_MAX_STACK = 3000

Frames = list[FrameType]

_watched: Callable[[], Frames] = list
_started_in = 0
_thread = 0


def offer(watch: Callable[[], Frames]) -> dict[str, object]:
    """Answer the server from now on, if it asks; return what to add to the handshake.

    ``watch`` returns the frames of what the worker is at, the outermost first; ``LookupError`` if it cannot say.
    """
    global _watched, _started_in, _thread
    if os.environ.get("CAUSEWAY_BACKTRACE") != _SIGNAL.name:
        return {}
    _watched = watch
    if _started_in != os.getpid():
        if _SIGNAL in signal.pthread_sigmask(signal.SIG_BLOCK, ()):
            # The application waits for it, too: each would take the other's.
            return {}
        started: SimpleQueue[int] = SimpleQueue()
        threading.Thread(target=_answer, args=(started,), name="causeway-backtrace", daemon=True).start()
        _thread = started.get()
        _started_in = os.getpid()
    return {"backtrace": _SIGNAL.name, "thread": _thread}


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


def of_loop(thread: int, callers: Container[CodeType]) -> Frames:
    """Return the frames of what an event loop runs in this thread, if that is the application's; else nothing.

    ``callers`` are functions that call it, beside asyncio's; other loops are not written in Python.
    """
    frames = of_thread(thread)
    for index in range(len(frames) - 1, -1, -1):
        if frames[index].f_code is _CALLBACK or frames[index].f_code in callers:
            called = frames[index + 1 :]
            return called if any(not frame.f_code.co_filename.startswith((_HERE, _ASYNCIO)) for frame in called) else []
    return []


def places(frames: Iterable[FrameType]) -> list[str]:
    """Return the places of the application, without what has called it."""
    shown = [(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name) for frame in frames]
    of_this_package = [name.startswith(_HERE) for name, _, _ in shown]
    if True in of_this_package:
        start = of_this_package.index(True)
        while start < len(shown) and of_this_package[start]:
            start += 1
        # Between middlewares and handlers there is this package, too.
        shown = [place for place in shown[start:] if not place[0].startswith(_HERE)] or shown[start:]
    # What waits is of less interest than who waits.
    while len(shown) > 1 and shown[-1][0].startswith((_HERE, _ASYNCIO)):
        shown.pop()
    return [f"{name}:{line} in {function}" for name, line, function in shown]


def _answer(started: SimpleQueue[int]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {_SIGNAL})
    started.put(threading.get_native_id())
    while True:
        signal.sigwait({_SIGNAL})
        _report()


def _report() -> None:
    try:
        found = places(_watched())
    except Exception:
        found = ["unknown"]
    place = found[-1] if found else "between requests"
    line = {"backtrace": place, "stack": " > ".join(found)[-_MAX_STACK:], "level": "info", "msg": "the worker is here"}
    with_end = json.dumps(line).encode(errors="replace") + b"\n"
    os.write(2, with_end)
