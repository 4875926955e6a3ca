"""goridge RPC over TCP or a unix socket.

A request is a frame with two options, a sequence number and the length of the method's name. Its payload is the name and the
argument, and its flag is the argument's codec. The reply has the same options, name and codec, or the flag ERROR and a text.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from .. import frame
from ..encoding import to_bytes
from ..frame import ERROR, JSON, PROTO
from ..relay import connect
from .errors import RpcConnectionError, RpcTimeoutError, ServerError

if TYPE_CHECKING:
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")

_READ = 64 * 1024


class Client:
    """Calls methods; every thread that waits for a reply has its own connection."""

    def __init__(self, address: str, timeout: float) -> None:
        """Take the address and the seconds that a call may take."""
        self.timeout = timeout
        self._address = address
        # Its operations are atomic: a fork cannot leave a lock locked.
        self._idle: deque[_Connection] = deque()

    def call(self, method: str, argument: Any, timeout: Optional[float] = None) -> Any:
        """Call a method with JSON."""
        return decode_json(method, self.call_bytes(method, to_bytes(argument), JSON, timeout))

    def call_proto(self, method: str, argument: Message, result: type[M], timeout: Optional[float] = None) -> M:
        """Call a method with protobuf messages."""
        return decode_proto(method, result, self.call_bytes(method, argument.SerializeToString(), PROTO, timeout))

    def call_bytes(self, method: str, argument: bytes, codec: int, timeout: Optional[float] = None) -> bytes:
        """Call a method with an encoded argument, and return its result, encoded alike."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection = self._take(deadline)
            try:
                reply = connection.exchange(method, argument, codec, deadline)
            except RpcConnectionError as error:
                connection.close()
                if error.may_have_run or connection.calls == 1 or isinstance(error, RpcTimeoutError):
                    raise
                # The server closed a connection that had worked before, and has not seen this call.
                continue
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)
            return result_of(reply, codec)

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _take(self, deadline: float) -> _Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return _Connection(self._address, deadline)
            if connection.is_usable():
                return connection
            connection.close()


class _Connection:
    """One connection, used by one call at a time."""

    def __init__(self, address: str, deadline: float) -> None:
        self.calls = 0
        self._pid = os.getpid()
        self._sequence = 0
        self._surplus = False
        try:
            self._socket = connect(address, _left(deadline))
        except (socket.timeout, TimeoutError) as error:
            raise RpcTimeoutError(f"cannot connect to {address} in time", may_have_run=False) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise RpcConnectionError(f"cannot connect to {address}: {reason}", may_have_run=False) from error

    def is_usable(self) -> bool:
        """Whether this process opened the connection, the server has not closed it, and no unexpected bytes have arrived."""
        if self._surplus or self._pid != os.getpid():
            return False
        self._socket.settimeout(0)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def exchange(self, method: str, argument: bytes, codec: int, deadline: float) -> frame.Frame:
        """Send a request and return its reply, which may be an error."""
        self.calls += 1
        self._sequence = self._sequence % 0xFFFF_FFFF + 1
        name = method.encode()
        options = (self._sequence, len(name))
        self._send(frame.encode(name + argument, codec, options), method, deadline)
        reply = self._receive(method, deadline)
        if reply.options != options or not reply.payload.startswith(name):
            message = f"received something other than the reply to call {options[0]} of {method}: options {list(reply.options)}"
            raise RpcConnectionError(message, may_have_run=True)
        return reply._replace(payload=reply.payload[len(name) :])

    def close(self) -> None:
        self._socket.close()

    def _send(self, request: bytes, method: str, deadline: float) -> None:
        # On an error here the server has not received the whole request, so it has not run it.
        try:
            self._socket.settimeout(_left(deadline))
            self._socket.sendall(request)
        except (socket.timeout, TimeoutError) as error:
            raise RpcTimeoutError(f"{method} could not be sent in time", may_have_run=False) from error
        except OSError as error:
            raise RpcConnectionError(f"{method} could not be sent: {error.strerror}", may_have_run=False) from error

    def _receive(self, method: str, deadline: float) -> frame.Frame:
        buffer = bytearray()
        try:
            while (found := frame.decode(buffer)) is None:
                self._socket.settimeout(_left(deadline))
                chunk = self._socket.recv(_READ)
                if not chunk:
                    raise RpcConnectionError(f"the server closed the connection before it answered {method}", may_have_run=True)
                buffer += chunk
        except (socket.timeout, TimeoutError) as error:
            raise RpcTimeoutError(f"{method} was not answered in time", may_have_run=True) from error
        except OSError as error:
            message = f"the connection was lost before {method} was answered: {error.strerror}"
            raise RpcConnectionError(message, may_have_run=True) from error
        except frame.FrameError as error:
            raise RpcConnectionError(f"invalid reply to {method}: {error}", may_have_run=True) from error
        reply, end = found
        self._surplus = end != len(buffer)
        return reply


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def decode_json(method: str, result: bytes) -> Any:
    """Decode a result that is JSON."""
    try:
        return json.loads(result)
    except (ValueError, RecursionError) as error:
        raise RpcConnectionError(f"the result of {method} is not JSON: {error}", may_have_run=True) from error


def decode_proto(method: str, message: type[M], result: bytes) -> M:
    """Decode a result that is a protobuf message."""
    from google.protobuf.message import DecodeError

    try:
        return message.FromString(result)
    except DecodeError as error:
        text = f"the result of {method} is not a {message.__name__}: {error}"
        raise RpcConnectionError(text, may_have_run=True) from error


def result_of(reply: frame.Frame, codec: int) -> bytes:
    """Return the encoded result in a reply; raise the error that it carries."""
    if reply.flags & ERROR:
        raise ServerError.from_text(reply.payload.decode(errors="replace"))
    if not reply.flags & codec:
        message = f"the result is encoded as {reply.flags:#04x}, unlike the argument"
        raise RpcConnectionError(message, may_have_run=True)
    return reply.payload
