"""Handlers beside a FastAPI application."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Optional

import pytest
from fastapi import BackgroundTasks, Body, Cookie, Depends, FastAPI, Header, HTTPException
from fastapi import Request as HttpRequest
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel
from supervisor import ROOT, Supervisor

import causeway
from causeway import ConnectResult, Error, Event, RpcResult, proxy
from causeway.contrib.fastapi import App
from causeway.testing import AsyncTestClient, TestClient

SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def seen() -> list[Any]:
    SEEN.clear()
    return SEEN


@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncIterator[dict[str, Any]]:
    SEEN.append("start")
    yield {"name": "shop"}
    SEEN.append("end")


class Session:
    """What a dependency opens and closes."""

    is_open = True


def session() -> Iterator[Session]:
    opened = Session()
    try:
        yield opened
        SEEN.append("commit")
    except Exception as error:
        SEEN.append(f"rollback {type(error).__name__}")
        raise
    finally:
        opened.is_open = False


bearer = OAuth2PasswordBearer("token")


async def current_user(token: Annotated[str, Depends(bearer)], session: Annotated[Session, Depends(session)]) -> str:
    assert session.is_open
    if token != "good":
        raise HTTPException(403, "bad token")
    return "42"


User = Annotated[str, Depends(current_user)]


class Order(BaseModel):
    """What clients send."""

    id: int


@pytest.fixture
def app() -> App:
    return App(FastAPI(lifespan=lifespan))


def ask(app: App, method: str, data: Any = None, **options: Any) -> Any:
    async def main() -> Any:
        async with AsyncTestClient(app, **options) as client:
            return await client.rpc(method, data)

    return asyncio.run(main())


def test_dependencies_know_users_by_the_headers_that_are_forwarded(app: App) -> None:
    @app.on_connect
    async def connect(request: causeway.ConnectRequest, user: User) -> ConnectResult:
        return ConnectResult(user=user)

    async def main() -> list[Any]:
        async with AsyncTestClient(app) as client:
            headers: Any = ({"Authorization": "Bearer good"}, {"Authorization": "Bearer bad"}, {})
            return [await client.connect(headers=sent) for sent in headers]

    good, bad, none = asyncio.run(main())
    assert good.result == ConnectResult(user="42")
    assert (bad.error, none.error) == (Error(403, "bad token"), Error(401, "Not authenticated"))
    assert SEEN == ["start", "commit", "rollback HTTPException", "end"]


def order_of(body: Annotated[Order, Body()]) -> Order:
    return body


def test_dependencies_get_the_data_as_the_body(app: App) -> None:
    @app.on_rpc("order")
    async def order(request: causeway.RpcRequest, order: Annotated[Order, Depends(order_of)], http: HttpRequest) -> RpcResult:
        return RpcResult([order.id, dict(http.headers)])

    headers = {":authority": "worker", "Content-Type": "application/grpc", "X-Tenant": "a"}
    found = {"content-type": "application/json", "x-tenant": "a", "type": "rpc"}
    assert ask(app, "order", {"id": 7}, headers=headers).data == [7, found]
    # An exception of Starlette, not of FastAPI.
    assert ask(app, "order", b"\xff").error == Error(400, "There was an error parsing the body")


@pytest.mark.parametrize("is_async", [False, True])
def test_they_last_until_the_handler_has_ended_and_learn_what_it_raises(app: App, is_async: bool) -> None:
    threads = []

    def handler(request: causeway.RpcRequest, order: Order, session: Annotated[Session, Depends(session)]) -> RpcResult:
        threads.append(threading.current_thread() is threading.main_thread())
        assert session.is_open and causeway.current_request() is request
        if order.id < 0:
            raise Error(404, "no such order")
        return RpcResult(order)

    async def handler_async(
        request: causeway.RpcRequest, order: Order, session: Annotated[Session, Depends(session)]
    ) -> RpcResult:
        return handler(request, order, session)

    app.on_rpc("*")(handler_async if is_async else handler)
    assert ask(app, "a", {"id": 1}).data == {"id": 1}
    assert ask(app, "a", {"id": -1}).error == Error(404, "no such order")
    assert ask(app, "a", {}).error.code == 107
    assert [entry for entry in SEEN if entry not in ("start", "end")] == ["commit", "rollback Error"]
    assert threads == [is_async] * 2


def test_parameters_of_http_are_there(app: App) -> None:
    @app.on_rpc("all")
    async def handler(
        request: causeway.RpcRequest,
        http: HttpRequest,
        tasks: BackgroundTasks,
        x_tenant: Annotated[str, Header()],
        visit: Annotated[Optional[int], Cookie()] = None,
        plain: int = 7,
    ) -> RpcResult:
        assert http.app is app.api and http.scope["causeway"] is request
        tasks.add_task(SEEN.append, "task")
        return RpcResult([x_tenant, visit, http.state.name, (await http.body()).decode(), plain])

    answer = ask(app, "all", "x", headers={"X-Tenant": "a", "Cookie": "visit=3; other=1"})
    assert answer.data == ["a", 3, "shop", '"x"', 7]
    assert "task" in SEEN
    missing = ask(app, "all", headers={"Cookie": "visit=x"})
    assert (missing.error.code, missing.error.message) == (107, "bad request: header.x-tenant: Field required")


def test_overrides_of_the_api_and_providers_of_the_application_are_used(app: App) -> None:
    app.provide(int, lambda: 5)

    @app.on_rpc("name")
    async def name(request: causeway.RpcRequest, number: int, user: User) -> RpcResult:
        return RpcResult([number, user])

    app.api.dependency_overrides[current_user] = lambda: "fake"
    assert ask(app, "name").data == [5, "fake"]
    assert TestClient(app).rpc("name").data == [5, "fake"]


def test_exceptions_fail_with_the_place_in_the_handler(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    @app.on_rpc("bad")
    async def bad(request: causeway.RpcRequest, session: Annotated[Session, Depends(session)]) -> RpcResult:
        return RpcResult(1 / 0)

    @app.on_rpc("wrong")
    async def wrong(request: causeway.RpcRequest, session: Annotated[Session, Depends(session)]) -> Any:
        return "text"

    assert ask(app, "bad", raise_exceptions=False).failure == "ZeroDivisionError: division by zero"
    line = bad.__code__.co_firstlineno + 2
    heading = f'rpc method "bad" failed: ZeroDivisionError: division by zero ({__file__}:{line} in bad)'
    assert capsys.readouterr().err.splitlines()[0] == heading
    failure = ask(app, "wrong", raise_exceptions=False).failure
    assert failure.startswith(f"{__file__}:{wrong.__code__.co_firstlineno}: the handler of rpc returned str")
    assert "rollback ZeroDivisionError" in SEEN


def test_handlers_without_dependencies_may_raise_what_fastapi_raises(app: App) -> None:
    @app.on_rpc("plain")
    def plain(request: causeway.RpcRequest) -> RpcResult:
        raise HTTPException(418, "teapot")

    @app.middleware(Event.PUBLISH)
    async def closed(request: causeway.PublishRequest, next: Any) -> Any:
        raise HTTPException(403, "closed")

    assert ask(app, "plain").error == Error(418, "teapot")
    assert TestClient(app).rpc("plain").error == Error(418, "teapot")
    assert TestClient(app).publish("news").error == Error(403, "closed")


def test_a_generator_takes_none(app: App) -> None:
    with pytest.raises(TypeError, match=r"test_fastapi\.py:\d+: a generator takes no dependencies of FastAPI"):

        @app.on_subscribe_unidirectional
        async def clock(request: causeway.SubscribeStreamRequest, user: User) -> AsyncIterator[Any]:
            yield causeway.SubscribeResult()


def test_handlers_are_no_endpoints_of_the_api(app: App) -> None:
    before = len(app.api.routes)

    @app.on_rpc("a")
    async def handler(request: causeway.RpcRequest, user: User) -> RpcResult:
        return RpcResult(user)

    assert len(app.api.routes) == before


def test_the_example_passes_its_test_and_is_a_worker(tmp_path: Path) -> None:
    example = ROOT / "workers/python/examples/fastapi_shop"
    path = {"PYTHONPATH": str(ROOT / "workers/python/src")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(example)]
    ran = subprocess.run(command, env={**os.environ, **path}, cwd=example, capture_output=True, text=True, timeout=300)
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr
    claims = {"protocol": 2, "concurrency": 64, "name": f"causeway-worker {causeway.__version__}"}
    command = [sys.executable, str(example / "realtime.py")]
    for environment, claimed in (({"CAUSEWAY_PROTOCOLS": "1,2"}, claims), ({}, {})):
        worker = Supervisor(command, "pipes", tmp_path, {**path, **environment}, claimed)
        context = b'{"authorization":["Bearer ann"],"type":["connect"]}'
        options = (len(context), 1) if environment else (len(context),)
        worker.send(causeway.frame.encode(context, causeway.frame.PROTO, options))
        assert proxy.ConnectResponse.FromString(worker.receive().payload).result.user == "ann"
        _, errors = worker.process.communicate(timeout=60)
        assert worker.process.returncode == 0 and b"Traceback" not in errors
