"""The server's side of ``rpc.listen``, in a thread."""

from __future__ import annotations

import json
import socket
import struct
import threading
from pathlib import Path
from typing import Any, Callable, Optional

from causeway import frame
from causeway.frame import ERROR

PATIENCE = 20.0
ROOT = Path(__file__).resolve().parents[3]
VECTORS = {vector["name"]: vector for vector in json.loads((ROOT / "tests/vectors/rpc-client.json").read_text())}


class Peer:
    """The server's side of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.connection.settimeout(PATIENCE)
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    def receive(self) -> frame.Frame:
        while (found := frame.decode(self.buffer)) is None:
            chunk = self.connection.recv(65536)
            assert chunk, "the client closed the connection"
            self.buffer += chunk
        received, end = found
        del self.buffer[:end]
        return received

    def answer(self, request: frame.Frame, result: bytes, *, flags: Optional[int] = None, sequence: Optional[int] = None) -> None:
        self.connection.sendall(self.reply(request, result, flags=flags, sequence=sequence))

    def reply(self, request: frame.Frame, result: bytes, *, flags: Optional[int] = None, sequence: Optional[int] = None) -> bytes:
        """Return the bytes of a reply to a request, by default with the request's flags and sequence."""
        options = (request.options[0] if sequence is None else sequence, request.options[1])
        name = request.payload[: request.options[1]]
        return frame.encode(name + result, request.flags if flags is None else flags, options)

    def refuse(self, request: frame.Frame, text: str) -> None:
        self.answer(request, text.encode(), flags=request.flags | ERROR)

    def replay(self, name: str) -> None:
        """Receive the recorded request, which may differ in its sequence only, and answer as recorded."""
        vector = VECTORS[name]
        received = self.receive()
        raw = frame.encode(*received)
        sequence = struct.pack("<I", received.options[0])
        assert raw == _with_sequence(bytes.fromhex(vector["request_hex"]), sequence)
        self.connection.sendall(_with_sequence(bytes.fromhex(vector["reply_hex"]), sequence))

    def is_closed(self) -> bool:
        """Wait for the client to close the connection."""
        return self.connection.recv(1) == b""


def _with_sequence(raw: bytes, sequence: bytes) -> bytes:
    # The first option; the checksum does not cover it.
    return raw[:12] + sequence + raw[16:]


class Server:
    """Runs one function per connection, in order; a connection is closed when its function returns."""

    def __init__(self, *parts: Callable[[Peer], Any], path: Optional[Path] = None) -> None:
        if path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(path))
            self._listener.listen()
            self.address = f"unix://{path}"
        else:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._listener.settimeout(PATIENCE)
        self.ended = [threading.Event() for _ in parts]
        self.accepted = 0
        self._errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, args=[parts])
        self._acceptor.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        # A failed test may not have opened all connections.
        if kind:
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        for thread in self._threads:
            thread.join()
        self._listener.close()
        if self._errors and not kind:
            raise self._errors[0]

    def wait(self, part: int) -> None:
        """Wait until a part has returned and its connection is closed."""
        assert self.ended[part].wait(PATIENCE)

    def _accept(self, parts: tuple[Callable[[Peer], Any], ...]) -> None:
        try:
            for part, ended in zip(parts, self.ended):
                connection, _ = self._listener.accept()
                self.accepted += 1
                thread = threading.Thread(target=self._play, args=[part, connection, ended])
                self._threads.append(thread)
                thread.start()
        except BaseException as error:
            self._errors.append(error)

    def _play(self, part: Callable[[Peer], Any], connection: socket.socket, ended: threading.Event) -> None:
        try:
            part(Peer(connection))
        except BaseException as error:
            self._errors.append(error)
        finally:
            connection.close()
            ended.set()
