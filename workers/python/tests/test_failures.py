"""What the log says about handlers that fail, and what the server gets."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from bridge import Bridge
from supervisor import Supervisor

import causeway
from causeway import App, Event, Publication, SubscribeResult, frame, proxy
from causeway.testing import AsyncTestClient, TestClient

HERE = re.escape(__file__)


def reported(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def broken(request: Any) -> Any:
    secret = "s" * 1000  # noqa: F841 - for the page
    return json.loads("{")


async def broken_async(request: Any) -> Any:
    await asyncio.sleep(0)
    return broken(request)


def broken_stream(request: Any) -> Iterator[Any]:
    yield SubscribeResult()
    yield Publication(broken(request))


async def broken_stream_async(request: Any) -> AsyncIterator[Any]:
    yield Publication(broken(request))


LINE = broken.__code__.co_firstlineno + 2
TEXT = "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"


@pytest.mark.parametrize("handler", [broken, broken_async])
def test_a_failure_is_one_line_with_the_place_in_the_application_and_a_traceback(
    handler: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    app = App()
    app.on_rpc("bad")(handler)
    app.on_connect(handler)
    app.on_subscribe(handler)
    client = TestClient(app, raise_exceptions=False)
    for answer in (client.rpc("bad"), client.connect(), client.subscribe("news\n")):
        assert answer.failure == TEXT
    lines = reported(capsys)
    heads = [line for line in lines if line.endswith(f"({__file__}:{LINE} in broken)")]
    subjects = ('rpc method "bad"', "connect", 'subscribe channel "news\\n"')
    assert heads == [f"{what} failed: {TEXT} ({__file__}:{LINE} in broken)" for what in subjects]
    assert lines[0] == heads[0] and lines[1] == "Traceback (most recent call last):"
    # It begins with the application, and goes on into libraries.
    assert re.match(rf'  File "{HERE}", line \d+, in {handler.__name__}', lines[2])
    assert lines.count("Traceback (most recent call last):") == 3


@pytest.mark.parametrize("handler", [broken_stream, broken_stream_async])
def test_a_stream_that_fails_is_logged_alike(handler: Any, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        app = App()
        app.on_subscribe_unidirectional("clock:*")(handler)
        async with Bridge(app) as bridge:
            await bridge.start(Event.SUBSCRIBE_UNIDIRECTIONAL, proxy.SubscribeRequest(channel="clock:1"))
            while (received := await bridge.receive()).flags != frame.ERROR:
                pass
            assert received.payload.decode() == TEXT

    asyncio.run(main())
    assert f'subscribeunidirectional channel "clock:1" failed: {TEXT} ({__file__}:{LINE} in broken)' in reported(capsys)


@pytest.fixture
def under_causeway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAUSEWAY_POOL", "centrifuge")


@pytest.mark.usefixtures("under_causeway")
def test_causeway_gets_each_failure_as_one_line_with_its_level_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    app = App()
    app.on_rpc("bad")(broken)
    app.on(Event.RPC, "wrong")(lambda request: "text")
    client = TestClient(
        app, raise_exceptions=False, headers={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    )
    for method in ("bad", "wrong", "missing"):
        client.rpc(method)
    bad, wrong, missing = (json.loads(line) for line in reported(capsys))
    traced = {"type": "rpc", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
    trace = bad.pop("traceback")
    assert bad == {
        "level": "error",
        "msg": f'rpc method "bad" failed: {TEXT} ({__file__}:{LINE} in broken)',
        **traced,
        "exception": "JSONDecodeError",
        "place": f"{__file__}:{LINE}",
    }
    assert trace.startswith(f'Traceback (most recent call last):\n  File "{__file__}", line {LINE}, in broken\n')
    text = (
        f"{__file__}:{wrong['msg'].split(':')[1]}: the handler of rpc returned str, expected RpcResult, Error, Disconnect or None"
    )
    assert wrong == {"level": "error", "msg": text, **traced}
    assert missing == {"level": "warn", "msg": 'no handler for rpc method "missing" (logged once)', "type": "rpc"}


@pytest.mark.usefixtures("under_causeway")
def test_a_line_for_causeway_is_json_and_short_whatever_is_raised(capsys: pytest.CaptureFixture[str]) -> None:
    @(app := App()).on_rpc("*")
    def bad(request: causeway.RpcRequest) -> None:
        raise ValueError("\ud800\n" + "x" * 1_000_000 + "end")

    TestClient(app, raise_exceptions=False).rpc("bad")
    (line,) = reported(capsys)
    record = json.loads(line)
    assert r"ValueError: \ud800 xxx" in record["msg"] and record["traceback"].endswith("xend\n")
    assert len(line) < 64 * 1024


@pytest.mark.usefixtures("under_causeway")
def test_for_causeway_a_debug_page_follows_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    app = App(debug=True)
    app.on_rpc("*")(broken)
    TestClient(app, user="42", raise_exceptions=False).rpc("bad")
    line, *page = reported(capsys)
    assert json.loads(line)["level"] == "error" and "traceback" not in json.loads(line)
    assert page[0] == "  user: 42" and "Traceback (most recent call last):" in page


@pytest.mark.parametrize("problem", [BrokenPipeError, OSError, ValueError])
def test_a_log_that_cannot_be_written_costs_nothing(problem: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> None:
            raise problem

    monkeypatch.setattr("sys.stderr", Closed())
    app = App()
    app.on_rpc("*")(broken)
    assert TestClient(app, raise_exceptions=False).rpc("bad").failure == TEXT


def test_a_failure_that_cannot_be_described_is_logged_in_short(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raising(*_: object) -> list[str]:
        raise RecursionError

    monkeypatch.setattr("traceback.format_exception", raising)
    app = App()
    app.on_rpc("*")(broken)
    assert TestClient(app, raise_exceptions=False).rpc("bad").failure == TEXT
    assert reported(capsys) == [f"{TEXT} (it cannot be logged: RecursionError)"]


@pytest.mark.parametrize("refusal", [causeway.Error(404, "not found"), causeway.Disconnect(4001, "bye"), KeyError("x")])
@pytest.mark.parametrize("client", [TestClient, AsyncTestClient])
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_exception_that_is_raised_again_and_again_does_not_grow(refusal: Exception, client: Any, wrapped: bool) -> None:
    app = App()

    @app.on_rpc("*")
    async def refuse(request: causeway.RpcRequest) -> None:
        raise refusal

    if wrapped:

        @app.middleware
        async def around(request: Any, next: Any) -> Any:
            await next(request)
            return causeway.RpcResult()

    for _ in range(2):
        answer = client(app, raise_exceptions=False).rpc("x")
        if client is AsyncTestClient:
            asyncio.run(answer)
        assert refusal.__traceback__ is None


@pytest.mark.parametrize("style", ["plain", "async", "thread"])
def test_many_at_a_time_fail_alike(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        app = App()
        app.on_rpc("*")(broken_async if style == "async" else broken)
        async with Bridge(app, threads=4 if style == "thread" else 0) as bridge:
            assert await bridge.failure(await bridge.rpc("bad")) == TEXT
            assert await bridge.is_idle()

    asyncio.run(main())
    assert reported(capsys)[0] == f'rpc method "bad" failed: {TEXT} ({__file__}:{LINE} in broken)'


def test_the_place_is_that_of_the_cause_in_a_middleware(capsys: pytest.CaptureFixture[str]) -> None:
    app = App()
    app.middleware(lambda request, next: next(request))
    app.on_rpc("*")(broken)
    TestClient(app, raise_exceptions=False).rpc("bad")
    assert reported(capsys)[0].endswith(f"({__file__}:{LINE} in broken)")


@pytest.mark.parametrize("client", [TestClient, AsyncTestClient])
def test_a_debug_page_has_the_request_and_the_variables(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    app = App(debug=True)
    app.on_rpc("*")(broken)

    async def main() -> Any:
        answer = client(app, user="42", raise_exceptions=False).rpc("bad", {"password": "x" * 3000})
        return await answer if client is AsyncTestClient else answer

    answer = asyncio.run(main())
    assert answer.failure == TEXT
    page = capsys.readouterr().err
    assert page.startswith('rpc method "bad" failed: ')
    assert '\n  user: 42\n  client: test-client\n  transport: websocket\n  data: b\'{"password":"xxx' in page
    assert "xxx' and 967 more bytes\n" in page
    assert f"\n{__file__}:{LINE} in broken\n" in page
    assert f'\n  > {LINE:4}     return json.loads("{{")\n' in page
    assert f"\n    secret = '{'s' * 199}...\n" in page


def test_the_environment_turns_the_debug_page_on(tmp_path: Path) -> None:
    code = "import causeway\napp = causeway.App()\n@app.on_rpc('*')\ndef bad(request):\n    answer = 42\n    1 / 0\napp.run()\n"
    for environment, shown in (({"CAUSEWAY_DEBUG": "1"}, True), ({"CAUSEWAY_DEBUG": "true"}, True), ({}, False)):
        running = Supervisor.of_code(code, tmp_path, environment)
        answer = running.ask("rpc", proxy.RPCRequest(method="x", user="42").SerializeToString())
        assert answer.payload == b"ZeroDivisionError: division by zero"
        _, errors = running.process.communicate(timeout=60)
        assert errors.decode().splitlines()[0] == (
            f'rpc method "x" failed: ZeroDivisionError: division by zero ({tmp_path / "app.py"}:6 in bad)'
        )
        assert (b"    answer = 42\n" in errors, b"  user: 42\n" in errors) == (shown, shown)


def test_a_variable_that_cannot_be_shown_harms_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError

    app = App(debug=True)

    @app.on_rpc("*")
    def bad(request: causeway.RpcRequest) -> None:
        mute = Mute()
        raise ValueError(1, type(mute))

    TestClient(app, raise_exceptions=False).rpc("bad")
    assert "    mute = <RuntimeError in repr>\n" in capsys.readouterr().err


def test_a_second_answer_of_a_stream_is_an_error_with_the_place_of_the_handler() -> None:
    app = App()

    @app.on_subscribe_unidirectional
    def twice(request: causeway.SubscribeStreamRequest) -> Iterator[Any]:
        yield SubscribeResult()
        yield SubscribeResult()

    stream = TestClient(app).subscribe_unidirectional("news")
    line = twice.__code__.co_firstlineno
    with pytest.raises(causeway.WorkerError, match=rf"^{HERE}:{line}: the handler of .* yielded SubscribeResult, expected a Pub"):
        next(stream)
