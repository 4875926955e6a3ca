"""The test clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import causeway
from causeway import App, ConnectResult, Disconnect, Error, Event, Publication, RpcResult, Stop, SubscribeResult, WorkerError
from causeway.testing import Answer, AsyncTestClient, TestClient, TestRpc

CODECS = ["proto", "json"]


@pytest.fixture(params=CODECS)
def app(request: pytest.FixtureRequest) -> App:
    return App(codec=request.param)


def test_an_answer_has_what_the_client_gets(app: App) -> None:
    @app.on_rpc("*")
    async def handler(request: causeway.RpcRequest) -> Any:
        answers = {
            "data": RpcResult({"a": [1, None]}),
            "zero": RpcResult(0),
            "empty": None,
            "bytes": RpcResult(b"\xff"),
            "error": Error(403, "no", temporary=True),
            "disconnect": Disconnect(4001, "bye"),
        }
        return answers[request.method]

    client = TestClient(app)
    assert client.rpc("data") == Answer(Event.RPC, RpcResult({"a": [1, None]}))
    assert [client.rpc(method).data for method in ("data", "zero", "empty", "bytes")] == [{"a": [1, None]}, 0, None, b"\xff"]
    error = client.rpc("error")
    assert (error.ok, error.data, error.error) == (False, None, Error(403, "no", temporary=True))
    assert client.rpc("disconnect").disconnect == Disconnect(4001, "bye")


def test_nested_results_are_plain_values(app: App) -> None:
    result = ConnectResult(
        user="42",
        channels=["news"],
        expire_at=7,
        meta={"a": 1},
        labels={"x": "y"},
        subs={"chat": {"data": {"n": 1}, "override": {"presence": {"value": True}}}},
        caps=[{"channels": ["a"], "allow": ["pub"], "match": "wildcard"}],
    )
    app.on_connect(lambda request: result)
    assert TestClient(app).connect().result == result


def test_requests_have_what_centrifugo_sends(app: App) -> None:
    seen: list[Any] = []
    app.on_connect(lambda request: ConnectResult(user="42", meta={"plan": "pro"}))
    app.on_rpc("*")(lambda request: seen.append((request.user, request.meta, request.client, request.transport)))
    app.on_subscribe(lambda request: seen.append((request.channel, request.token, request.json, request.header("Cookie"))))
    app.on_notify_channel_state(lambda request: seen.append(request.events[0].channel))
    app.on_stream_end(lambda request: seen.append((request.stream, request.user)))
    client = TestClient(app, headers={"Cookie": "a=b"})
    client.rpc("before")
    client.connect({"token": "x"}, name="js", headers={"Cookie": "c=d"})
    client.rpc("after", client="7")
    client.rpc("other", user="43")
    client.subscribe("news", [1], token="t")
    client.notify_channel_state([{"channel": "news", "type": "occupied"}])
    client.stream_end("news", stream="s1")
    assert seen == [
        ("", None, "test-client", "websocket"),
        ("42", {"plan": "pro"}, "7", "websocket"),
        ("43", {"plan": "pro"}, "test-client", "websocket"),
        ("news", "t", [1], "a=b"),
        "news",
        ("s1", "42"),
    ]
    with pytest.raises(TypeError, match="nonsense"):
        client.rpc("a", nonsense=1)


@pytest.mark.parametrize("event", Event)
def test_every_event_is_a_method_of_both_clients(app: App, event: Event) -> None:
    app.on(event)(lambda request: None)
    arguments = {"method": "a", "channel": "a", "events": [], "key": "k", "items": []}

    def call(client: Any) -> Any:
        method = getattr(client, event.name.lower())
        names = method.__code__.co_varnames[1 : method.__code__.co_argcount]
        return method(*(arguments[name] for name in names if name in arguments))

    async def main() -> Any:
        return await call(AsyncTestClient(app))

    for answer in (call(TestClient(app)), asyncio.run(main())):
        assert (answer.event, answer.ok, type(answer.result)) == (event, True, event.result)


def test_exceptions_are_raised_or_values(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    @app.on_rpc("*")
    def handler(request: causeway.RpcRequest) -> Any:
        return "text" if request.method == "wrong" else 1 / 0

    with pytest.raises(ZeroDivisionError):
        TestClient(app).rpc("a")
    with pytest.raises(WorkerError):
        TestClient(app).rpc("wrong")
    client = TestClient(app, raise_exceptions=False)
    assert client.rpc("a").failure == "ZeroDivisionError: division by zero"
    assert "the handler of rpc returned str" in (client.rpc("wrong").failure or "")
    assert capsys.readouterr().err.startswith('rpc method "a" failed: ZeroDivisionError: division by zero (')


def test_a_stop_is_raised_always(app: App) -> None:
    @app.on_connect
    def stop(request: causeway.ConnectRequest) -> None:
        raise Stop

    with pytest.raises(Stop):
        TestClient(app, raise_exceptions=False).connect()


def test_a_stream_is_an_answer_and_its_publications(app: App) -> None:
    closed = []

    @app.on_subscribe_unidirectional("clock:*")
    def clock(request: causeway.SubscribeStreamRequest) -> Iterator[Any]:
        yield SubscribeResult(data="hello")
        try:
            for number in range(100):
                yield Publication({"n": number}, tags={"a": "b"})
        finally:
            closed.append(request.channel)

    @app.on_subscribe_unidirectional
    async def refuse(request: causeway.SubscribeStreamRequest) -> AsyncIterator[Any]:
        raise Error(403, "no")
        yield

    app.on_subscribe_bidirectional(lambda request: SubscribeResult(data="held"))
    client = TestClient(app)
    stream = client.subscribe_unidirectional("clock:1")
    assert (stream.data, next(stream), next(stream).data) == ("hello", Publication({"n": 0}, {"a": "b"}), {"n": 1})
    stream.close()
    assert closed == ["clock:1"]
    refused = client.subscribe_unidirectional("news")
    assert (refused.error, list(refused)) == (Error(403, "no"), [])
    held = client.subscribe_bidirectional("news")
    assert (held.data, list(held)) == ("held", [])


def test_a_client_of_an_event_loop_publishes_to_its_stream(app: App) -> None:
    @app.on_subscribe_bidirectional
    async def mirror(request: causeway.SubscribeStreamRequest) -> AsyncIterator[Any]:
        if request.user != "42":
            raise Disconnect(4001, "bye")
        yield SubscribeResult(data=request.user)
        async for message in request.messages:
            yield Publication({"echo": message.json})

    @app.on_subscribe_unidirectional
    def numbers(request: causeway.SubscribeStreamRequest) -> Iterator[Any]:
        for number in range(3):
            time.sleep(0)
            yield Publication([number, causeway.current_request() is request])

    async def main() -> None:
        client = AsyncTestClient(app, user="42")
        stream = await client.subscribe_bidirectional("news")
        stream.publish("hello")
        assert (stream.data, (await stream.__anext__()).data) == ("42", {"echo": "hello"})
        stream.publish(1)
        await stream.close()
        assert [publication async for publication in stream] == []
        client.user = "43"
        assert (await client.subscribe_bidirectional("news")).disconnect == Disconnect(4001, "bye")
        unidirectional = await client.subscribe_unidirectional("news")
        assert [publication.data async for publication in unidirectional] == [[number, True] for number in range(3)]
        with pytest.raises(RuntimeError, match="bidirectional"):
            unidirectional.publish(1)

    asyncio.run(main())


def test_concurrent_calls_have_their_own_requests(app: App) -> None:
    @app.on_rpc("*")
    async def handler(request: causeway.RpcRequest) -> RpcResult:
        await asyncio.sleep(0)
        assert causeway.current_request() is request
        return RpcResult(request.method)

    async def main() -> list[Any]:
        client = AsyncTestClient(app)
        return [answer.data for answer in await asyncio.gather(*(client.rpc(str(number)) for number in range(20)))]

    assert asyncio.run(main()) == [str(number) for number in range(20)]


def test_a_client_in_a_block_starts_the_application_and_ends_it() -> None:
    seen = []

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        seen.append("start")
        yield
        seen.append("end")

    app = App(lifespan=lifespan)
    app.on_connect(lambda request: seen.append("connect"))

    async def main() -> None:
        async with AsyncTestClient(app) as client:
            await client.connect()

    with TestClient(app) as client:
        client.connect()
    asyncio.run(main())
    assert seen == ["start", "connect", "end"] * 2


RPC, ASYNC_RPC = causeway.Rpc("unix:///nowhere/rpc.sock"), causeway.AsyncRpc("unix:///nowhere/rpc.sock")


def test_calls_of_handlers_are_kept_and_answered() -> None:
    app = App()

    @app.on_rpc("plain")
    def plain(request: causeway.RpcRequest) -> RpcResult:
        RPC.centrifugo.publish("news", {"text": request.json}, tags={"a": "b"})
        RPC.centrifugo.broadcast(["news", "other"], [1])
        RPC.stream.publish("s1", "to a stream")
        RPC.logger.info("hello")
        return RpcResult([RPC.centrifugo.presence_stats("news").num_users, RPC.lock.lock("a", "id") is None])

    @app.on_rpc("async")
    async def handler(request: causeway.RpcRequest) -> RpcResult:
        await ASYNC_RPC.centrifugo.publish("news", b"raw")
        return RpcResult(await ASYNC_RPC.lock.lock("a", "id"))

    client = TestClient(app)
    with TestRpc() as rpc:
        assert client.rpc("plain", "hello").data == [0, True]
        rpc.returns("centrifuge.PresenceStats", {"result": {"num_users": 7}}).returns("lock.Lock", {"ok": True})
        assert client.rpc("plain", "hello").data == [7, False]
        assert client.rpc("async").data == "id"
        rpc.returns("centrifuge.Publish", causeway.ApiError("unknown channel", 102))
        with pytest.raises(causeway.ApiError):
            client.rpc("async")
    assert rpc.published("news") == [{"text": "hello"}, [1]] * 2 + [b"raw"] * 2
    assert (rpc.published("other"), rpc.published("s1")) == ([[1]] * 2, ["to a stream"] * 2)
    assert rpc.calls("centrifuge.Publish")[0] == {"channel": "news", "data": {"text": "hello"}, "tags": {"a": "b"}}
    assert rpc.calls("app.Info") == ["hello"] * 2
    with pytest.raises(causeway.RpcConnectionError):
        client.rpc("plain")


def test_a_stream_that_fails_ends_with_its_failure() -> None:
    app = App()

    @app.on_subscribe_unidirectional
    def broken(request: causeway.SubscribeStreamRequest) -> Iterator[Any]:
        yield Publication(1)
        raise ValueError("broken")

    async def main() -> None:
        following = await AsyncTestClient(app, raise_exceptions=False).subscribe_unidirectional("c")
        assert [publication.data async for publication in following] == [1]
        assert (following.ok, following.failure) == (True, "ValueError: broken")

    stream = TestClient(app, raise_exceptions=False).subscribe_unidirectional("c")
    assert [publication.data for publication in stream] == [1]
    assert (stream.ok, stream.failure) == (True, "ValueError: broken")
    with pytest.raises(ValueError, match=r"^broken$"):
        list(TestClient(app).subscribe_unidirectional("c"))
    asyncio.run(main())
