"""The worker's loop: requests in, answers out, in order."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Generator, Iterator
from typing import Callable, NamedTuple, Optional, Union

from . import backtrace, frame
from .failures import ENDS, Stop, failure
from .frame import CONTROL, ERROR, PING, PONG, STOP, STREAM
from .relay import Relay

REPLACE = b'{"stop":true}'
"""The context of an answer that hands the request to another worker and has this one replaced."""


class Payload(NamedTuple):
    """A request as it comes from the server: a JSON context with the event type and headers, and an encoded message."""

    context: bytes
    body: bytes


Handle = Callable[[Payload], Union[bytes, Iterator[bytes]]]
Received = Union[bytes, bytearray]


class Worker:
    """Reads requests and writes one answer to each.

    Frames are handled strictly one after the other, and the server relies on it: behind each request it sends a control frame
    that asks for the pid, the fence, and its echo says that the worker is done with the request.

    Output waits only as long as there is more input to handle at no cost: it is written before the loop waits for input, and
    before a handler runs. So an answer and the echo behind it are one write if the fence came along with the request.
    """

    def __init__(self, relay: Optional[Relay] = None, *, codec: str = "proto") -> None:
        """Take a relay, by default the one that the environment variable ``RR_RELAY`` names, and the encoding of messages."""
        self._relay = relay or Relay.open()
        self._output: list[bytes] = []
        self._stream: Optional[Iterator[bytes]] = None
        self._echo = control({"pid": os.getpid()})
        # The last fence. Mostly the next one has the same bytes and need not be decoded.
        self._fence = self._echo
        # The thread that serves requests; until then, that of its caller.
        self._thread = threading.get_ident()
        claims = backtrace.offer(lambda: backtrace.of_thread(self._thread))
        first = greeting(claims if codec == "proto" else {**claims, "codec": codec})
        self._greeting: Optional[bytes] = None if first == self._echo else first

    def run(self, handler: Handle) -> None:
        """Serve requests until the server stops this worker or closes the relay.

        ``handler`` returns the answer, or an iterator of the messages of a streamed answer. ``Stop`` hands the request to another
        worker and ends the loop. Any other exception of ``handler`` fails the request; the loop logs it to standard error and
        goes on. Raises ``FrameError`` when the relay's bytes are not frames.
        """
        try:
            try:
                self._serve(handler)
            finally:
                self._flush()
        except (ConnectionError, KeyboardInterrupt):
            return

    def _serve(self, handler: Handle) -> None:
        self._thread = threading.get_ident()
        # The start of a frame whose rest has not arrived; mostly nothing, as frames arrive in one piece.
        rest = bytearray()
        while chunk := self._relay.read():
            if rest:
                rest += chunk
                left = self._handle(handler, rest)
            else:
                left = self._handle(handler, chunk)
            if left is None:
                return
            if left is not rest and (left or rest):
                rest = bytearray(left)
            self._flush()

    def _handle(self, handler: Handle, received: Received) -> Optional[Received]:
        """Handle all complete frames and return what is left; return ``None`` to stop."""
        start = 0
        while start < len(received):
            if received.startswith(self._fence, start):
                self._output.append(self._echo)
                start += len(self._fence)
                continue
            found = frame.locate(received, start)
            if found is None:
                break
            flags, stream, options, body, end = found
            if stream & (STOP | PONG) and body == end:
                # Crossed the end of the stream that it was for.
                pass
            elif flags & CONTROL:
                if asks_to_stop(received[body:end]):
                    return None
                self._fence = bytes(received[start:end])
                self._output.append(self._greeting or self._echo)
                self._greeting = None
            else:
                self._flush()
                border = min(body + options[0], end) if options else body
                if not self._answer(handler, Payload(bytes(received[body:border]), bytes(received[border:end]))):
                    return None
                if self._stream is not None:
                    received, end = self._answer_with(self._stream, received[end:]), 0
                    self._stream = None
            start = end
        return received[start:] if start else received

    def _answer(self, handler: Handle, request: Payload) -> bool:
        """Answer a request; return whether the loop goes on."""
        try:
            answer = handler(request)
            if not isinstance(answer, bytes):
                self._stream = answer
                return True
            answer = frame.encode(answer, options=(0,))
        except Stop:
            self._output.append(frame.encode(REPLACE, options=(len(REPLACE),)))
            return False
        except ENDS:
            raise
        except BaseException as error:
            answer = frame.encode(failure(error), ERROR)
        self._output.append(answer)
        return True

    def _answer_with(self, messages: Iterator[bytes], received: Received) -> bytearray:
        """Write the messages of a stream, and return what was received and is not handled yet.

        As in PHP, every fifth message asks for a pong, and the next one waits for it; so a server that reads slowly is not
        overrun. An empty frame with STOP ends the stream. Other frames, such as the fence, are handled after it.
        """
        side = _Side(self._relay, received)
        stream = _guarded(messages)
        try:
            try:
                for number, message in enumerate(stream, 1):
                    ping = number % 5 == 0
                    self._relay.write(frame.encode(message, options=(0,), stream=STREAM | PING if ping else STREAM))
                    if side.is_stopped(ping):
                        break
            finally:
                stream.close()
            last = frame.encode(b"", options=(0,))
        except _HandlerError as failed:
            last = frame.encode(failure(failed.error), ERROR)
        self._output.append(last)
        return side.left()

    def _flush(self) -> None:
        if self._output:
            output = b"".join(self._output)
            self._output.clear()
            self._relay.write(output)


class _HandlerError(Exception):
    """What a handler raised, apart from what the relay did."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def _guarded(messages: Iterator[bytes]) -> Generator[bytes, None, None]:
    """Yield messages, and close them; raise ``_HandlerError`` when that fails."""
    try:
        yield from messages
    except ENDS:
        raise
    except BaseException as error:
        raise _HandlerError(error) from None


class _Side:
    """The server's side while a stream is written."""

    def __init__(self, relay: Relay, received: Received) -> None:
        self._relay = relay
        self._received = bytearray(received)
        # Frames for after the stream.
        self._later = bytearray()

    def is_stopped(self, ping: bool) -> bool:
        """Whether the server has asked to end the stream; after a ping, wait for the pong or for that."""
        while True:
            while (found := frame.decode(self._received)) is not None:
                (_, flags, _, stream), end = found
                handled = self._received[:end]
                del self._received[:end]
                if flags == 0 and stream & STOP:
                    return True
                if flags == 0 and stream & PONG:
                    ping = False
                else:
                    self._later += handled
            if not ping and not self._relay.is_readable():
                return False
            chunk = self._relay.read()
            if not chunk:
                raise ConnectionResetError("the server closed the relay in the middle of a stream")
            self._received += chunk

    def left(self) -> bytearray:
        """Return what is not handled yet."""
        return self._later + self._received


def control(value: dict[str, object]) -> bytes:
    """Return a control frame."""
    return frame.encode(json.dumps(value, separators=(",", ":")).encode(), CONTROL)


def greeting(claims: dict[str, object]) -> bytes:
    """Return the answer to the server's first frame: the pid and what this worker claims."""
    value: dict[str, object] = {"pid": os.getpid()}
    # On a tcp relay, it also proves that this is the worker and not a stranger that knows its pid.
    secret = os.environ.get("CAUSEWAY_RELAY_SECRET")
    if secret:
        value["secret"] = secret
    return control({**value, **claims})


def asks_to_stop(command: Received) -> bool:
    """Whether a control frame asks this worker to stop."""
    try:
        decoded = json.loads(command)
    except ValueError:
        return False
    return isinstance(decoded, dict) and decoded.get("stop") is True
