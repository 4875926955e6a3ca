"""The worker's loop: frames in, answers out, in order."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Callable, NamedTuple, Optional

from . import frame
from .frame import CONTROL, ERROR
from .relay import Relay, connect

_READ = 64 * 1024
_STOP_CONTEXT = b'{"stop":true}'


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
        self._pid = frame.encode(CONTROL, json.dumps({"pid": os.getpid()}, separators=(",", ":")).encode())

    def run(self, handler: Callable[[Payload], bytes]) -> None:
        """Answer requests until the supervisor says stop or hangs up.

        An exception of ``handler`` fails its request and is shown on standard error; the loop goes on.
        """
        buffer = bytearray()
        while True:
            try:
                chunk = self._relay.read(_READ)
            except (ConnectionError, KeyboardInterrupt):
                return
            if not chunk:
                return
            buffer += chunk
            start = 0
            # Answers to all that has arrived leave in one write: mostly an answer and the echo behind it.
            answers: list[bytes] = []
            stop = False
            while not stop and (found := frame.decode(buffer, start)) is not None:
                received, start = found
                if received.flags & CONTROL:
                    answer = self._control(received.payload)
                else:
                    answer = self._answer(handler, received)
                    if answer is None:
                        answer, stop = frame.encode(0, _STOP_CONTEXT, (len(_STOP_CONTEXT),)), True
                if answer is None:
                    stop = True
                else:
                    answers.append(answer)
            del buffer[:start]
            try:
                if answers:
                    self._relay.write(b"".join(answers))
            except (ConnectionError, BrokenPipeError):
                return
            if stop:
                return

    def _control(self, payload: bytes) -> Optional[bytes]:
        """Return the answer to a control frame; ``None`` to stop."""
        command = json.loads(payload)
        if command.get("stop"):
            return None
        return self._pid

    def _answer(self, handler: Callable[[Payload], bytes], received: frame.Frame) -> Optional[bytes]:
        """Return the answer to a request; ``None`` when the worker wishes to be replaced."""
        length = received.options[0] if received.options else 0
        request = Payload(received.payload[:length], received.payload[length:])
        try:
            return frame.encode(0, handler(request), (0,))
        except StopWorker:
            return None
        except WorkerError as error:
            return frame.encode(ERROR, str(error).encode())
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            return frame.encode(ERROR, f"{type(error).__name__}: {error}".encode())
