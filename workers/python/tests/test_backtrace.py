"""Where a slow request is, as the worker says on a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from supervisor import Supervisor

from causeway import frame

CODECS = {"CAUSEWAY_CODECS": "proto,json"}
ANNOUNCED = {"CAUSEWAY_BACKTRACE": "SIGUSR2", **CODECS}

APP = """
import os, signal, sys
from causeway import App
{before}
app = App(codec="json")
@app.on_rpc("wait")
def handler(request):
    return waits()
def waits():
    os.read(int(os.environ["GATE"]), 1)
app.run()
"""


def test_a_worker_names_the_place_on_the_signal_and_goes_on(tmp_path: Path) -> None:
    gate, opener = os.pipe()
    os.set_inheritable(gate, True)
    path = tmp_path / "app.py"
    path.write_text(APP.format(before=""))
    source = str(Path(__file__).resolve().parent.parent / "src")
    env = {**os.environ, **ANNOUNCED, "PYTHONPATH": source, "GATE": str(gate), "RR_RELAY": "pipes"}
    process = subprocess.Popen(
        [sys.executable, str(path)],
        env=env,
        pass_fds=[gate],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    with process:
        process.stdin.write(frame.encode(b'{"pid":1}', frame.CONTROL))
        process.stdin.flush()
        read = os.read(process.stdout.fileno(), 65536)
        assert b'"backtrace": "SIGUSR2"' in read or b'"backtrace":"SIGUSR2"' in read
        context = b'{"type":["rpc"]}'
        process.stdin.write(frame.encode(context + b'{"method":"wait"}', frame.JSON, (len(context),)))
        process.stdin.flush()
        line: dict[str, str] = {}
        while not line.get("backtrace", "").endswith(" in waits"):
            # Until the handler has begun, there is nothing to name.
            process.send_signal(signal.SIGUSR2)
            line = json.loads(process.stderr.readline())
        assert line["backtrace"].startswith(f"{path}:")
        assert " in handler > " in line["stack"]
        os.write(opener, b"x")
        assert b"}" in os.read(process.stdout.fileno(), 65536)
        process.stdin.close()
        assert process.wait(20) == 0
    os.close(gate)
    os.close(opener)


def test_nothing_is_offered_if_the_application_uses_the_signal(tmp_path: Path) -> None:
    before = "signal.signal(signal.SIGUSR2, lambda *_: None)"
    for code, environment in ((APP.format(before=before), ANNOUNCED), (APP.format(before=""), CODECS)):
        Supervisor.of_code(code, tmp_path, {**environment, "GATE": "0"}, {"codec": "json"}).close()
