"""Middlewares: their order, what they see, and what they answer instead of handlers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable

import pytest
from bridge import Bridge, Held

import causeway
from causeway import App, ConnectResult, Disconnect, Error, Event, Publication, RpcResult, Stop, SubscribeResult, WorkerError
from causeway.testing import AsyncTestClient, TestClient

Next = Callable[[Any], Any]


def traced(app: App, seen: list[str], name: str, *events: Event, is_async: bool = False) -> None:
    """Add a middleware that notes when it is entered and left."""

    def middleware(request: Any, next: Next) -> Any:
        seen.append(name)
        answer = next(request)
        seen.append(f"/{name}")
        return answer

    async def middleware_async(request: Any, next: Next) -> Any:
        seen.append(name)
        answer = await next(request)
        seen.append(f"/{name}")
        return answer

    for event in events or (None,):
        app.add_middleware(middleware_async if is_async else middleware, event)


@pytest.mark.parametrize("is_async", [False, True])
def test_those_of_all_events_are_outside_and_the_first_is_the_outermost(is_async: bool) -> None:
    app, seen = App(), []  # type: ignore[var-annotated]
    traced(app, seen, "rpc1", Event.RPC, is_async=is_async)
    traced(app, seen, "all1", is_async=is_async)
    traced(app, seen, "rpc2", Event.RPC, is_async=is_async)
    traced(app, seen, "connect", Event.CONNECT, is_async=is_async)
    traced(app, seen, "all2", is_async=is_async)
    app.on_rpc("a*")(lambda request: seen.append("handler"))
    assert TestClient(app).rpc("ab").ok
    assert seen == ["all1", "all2", "rpc1", "rpc2", "handler", "/rpc2", "/rpc1", "/all2", "/all1"]


def outcomes(request: causeway.RpcRequest) -> Any:
    if request.method == "raise":
        raise Error(403, "no")
    return {"none": None, "result": RpcResult(1), "return": Error(403, "no"), "out": Disconnect(4001, "bye")}[request.method]


async def outcomes_async(request: causeway.RpcRequest) -> Any:
    await asyncio.sleep(0)
    return outcomes(request)


@pytest.mark.parametrize(("handler", "is_async"), [(outcomes, False), (outcomes, True), (outcomes_async, True)])
def test_next_returns_every_answer_as_a_value(handler: Any, is_async: bool) -> None:
    app, seen = App(), []
    app.on_rpc("*")(handler)

    def note(answer: Any) -> Any:
        seen.append(answer)
        return answer

    async def middleware(request: Any, next: Next) -> Any:
        return note(await next(request))

    app.middleware(middleware if is_async else lambda request, next: note(next(request)))
    client = TestClient(app)
    answers = [client.rpc(method) for method in ("none", "result", "return", "raise", "out")]
    assert seen == [RpcResult(), RpcResult(1), Error(403, "no"), Error(403, "no"), Disconnect(4001, "bye")]
    assert [answer.result or answer.error or answer.disconnect for answer in answers] == seen


def test_a_middleware_answers_without_the_handler_and_changes_answers() -> None:
    app = App()

    @app.middleware(Event.RPC)
    def guard(request: causeway.RpcRequest, next: Next) -> Any:
        if request.user != "42":
            raise Error(403, "log in first")
        answer = next(request)
        if isinstance(answer, RpcResult):
            answer.data = {"data": answer.data}
        return answer

    app.on_rpc("*")(lambda request: RpcResult(request.method))
    assert TestClient(app).rpc("a").error == Error(403, "log in first")
    assert TestClient(app, user="42").rpc("a").data == {"data": "a"}


def test_a_middleware_leaves_things_for_those_inside() -> None:
    app, contexts = App(), []

    @app.middleware
    def first(request: causeway.Request, next: Next) -> Any:
        assert request.context == {}
        request.context["tenant"] = request.header("x-tenant")
        return next(request)

    @app.on_rpc("tenant")
    def tenant(request: causeway.RpcRequest) -> RpcResult:
        contexts.append(request.context)
        return RpcResult(request.context["tenant"])

    client = TestClient(app, headers={"X-Tenant": "a"})
    assert [client.rpc("tenant").data, client.rpc("tenant", headers={"x-tenant": "b"}).data] == ["a", "b"]


def test_a_middleware_runs_without_a_handler_too(capsys: pytest.CaptureFixture[str]) -> None:
    app, seen = App(), []
    app.middleware(lambda request, next: seen.append(next(request)))
    client = TestClient(app)
    assert client.rpc("a").ok and client.stream_end("news").ok
    assert seen == [Error(108, "not available"), causeway.StreamEndResult()]
    assert capsys.readouterr().err == 'no handler for rpc method "a" (logged once)\n'


def test_next_is_called_once_at_most() -> None:
    app, calls = App(), []  # type: ignore[var-annotated]

    @app.middleware
    def twice(request: causeway.Request, next: Next) -> Any:
        next(request)
        return next(request)

    app.on_rpc("*")(calls.append)
    with pytest.raises(WorkerError, match=r"test_middlewares\.py:\d+: next was called twice$"):
        TestClient(app).rpc("a")
    assert len(calls) == 1


@pytest.mark.parametrize("guilty", ["handler", "middleware"])
def test_a_wrong_answer_is_blamed_on_the_one_who_gave_it(guilty: str) -> None:
    app = App()

    def handler(request: causeway.RpcRequest) -> Any:
        return "text" if guilty == "handler" else None

    def middleware(request: causeway.Request, next: Next) -> Any:
        next(request)
        return "text"

    app.on_rpc("*")(handler)
    app.middleware(middleware)
    line = (handler if guilty == "handler" else middleware).__code__.co_firstlineno
    with pytest.raises(WorkerError, match=rf"test_middlewares\.py:{line}: the handler of rpc returned str, expected RpcResult"):
        TestClient(app).rpc("a")


def test_exceptions_and_stop_pass_through() -> None:
    app, seen = App(), []

    @app.middleware
    def cleaning(request: causeway.Request, next: Next) -> Any:
        try:
            return next(request)
        finally:
            seen.append("cleaned")

    @app.on_rpc("*")
    def fail(request: causeway.RpcRequest) -> None:
        raise Stop if request.method == "stop" else ValueError("bad")

    client = TestClient(app)
    with pytest.raises(Stop):
        client.rpc("stop")
    with pytest.raises(ValueError, match="bad"):
        client.rpc("fail")
    assert seen == ["cleaned", "cleaned"]


def test_a_middleware_that_is_not_async_cannot_wait_for_a_handler_that_is() -> None:
    app = App()
    app.middleware(lambda request, next: next(request))
    app.on_rpc("plain")(lambda request: None)

    @app.on_rpc("a")
    async def handler(request: causeway.RpcRequest) -> None: ...

    here = r"test_middlewares\.py:\d+"
    with pytest.raises(TypeError, match=rf"the middleware .*{here} is not async and cannot wait for .*{here}, which is: make"):
        app.run()


def test_a_middleware_with_a_counterpart_serves_both() -> None:
    app, seen = App(), []

    async def counterpart(request: causeway.Request, next: Next) -> Any:
        seen.append("async")
        return await next(request)

    def middleware(request: causeway.Request, next: Next) -> Any:
        seen.append("plain")
        return next(request)

    app.add_middleware(middleware, asynchronous=counterpart)

    @app.on_rpc("a")
    async def handler(request: causeway.RpcRequest) -> None: ...

    app.on_rpc("b")(lambda request: None)
    client = TestClient(app)
    assert client.rpc("a").ok and client.rpc("b").ok
    assert seen == ["async", "plain"]


def test_a_generator_goes_through_middlewares() -> None:
    app, seen = App(), []

    @app.middleware
    def counting(request: causeway.Request, next: Next) -> Any:
        def counted(items: Iterator[Any]) -> Iterator[Any]:
            for item in items:
                seen.append(type(item).__name__)
                yield item

        return counted(next(request))

    @app.on_subscribe_unidirectional("clock:*")
    def clock(request: causeway.SubscribeStreamRequest) -> Iterator[Any]:
        yield SubscribeResult(data=1)
        yield Publication(2)

    stream = TestClient(app).subscribe_unidirectional("clock:1")
    assert (stream.data, [publication.data for publication in stream]) == (1, [2])
    assert seen == ["SubscribeResult", "Publication"]


def test_an_async_middleware_serves_every_style_of_handler_on_an_event_loop() -> None:
    app = App()
    seen: list[str] = []
    traced(app, seen, "all", is_async=True)

    @app.on_connect
    async def connect(request: causeway.ConnectRequest) -> ConnectResult:
        return ConnectResult(user="42")

    @app.on_rpc("*")
    def plain(request: causeway.RpcRequest) -> RpcResult:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        assert causeway.current_request() is request
        return RpcResult(request.user)

    @app.on_subscribe_unidirectional
    async def clock(request: causeway.SubscribeStreamRequest) -> AsyncIterator[Any]:
        yield Publication(1)

    async def main() -> None:
        client = AsyncTestClient(app)
        await client.connect()
        assert (await client.rpc("a")).data == "42"
        assert [publication.data async for publication in await client.subscribe_unidirectional("news")] == [1]

    asyncio.run(main())
    assert seen == ["all", "/all"] * 3


@pytest.mark.parametrize("threads", [0, 4])
def test_a_worker_with_many_requests_runs_middlewares_and_handlers_where_they_belong(threads: int) -> None:
    async def main() -> None:
        app, seen = App(), []

        @app.middleware
        async def outside(request: causeway.Request, next: Next) -> Any:
            seen.append(threading.current_thread() is threading.main_thread())
            return await next(request)

        @app.on_rpc("*")
        def plain(request: causeway.RpcRequest) -> RpcResult:
            seen.append(threading.current_thread() is threading.main_thread())
            assert causeway.current_request() is request
            return RpcResult(request.method)

        async with Bridge(app, threads=threads) as bridge:
            assert (await bridge.answer(await bridge.rpc("a"))).result.data == b'"a"'
        assert seen == [True, threads == 0]

    asyncio.run(main())


def test_stop_iteration_of_a_handler_on_a_thread_fails_its_request() -> None:
    async def main() -> None:
        app = App()

        @app.on_rpc("a")
        def plain(request: causeway.RpcRequest) -> RpcResult:
            return RpcResult(next(iter(())))

        tested = AsyncTestClient(app, raise_exceptions=False)
        expected = "RuntimeError: the handler raised StopIteration"
        assert (await asyncio.wait_for(tested.rpc("a"), 60)).failure == expected

        @app.middleware
        async def outside(request: causeway.Request, next: Next) -> Any:
            return await next(request)

        assert (await asyncio.wait_for(tested.rpc("a"), 60)).failure == expected
        async with Bridge(app) as bridge:
            assert await bridge.failure(await bridge.rpc("a")) == expected

    asyncio.run(main())


def test_a_client_that_leaves_cancels_a_middleware_and_what_is_inside() -> None:
    async def main() -> None:
        app, held, seen = App(), Held(), []

        @app.middleware
        async def outside(request: causeway.Request, next: Next) -> Any:
            try:
                return await next(request)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        app.on_rpc("*")(held)
        async with Bridge(app) as bridge:
            number = await bridge.rpc("a")
            await held.begun("a")
            await bridge.command(cancel=number)
            assert await bridge.failure(number) == "cancelled"
            assert seen == ["cancelled"] and await bridge.is_idle()

    asyncio.run(main())
