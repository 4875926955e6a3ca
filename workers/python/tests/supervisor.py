"""The server's side of the relay."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

from causeway import frame

ROOT = Path(__file__).resolve().parents[3]
FENCE = frame.encode(b'{"pid":1}', frame.CONTROL)


PATIENCE = 60.0


class Supervisor:
    """The server's side of the relay to a real process."""

    def __init__(
        self,
        command: list[str],
        relay: str,
        tmp_path: Path,
        environment: Optional[dict[str, str]] = None,
        claims: Optional[dict[str, Any]] = None,
    ) -> None:
        """Start a command; its greeting has these claims beside the pid, which depend on the environment."""
        self.listener = None
        env = {**os.environ, "RR_RELAY": "pipes", **(environment or {})}
        if relay == "unix":
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(tmp_path / "relay.sock"))
            env["RR_RELAY"] = f"unix://{tmp_path / 'relay.sock'}"
        elif relay == "tcp":
            self.listener = socket.create_server(("127.0.0.1", 0))
            env["RR_RELAY"] = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        if self.listener:
            self.listener.listen()
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stdin and self.process.stdout
        self.connection = None
        if self.listener:
            self.listener.settimeout(PATIENCE)
            self.connection, _ = self.listener.accept()
            self.connection.settimeout(PATIENCE)
        self.buffer = bytearray()
        self.send(FENCE)
        assert json.loads(self.receive().payload) == {"pid": self.process.pid, **(claims or {})}

    @classmethod
    def of_code(
        cls, code: str, tmp_path: Path, environment: Optional[dict[str, str]] = None, claims: Optional[dict[str, Any]] = None
    ) -> Supervisor:
        """Run an application on pipes."""
        path = tmp_path / "app.py"
        path.write_text(code)
        return cls(
            ["env", f"PYTHONPATH={ROOT / 'workers/python/src'}", sys.executable, str(path)],
            "pipes",
            tmp_path,
            environment,
            claims,
        )

    def send(self, data: bytes) -> None:
        if self.connection:
            self.connection.sendall(data)
        else:
            assert self.process.stdin
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def receive(self) -> frame.Frame:
        while (found := frame.decode(self.buffer)) is None:
            if self.connection:
                chunk = self.connection.recv(65536)
            else:
                assert self.process.stdout
                assert select.select([self.process.stdout], [], [], PATIENCE)[0], "the worker does not answer"
                chunk = os.read(self.process.stdout.fileno(), 65536)
            assert chunk, "the worker closed the relay"
            self.buffer += chunk
        received, end = found
        del self.buffer[:end]
        return received

    def ask(self, kind: str, body: bytes) -> frame.Frame:
        """Send a request and its fence; return the answer once the echo has arrived."""
        context = json.dumps({"type": [kind], "x-user": ["7"]}).encode()
        self.send(frame.encode(context + body, frame.PROTO, (len(context),)) + FENCE)
        answer = self.receive()
        assert self.receive().flags == frame.CONTROL
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        for connection in (self.connection, self.listener):
            if connection:
                connection.close()
