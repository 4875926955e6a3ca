"""What a call fails with."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

# The names that grpc-go has for codes 0 and up: https://pkg.go.dev/google.golang.org/grpc/codes
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
    """A call failed. ``code`` is 0 if the error is only a text."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class ServerError(RpcError):
    """The server answered with an error: an unknown method, an invalid argument, or an error of the method."""

    @staticmethod
    def from_text(text: str) -> ServerError:
        """Return the error for an error text."""
        grpc = _GRPC_TEXT.fullmatch(text)
        return GrpcError(grpc[1], grpc[2]) if grpc else ServerError(text)


class GrpcError(ServerError):
    """The server could not reach Centrifugo, or Centrifugo rejected the call. ``code`` is gRPC's, ``status`` its name."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message, _GRPC_CODES.index(status if status in _GRPC_CODES else "Unknown"))
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return GrpcError, (self.status, self.message)

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


class ApiError(RpcError):
    """Centrifugo answered with an error, for example 102, "unknown channel". ``code`` and ``message`` are Centrifugo's."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class RpcConnectionError(RpcError):
    """The connection failed, was lost during a call, or carried something other than the reply.

    ``may_have_run`` is true if the server may have run the call, false if it certainly has not.
    """

    def __init__(self, message: str, *, may_have_run: bool) -> None:
        super().__init__(message)
        self.may_have_run = may_have_run

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), self.message, may_have_run=self.may_have_run), ()


class RpcTimeoutError(RpcConnectionError, TimeoutError):
    """The call took longer than its timeout; its connection is closed."""
