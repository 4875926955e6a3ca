"""What the log says about a request that failed, and what the server gets."""

from __future__ import annotations

import inspect
import json
import linecache
import os
import traceback
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from .logs import log

if TYPE_CHECKING:
    from .events import Event
    from .requests import Request


ENDS = (SystemExit, KeyboardInterrupt, GeneratorExit)
"""Exceptions that are not about a request: they end the worker, or a generator."""


class Stop(Exception):  # noqa: N818 - a request, not an error
    """Raise it to hand the request to another worker and have this one replaced."""


class WorkerError(Exception):
    """Fails the request with this message, which is logged without a traceback; the worker goes on."""


class Handled(NamedTuple):
    """The request in which an exception was raised."""

    event: Event
    request: Request
    debug: bool
    """Whether to log all that is known."""

    def __str__(self) -> str:
        return described(self.event, self.request)


def described(event: Event, request: Any) -> str:
    """Name a request in the log: ``rpc method "sum"``, ``subscribe channel "news"`` or ``connect``."""
    return f"{event.value} {event.subject} {quoted(getattr(request, event.subject))}" if event.subject else str(event.value)


def quoted(text: str) -> str:
    """Return what a client sent, as a short piece of a log line."""
    return json.dumps(text[:100])


def remember(error: BaseException, handled: Handled) -> None:
    """Let ``failure`` know later in which request an exception was raised."""
    error.__dict__[_HANDLED] = handled


def failure(error: BaseException, handled: Optional[Handled] = None) -> bytes:
    """Log why a request failed, and return the text for the server."""
    handled = handled or error.__dict__.pop(_HANDLED, None)
    if isinstance(error, WorkerError):
        log(_text(error), level="error", **_fields(handled))
        return _text(error).encode(errors="replace")
    summary = f"{type(error).__name__}: {_text(error)}"
    try:
        _log(error, summary, handled)
    except Exception as problem:
        log(f"{summary} (it cannot be logged: {type(problem).__name__})", level="error")
    # One that is raised again and again would gather the frames of all requests.
    error.__traceback__ = None
    return summary.encode(errors="replace")


def _log(error: BaseException, summary: str, handled: Optional[Handled]) -> None:
    fields = _fields(handled)
    frames = _frames_of(error.__traceback__)
    trace = "".join(traceback.format_exception(type(error), error, _of_application(error.__traceback__)))
    fields.update(exception=type(error).__name__, place=_file_and_line(frames))
    head = f"{handled or 'a request'} failed: {summary} ({_place(frames)})".replace("\n", " ")
    if handled is not None and handled.debug:
        log(head, level="error", details="".join([*_request(handled), trace, *_variables(frames)]), **fields)
    else:
        log(head, level="error", **fields, traceback=trace)


def place_of(function: Any) -> str:
    """Return where a function is defined: file and line."""
    function = getattr(function, "func", function)
    code = getattr(inspect.unwrap(function), "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


_HANDLED = "_causeway_handled"

_Frames = list[tuple[FrameType, int]]

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LONGEST_VALUE = 200
_MOST_DATA = 2048
_SURROUNDINGS = 3


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "its text could not be produced"


def _frames_of(trace: Optional[TracebackType]) -> _Frames:
    """Return the frames of the application, the innermost last; those of others if there are none."""
    frames = list(traceback.walk_tb(trace))
    return [(frame, line) for frame, line in frames if _is_application(frame)] or frames


def _is_application(frame: FrameType) -> bool:
    return not frame.f_code.co_filename.startswith((_HERE, *_libraries()))


@cache
def _libraries() -> tuple[str, ...]:
    import sysconfig

    return tuple(sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def _fields(handled: Optional[Handled]) -> dict[str, str]:
    """Return what a log line has about the request: the names are the server's."""
    if handled is None:
        return {}
    fields = {"type": handled.event.value}
    # 00-TRACE-SPAN-FLAGS. The server knows the trace of a line only where one request is handled at a time.
    with suppress(ValueError):
        trace = (handled.request.header("traceparent") or "").split("-")
        if len(trace) >= 4:
            fields["trace_id"] = trace[1]
    return fields


def _place(frames: _Frames) -> str:
    return f"{_file_and_line(frames)} in {frames[-1][0].f_code.co_name}" if frames else "unknown"


def _file_and_line(frames: _Frames) -> str:
    if not frames:
        return "unknown"
    frame, line = frames[-1]
    return f"{frame.f_code.co_filename}:{line}"


def _of_application(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    """Return a traceback that begins with the application, not with what calls handlers."""
    left = trace
    while left is not None and not _is_application(left.tb_frame):
        left = left.tb_next
    return left or trace


def _request(handled: Handled) -> Iterator[str]:
    request = handled.request
    for name in ("user", "client", "transport"):
        value = getattr(request, name)
        if value:
            yield f"  {name}: {value}\n"
    try:
        data = request.data
    except Exception as error:
        yield f"  data: {error!r}\n"
        return
    if data:
        more = f" and {len(data) - _MOST_DATA} more bytes" if len(data) > _MOST_DATA else ""
        yield f"  data: {data[:_MOST_DATA]!r}{more}\n"


def _variables(frames: _Frames) -> Iterator[str]:
    """Show each frame of the application with the lines around its place and its variables."""
    for frame, line in frames:
        yield f"{_place([(frame, line)])}\n"
        for number in range(max(1, line - _SURROUNDINGS), line + _SURROUNDINGS + 1):
            source = linecache.getline(frame.f_code.co_filename, number, frame.f_globals).rstrip()
            if source:
                yield f"  {'>' if number == line else ' '} {number:4} {source}\n"
        for name, value in frame.f_locals.items():
            yield f"    {name} = {_shown(value)}\n"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:
        return f"<{type(error).__name__} in repr>"
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."
