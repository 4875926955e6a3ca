"""What is done before the first request and after the last one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from supervisor import Supervisor

import causeway
from causeway import proxy

APPLICATION = """
import sys
from contextlib import asynccontextmanager
import causeway

@asynccontextmanager
async def lifespan(app):
    print("opened")
    app.name = "Ann"
    yield
    print("closed")

app = causeway.App(lifespan=lifespan)

@app.on_rpc("*")
async def handler(request):
    return causeway.RpcResult(app.name)

app.run({options})
"""
MODES = [("", {}), ("concurrency=8", {}), ("concurrency=8", {"CAUSEWAY_PROTOCOLS": "1,2"})]


@pytest.mark.parametrize(("options", "environment"), MODES)
def test_an_application_opens_before_the_first_request_and_closes_after_the_last(
    tmp_path: Path, options: str, environment: dict[str, str]
) -> None:
    claims: dict[str, Any] = {}
    if environment:
        claims = {"protocol": 2, "concurrency": 8, "name": f"causeway-worker {causeway.__version__}"}
    running = Supervisor.of_code(APPLICATION.format(options=options), tmp_path, environment, claims)
    body = proxy.RPCRequest(method="x").SerializeToString()
    if environment:
        context = b'{"type":["rpc"]}'
        running.send(causeway.frame.encode(context + body, causeway.frame.PROTO, (len(context), 1)))
        answer = running.receive()
    else:
        answer = running.ask("rpc", body)
    assert proxy.RPCResponse.FromString(answer.payload).result.data == b'"Ann"'
    _, errors = running.process.communicate(timeout=60)
    lines = errors.decode().splitlines()
    assert (running.process.returncode, lines[-2:]) == (0, ["opened", "closed"])


def test_an_application_that_cannot_open_does_not_start(tmp_path: Path) -> None:
    code = APPLICATION.format(options="").replace("app.name", "1 / 0  #")
    with pytest.raises(AssertionError, match="the worker closed the relay"):
        Supervisor.of_code(code, tmp_path)


def test_an_exception_that_is_handled_around_a_worker_is_not_that_of_the_worker(tmp_path: Path) -> None:
    code = APPLICATION.format(options="").replace("app.run()", "try:\n    1 / 0\nexcept ZeroDivisionError:\n    app.run()")
    running = Supervisor.of_code(code, tmp_path)
    _, errors = running.process.communicate(timeout=60)
    assert (running.process.returncode, errors.decode().splitlines()) == (0, ["opened", "closed"])
