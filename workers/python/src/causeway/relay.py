"""Byte channels to the supervisor: standard streams, TCP or a unix socket."""

from __future__ import annotations

import os
import socket
import sys
from typing import Optional, Protocol


class Relay(Protocol):
    """A byte channel."""

    def read(self, size: int) -> bytes:
        """Return what is there, at most ``size`` bytes, waiting for the first; nothing at the end."""

    def write(self, data: bytes) -> None:
        """Write all of ``data``."""


class PipesRelay:
    """Standard input and output.

    The real standard output is taken away from the application: whatever it prints, from Python or from a library in C, goes to
    standard error instead of between the frames.
    """

    def __init__(self) -> None:
        self._input = os.dup(0)
        self._output = os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        sys.stdout = sys.stderr

    def read(self, size: int) -> bytes:
        """Return what is there."""
        return os.read(self._input, size)

    def write(self, data: bytes) -> None:
        """Write all of ``data``."""
        written = os.write(self._output, data)
        if written < len(data):
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[os.write(self._output, rest) :]


class SocketRelay:
    """A connection to the supervisor."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self, size: int) -> bytes:
        """Return what is there."""
        return self._connection.recv(size)

    def write(self, data: bytes) -> None:
        """Write all of ``data``."""
        self._connection.sendall(data)


def connect(address: Optional[str] = None) -> Relay:
    """Open the relay at ``address``: ``pipes``, ``tcp://host:port`` or ``unix://path``; ``RR_RELAY`` says it by default."""
    address = address or os.environ.get("RR_RELAY") or "pipes"
    if address == "pipes":
        return PipesRelay()
    return SocketRelay(dial(address))


def dial(address: str, timeout: Optional[float] = None) -> socket.socket:
    """Connect to ``tcp://host:port`` or ``unix://path`` within ``timeout`` seconds, which stays the socket's own."""
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme == "tcp" and port.isdigit():
        connection = socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    if scheme == "unix" and rest:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(rest)
        except BaseException:
            connection.close()
            raise
        return connection
    raise ValueError(f"expected tcp://host:port or unix://path, found {address!r}")
