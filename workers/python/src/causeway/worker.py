"""The worker's loop: frames in, answers out, in order."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Callable, NamedTuple, Optional, Union

from . import frame
from .frame import CONTROL, ERROR
from .relay import Relay, connect

_READ = 64 * 1024
_STOP_CONTEXT = b'{"stop":true}'
_REPLACE_ME = frame.encode(0, _STOP_CONTEXT, (len(_STOP_CONTEXT),))


def _control(value: dict[str, object]) -> bytes:
    return frame.encode(CONTROL, json.dumps(value, separators=(",", ":")).encode())


class Payload(NamedTuple):
    """A request: what it is about, and its message."""

    context: bytes
    body: bytes


class WorkerError(Exception):
    """Fails the request in hand with this text; the worker goes on."""


class StopWorker(Exception):  # noqa: N818 - a wish, not an error
    """The request was not handled: it goes to another worker, and this one is replaced."""


class Worker:
    """Reads requests and writes one answer for each.

    Frames are handled strictly one after the other. Causeway counts on it: behind each request it sends a control frame which
    asks for the pid, and the echo tells that the request is done.
    """

    def __init__(self, relay: Optional[Relay] = None) -> None:
        self._relay = relay or connect()
        self._pid = _control({"pid": os.getpid()})
        # On a tcp relay the first answer also proves that this is a worker, and no stranger who knows a worker's pid.
        secret = os.environ.get("CAUSEWAY_RELAY_SECRET")
        self._greeting: Optional[bytes] = _control({"pid": os.getpid(), "secret": secret}) if secret else None
        # The last frame that asked for the pid: the same bytes ask the same, and need not be read again with each request.
        self._fence = self._pid

    def run(self, handler: Callable[[Payload], bytes]) -> None:
        """Answer requests until the supervisor says stop or hangs up.

        An exception of ``handler`` fails its request and is shown on standard error; the loop goes on.
        """
        # What has arrived of a frame that is not there as a whole: mostly nothing, as frames arrive in one piece.
        rest = bytearray()
        stop = False
        while not stop:
            try:
                chunk = self._relay.read(_READ)
            except (ConnectionError, KeyboardInterrupt):
                return
            if not chunk:
                return
            if rest:
                rest += chunk
                answers, end, stop = self._handle(handler, rest)
                del rest[:end]
            else:
                answers, end, stop = self._handle(handler, chunk)
                rest += chunk[end:]
            try:
                if answers:
                    # Mostly an answer and the echo behind it, in one write.
                    self._relay.write(b"".join(answers))
            except (ConnectionError, BrokenPipeError):
                return

    def _handle(self, handler: Callable[[Payload], bytes], received: Union[bytes, bytearray]) -> tuple[list[bytes], int, bool]:
        """Return the answers to all whole frames, where these end, and whether to stop."""
        answers: list[bytes] = []
        start = 0
        while start < len(received):
            if received.startswith(self._fence, start):
                answers.append(self._pid)
                start += len(self._fence)
                continue
            found = frame.locate(received, start)
            if found is None:
                break
            flags, _, options, body, end = found
            if flags & CONTROL:
                if json.loads(received[body:end]).get("stop"):
                    return answers, end, True
                self._fence = bytes(received[start:end])
                answer: Optional[bytes] = self._greeting or self._pid
                self._greeting = None
            else:
                border = min(body + options[0], end) if options else body
                answer = self._answer(handler, Payload(bytes(received[body:border]), bytes(received[border:end])))
            if answer is None:
                return [*answers, _REPLACE_ME], end, True
            answers.append(answer)
            start = end
        return answers, start, False

    def _answer(self, handler: Callable[[Payload], bytes], request: Payload) -> Optional[bytes]:
        """Return the answer to a request; ``None`` when the worker wishes to be replaced."""
        try:
            return frame.encode(0, handler(request), (0,))
        except StopWorker:
            return None
        except WorkerError as error:
            return frame.encode(ERROR, str(error).encode())
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            return frame.encode(ERROR, f"{type(error).__name__}: {error}".encode())
