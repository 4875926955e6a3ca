"""Where a slow request is, as the worker says on a signal."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from bridge import PATIENCE, Bridge
from supervisor import Supervisor

from causeway import App, Event, RpcRequest, SubscribeResult, SubscribeStreamRequest, backtrace, frame, proxy
from causeway.testing import TestClient

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


libc = ctypes.CDLL(None, use_errno=True)
# Source: asm/unistd_64.h and asm-generic/unistd.h
TGKILL = 234 if platform.machine() == "x86_64" else 131
SIGUSR2 = 1 << (signal.SIGUSR2 - 1)


def masks(pid: int) -> tuple[int, int]:
    """Return the signals that the main thread blocks, and those that have a handler."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["SigBlk"], 16), int(status["SigCgt"], 16)


def test_a_worker_names_the_place_on_the_signal_and_goes_on(tmp_path: Path) -> None:
    gate, opener = os.pipe()
    os.set_inheritable(gate, True)
    path = tmp_path / "app.py"
    # The application's own handler, which Python knows nothing of, stays; and its child processes do not block the signal.
    before = "import faulthandler, subprocess; faulthandler.register(signal.SIGUSR2)"
    path.write_text(APP.format(before=before))
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
        greeting, _ = frame.decode(bytearray(os.read(process.stdout.fileno(), 65536))) or (None, 0)
        assert greeting
        offer = json.loads(greeting.payload)
        assert offer["backtrace"] == "SIGUSR2"
        context = b'{"type":["rpc"]}'
        process.stdin.write(frame.encode(context + b'{"method":"wait"}', frame.JSON, (len(context),)))
        process.stdin.flush()
        line: dict[str, str] = {}
        while not line.get("backtrace", "").endswith(" in waits"):
            # Until the handler has begun, there is nothing to name.
            assert libc.syscall(TGKILL, process.pid, offer["thread"], signal.SIGUSR2) == 0
            line = json.loads(process.stderr.readline())
        assert line["backtrace"].startswith(f"{path}:")
        assert " in handler > " in line["stack"]
        blocked, caught = masks(process.pid)
        assert not blocked & SIGUSR2, "child processes would inherit it"
        assert caught & SIGUSR2
        os.write(opener, b"x")
        assert b"}" in os.read(process.stdout.fileno(), 65536)
        process.stdin.close()
        assert process.wait(60) == 0
    os.close(gate)
    os.close(opener)


def test_nothing_is_offered_if_the_application_waits_for_the_signal(tmp_path: Path) -> None:
    before = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})"
    for code, environment in ((APP.format(before=before), ANNOUNCED), (APP.format(before=""), CODECS)):
        Supervisor.of_code(code, tmp_path, {**environment, "GATE": "0"}, {"codec": "json"}).close()


def test_the_oldest_request_is_named_and_no_stream_that_is_open() -> None:
    async def check() -> None:
        release, begun, released = asyncio.Event(), asyncio.Semaphore(0), threading.Event()
        loop = asyncio.get_running_loop()

        def on_thread(request: RpcRequest) -> None:
            loop.call_soon_threadsafe(begun.release)
            assert released.wait(PATIENCE)

        async def waiting(request: RpcRequest) -> None:
            begun.release()
            await release.wait()

        async def stream(request: SubscribeStreamRequest) -> AsyncGenerator[Any, None]:
            yield SubscribeResult()
            await release.wait()

        app = App(codec="proto")
        app.on_rpc("thread")(on_thread)
        app.on_rpc("task")(waiting)
        app.on_subscribe_unidirectional(stream)
        async with Bridge(app) as bridge:

            def found() -> list[str]:
                """As the signal finds it: from another thread. The loop soon waits."""
                while backtrace.of_loop(bridge.session._thread, ()):
                    time.sleep(0.001)
                return backtrace.places(bridge.session._oldest())

            async def place() -> list[str]:
                return await loop.run_in_executor(None, found)

            await bridge.start(Event.SUBSCRIBE_UNIDIRECTIONAL, proxy.SubscribeRequest(channel="news"))
            await bridge.receive()
            assert await place() == []
            await bridge.rpc("task")
            await begun.acquire()
            assert " in waiting" in (await place())[0]
            await bridge.rpc("thread")
            await begun.acquire()
            with pytest.raises(LookupError):
                await place()
            release.set()
            # The end of the stream, and the answer of the task.
            for _ in range(2):
                await bridge.receive()
            assert any(" in on_thread" in line for line in await place())
            released.set()
            await bridge.receive()

    asyncio.run(check())


def test_middlewares_and_handlers_are_named_without_what_is_between_them() -> None:
    app, seen = App(), []

    @app.middleware
    def middleware(request: Any, next: Any) -> Any:
        return next(request)

    @app.on_rpc("*")
    def handler(request: RpcRequest) -> None:
        seen.extend(backtrace.places(backtrace.of_thread(threading.get_ident())))

    TestClient(app).rpc("a")
    assert [place.rsplit(" in ", 1)[1] for place in seen] == ["middleware", "handler"]
