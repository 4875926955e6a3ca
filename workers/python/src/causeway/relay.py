"""Byte channels to the server: standard streams, TCP or a unix socket."""

from __future__ import annotations

import os
import select
import socket
import sys
from abc import ABC, abstractmethod
from typing import Optional, Union

_PATIENCE = 60.0
"""Connect timeout in seconds."""

_READ = 64 * 1024
"""Bytes to read at once."""


class Relay(ABC):
    """A byte channel to the server."""

    @staticmethod
    def open(address: Optional[str] = None) -> Relay:
        """Open ``pipes``, ``tcp://host:port`` or ``unix://path``, by default what the environment variable ``RR_RELAY`` says.

        On ``pipes``, the application's output goes to standard error from then on, so that it cannot get between frames.
        Raises ``ValueError`` when the address is invalid and ``OSError`` when the connection fails.
        """
        if address is None:
            address = os.environ.get("RR_RELAY") or "pipes"
        if address == "pipes":
            return _PipesRelay()
        connection = connect(address, _PATIENCE)
        connection.settimeout(None)
        return _SocketRelay(connection)

    @abstractmethod
    def read(self) -> bytes:
        """Wait for bytes and return them; return nothing at the end of the stream."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Write all of ``data``."""

    def is_readable(self) -> bool:
        """Whether reading returns at once."""
        return False

    def descriptors(self) -> tuple[int, int]:
        """Return the file descriptors to read from and to write to, for an event loop."""
        raise TypeError(f"{type(self).__name__} has no file descriptors")


class _PipesRelay(Relay):
    """Standard input and output, out of the application's reach: what it or a C library prints goes to standard error."""

    def __init__(self) -> None:
        self._input = os.dup(0)
        self._output = os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        sys.stdout = sys.stderr

    def descriptors(self) -> tuple[int, int]:
        return self._input, self._output

    def is_readable(self) -> bool:
        return bool(select.select([self._input], [], [], 0)[0])

    def read(self) -> bytes:
        return os.read(self._input, _READ)

    def write(self, data: bytes) -> None:
        written = os.write(self._output, data)
        if written < len(data):
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[os.write(self._output, rest) :]


class _SocketRelay(Relay):
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def descriptors(self) -> tuple[int, int]:
        return self._connection.fileno(), self._connection.fileno()

    def is_readable(self) -> bool:
        return bool(select.select([self._connection], [], [], 0)[0])

    def read(self) -> bytes:
        return self._connection.recv(_READ)

    def write(self, data: bytes) -> None:
        self._connection.sendall(data)


def parse(address: str) -> Union[tuple[str, int], str]:
    """Return the host and port in ``tcp://host:port``, or the path in ``unix://path``.

    Raises ``ValueError`` when the address is invalid.
    """
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme == "tcp" and port.isdigit():
        return host.strip("[]") or "127.0.0.1", int(port)
    if scheme == "unix" and rest:
        return rest
    raise ValueError(f'expected tcp://host:port or unix://path, found "{address}"')


def connect(address: str, seconds: float) -> socket.socket:
    """Connect to ``tcp://host:port`` or ``unix://path`` within ``seconds``, which remain the socket's timeout.

    Raises ``ValueError`` when the address is invalid and ``OSError`` when the connection fails.
    """
    where = parse(address)
    if not isinstance(where, str):
        connection = socket.create_connection(where, seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(where)
    except BaseException:
        connection.close()
        raise
    return connection
