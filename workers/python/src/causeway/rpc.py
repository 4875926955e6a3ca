"""Calls to the bridge: a goridge RPC client over TCP or a unix socket.

A request is a frame with two options, a sequence and the length of the method's name; its payload is the name and the argument,
and its flag says how the argument is encoded. The reply has the same sequence, name and codec, or the flag ERROR and a text.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections import deque
from typing import Any, ClassVar, Optional, TypeVar

from google.protobuf.message import DecodeError, Message

from . import frame
from .frame import ERROR, JSON, PROTO, RAW
from .relay import dial

M = TypeVar("M", bound=Message)

DEFAULT_ADDRESS = "tcp://127.0.0.1:6001"
"""Where RoadRunner and Causeway listen unless ``rpc.listen`` says otherwise."""

_READ = 64 * 1024

# As grpc-go names its codes, from 0 on: https://pkg.go.dev/google.golang.org/grpc/codes
_GRPC_CODES = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)
_GRPC_TEXT = re.compile(r"rpc error: code = (\S+) desc = (.*)", re.DOTALL)


class RpcError(Exception):
    """A call failed. ``code`` is 0 where the failure has only a text."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class ServerError(RpcError):
    """The bridge answered with an error: an unknown method, a wrong argument, or what the method has to say."""


class GrpcError(ServerError):
    """The bridge could not call Centrifugo, or Centrifugo refused the call. ``code`` is gRPC's, ``status`` its name."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message, _GRPC_CODES.index(status if status in _GRPC_CODES else "Unknown"))
        self.status = status

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


class ApiError(RpcError):
    """Centrifugo answered with an error, say 102, *unknown channel*: ``code`` and ``message`` are its own."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class RpcConnectionError(RpcError):
    """There is no connection, it was lost in the middle of a call, or what came back was no reply to it.

    The call was carried out, perhaps, if ``may_have_run``; else it certainly was not.
    """

    def __init__(self, message: str, *, may_have_run: bool) -> None:
        super().__init__(message)
        self.may_have_run = may_have_run


class RpcTimeoutError(RpcConnectionError, TimeoutError):
    """The call took longer than its timeout. Its connection is closed."""


class Rpc:
    """A client of ``rpc.listen``.

    It connects at the first call and keeps the connection; threads that call at the same time have one each. When the server has
    closed it in the meantime, a call connects again. A call that the server may have begun is never repeated. After a fork, the
    child connects anew.
    """

    _shared: ClassVar[Optional[Rpc]] = None

    def __init__(self, address: Optional[str] = None, *, timeout: float = 30.0) -> None:
        """Take ``tcp://host:port`` or ``unix://path`` (``RR_RPC`` says it by default), and how many seconds a call may take."""
        self.address = address or os.environ.get("RR_RPC") or DEFAULT_ADDRESS
        self.timeout = timeout
        # Taking from a deque and putting back are atomic: no lock is left behind locked by a fork.
        self._idle: deque[_Connection] = deque()

    @classmethod
    def shared(cls) -> Rpc:
        """Return this process' own client, at the address in ``RR_RPC``."""
        if Rpc._shared is None:
            Rpc._shared = Rpc()
        return Rpc._shared

    def call(self, method: str, argument: Any = None, *, timeout: Optional[float] = None) -> Any:
        """Call ``method`` with whatever JSON can hold, and return what JSON can hold."""
        encoded = json.dumps(argument, separators=(",", ":"), ensure_ascii=False).encode()
        result = self.call_bytes(method, encoded, JSON, timeout=timeout)
        try:
            return json.loads(result)
        except (ValueError, RecursionError) as error:
            raise RpcConnectionError(f"the result of {method} is no JSON: {error}", may_have_run=True) from error

    def call_proto(self, method: str, argument: Message, result: type[M], *, timeout: Optional[float] = None) -> M:
        """Call ``method`` with a protobuf message, and return a message of type ``result``."""
        encoded = self.call_bytes(method, argument.SerializeToString(), PROTO, timeout=timeout)
        try:
            return result.FromString(encoded)
        except DecodeError as error:
            message = f"the result of {method} is no {result.__name__}: {error}"
            raise RpcConnectionError(message, may_have_run=True) from error

    def call_bytes(self, method: str, argument: bytes, codec: int = RAW, *, timeout: Optional[float] = None) -> bytes:
        """Call ``method`` with an argument that is encoded already, as ``codec`` (a flag of ``causeway.frame``) says."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection = self._take(deadline)
            try:
                reply = connection.exchange(method, argument, codec, deadline)
            except RpcConnectionError as error:
                connection.close()
                if error.may_have_run or connection.calls == 1 or isinstance(error, RpcTimeoutError):
                    raise
                # The server closed a connection which had served before, and has not seen this call.
                continue
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)
            return _result(reply, codec)

    def version(self) -> str:
        """Return the bridge's version."""
        return str(self.call("rpc.Version", True))

    def config(self) -> Any:
        """Return the bridge's configuration, as it was read."""
        return json.loads(self.call_bytes("rpc.Config", b"true"))

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        while self._idle:
            self._idle.pop().close()

    def _take(self, deadline: float) -> _Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return _Connection(self.address, deadline)
            if connection.is_fit():
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
            self._socket = dial(address, _left(deadline))
        except (socket.timeout, TimeoutError) as error:
            raise RpcTimeoutError(f"cannot connect to {address} in time", may_have_run=False) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise RpcConnectionError(f"cannot connect to {address}: {reason}", may_have_run=False) from error

    def is_fit(self) -> bool:
        """Whether this process opened it, the server has not closed it, and nothing has come that nobody asked for."""
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
        """Send a request and return its reply, without a look at what the reply says."""
        self.calls += 1
        self._sequence = self._sequence % 0xFFFF_FFFF + 1
        name = method.encode()
        options = (self._sequence, len(name))
        self._send(frame.encode(codec, name + argument, options), method, deadline)
        reply = self._receive(method, deadline)
        if reply.options != options or not reply.payload.startswith(name):
            message = f"what came back is no reply to call {options[0]} of {method}: options {reply.options}"
            raise RpcConnectionError(message, may_have_run=True)
        return reply._replace(payload=reply.payload[len(name) :])

    def close(self) -> None:
        self._socket.close()

    def _send(self, request: bytes, method: str, deadline: float) -> None:
        # An error here says that the request did not leave as a whole; so it has not been carried out.
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
                    raise RpcConnectionError(f"the server hung up before it answered {method}", may_have_run=True)
                buffer += chunk
        except (socket.timeout, TimeoutError) as error:
            raise RpcTimeoutError(f"{method} was not answered in time", may_have_run=True) from error
        except OSError as error:
            message = f"the connection was lost before {method} was answered: {error.strerror}"
            raise RpcConnectionError(message, may_have_run=True) from error
        except frame.FrameError as error:
            raise RpcConnectionError(f"the answer to {method} is broken: {error}", may_have_run=True) from error
        reply, end = found
        self._surplus = end != len(buffer)
        return reply


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _result(reply: frame.Frame, codec: int) -> bytes:
    if reply.flags & ERROR:
        text = reply.payload.decode(errors="replace")
        grpc = _GRPC_TEXT.fullmatch(text)
        raise GrpcError(grpc[1], grpc[2]) if grpc else ServerError(text)
    if not reply.flags & codec:
        message = f"the result is encoded as {reply.flags:#04x}, and not as the argument was"
        raise RpcConnectionError(message, may_have_run=True)
    return reply.payload
