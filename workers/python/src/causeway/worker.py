"""The worker's loop: requests in, answers out, in order."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Callable, NamedTuple, Optional, Union

from . import frame
from .events import Stop
from .frame import CONTROL, ERROR
from .relay import Relay

_STOP = b'{"stop":true}'


class Payload(NamedTuple):
    """A request as it comes from the server: a JSON context with the event type and headers, and an encoded message."""

    context: bytes
    body: bytes


class WorkerError(Exception):
    """Fails the request with this message, which is logged without a traceback; the worker goes on."""


class Worker:
    """Reads requests and writes one answer to each.

    Frames are handled strictly one after the other, and the server relies on it: behind each request it sends a control frame
    that asks for the pid, the fence, and its echo says that the worker is done with the request.

    Output waits only as long as there is more input to handle at no cost: it is written before the loop waits for input, and
    before a handler runs. So an answer and the echo behind it are one write if the fence came along with the request.
    """

    def __init__(self, relay: Optional[Relay] = None) -> None:
        """Take a relay, by default the one that the environment variable ``RR_RELAY`` names."""
        self._relay = relay or Relay.open()
        self._output: list[bytes] = []
        self._echo = _control({"pid": os.getpid()})
        # The last fence. Mostly the next one has the same bytes and need not be decoded.
        self._fence = self._echo
        # On a tcp relay, the first echo also proves that this is the worker and not a stranger that knows its pid.
        secret = os.environ.get("CAUSEWAY_RELAY_SECRET")
        self._greeting: Optional[bytes] = _control({"pid": os.getpid(), "secret": secret}) if secret else None

    def run(self, handler: Callable[[Payload], bytes]) -> None:
        """Serve requests until the server stops this worker or closes the relay.

        ``Stop`` hands the request to another worker and ends the loop. Any other exception of ``handler`` fails the request; the
        loop logs it to standard error and goes on. Raises ``FrameError`` when the relay's bytes are not frames.
        """
        try:
            try:
                self._serve(handler)
            finally:
                self._flush()
        except (ConnectionError, KeyboardInterrupt):
            return

    def _serve(self, handler: Callable[[Payload], bytes]) -> None:
        # The start of a frame whose rest has not arrived; mostly nothing, as frames arrive in one piece.
        rest = bytearray()
        while chunk := self._relay.read():
            if rest:
                rest += chunk
                end = self._handle(handler, rest)
                if end is None:
                    return
                del rest[:end]
            else:
                end = self._handle(handler, chunk)
                if end is None:
                    return
                rest += chunk[end:]
            self._flush()

    def _handle(self, handler: Callable[[Payload], bytes], received: Union[bytes, bytearray]) -> Optional[int]:
        """Handle all complete frames and return where they end; return ``None`` to stop."""
        start = 0
        while start < len(received):
            if received.startswith(self._fence, start):
                self._output.append(self._echo)
                start += len(self._fence)
                continue
            found = frame.locate(received, start)
            if found is None:
                break
            flags, _, options, body, end = found
            if flags & CONTROL:
                if _asks_to_stop(received[body:end]):
                    return None
                self._fence = bytes(received[start:end])
                self._output.append(self._greeting or self._echo)
                self._greeting = None
            else:
                self._flush()
                border = min(body + options[0], end) if options else body
                if not self._answer(handler, Payload(bytes(received[body:border]), bytes(received[border:end]))):
                    return None
            start = end
        return start

    def _answer(self, handler: Callable[[Payload], bytes], request: Payload) -> bool:
        """Answer a request; return whether the loop goes on."""
        try:
            answer = frame.encode(handler(request), options=(0,))
        except Stop:
            self._output.append(frame.encode(_STOP, options=(len(_STOP),)))
            return False
        except WorkerError as error:
            print(error, file=sys.stderr, flush=True)
            answer = frame.encode(str(error).encode(errors="replace"), ERROR)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            answer = frame.encode(f"{type(error).__name__}: {_text(error)}".encode(errors="replace"), ERROR)
        self._output.append(answer)
        return True

    def _flush(self) -> None:
        if self._output:
            output = b"".join(self._output)
            self._output.clear()
            self._relay.write(output)


def _control(value: dict[str, object]) -> bytes:
    return frame.encode(json.dumps(value, separators=(",", ":")).encode(), CONTROL)


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return "its text could not be produced"


def _asks_to_stop(command: Union[bytes, bytearray]) -> bool:
    try:
        decoded = json.loads(command)
    except ValueError:
        return False
    return isinstance(decoded, dict) and decoded.get("stop") is True
