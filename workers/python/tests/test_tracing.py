"""Handlers in the trace of their request, with the real library."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from bridge import Bridge

import causeway
from causeway import App, Event, Payload, Publication, RpcRequest, RpcResult, SubscribeResult, proxy

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

PARENT = "00f067aa0ba902b7"


def trace_id(number: int) -> str:
    return f"{0xABC0 + number:032x}"


def headers(number: int) -> dict[str, list[str]]:
    return {":authority": ["a"], "traceparent": [f"00-{trace_id(number)}-{PARENT}-01"], "tracestate": [f"n={number}"]}


def payload(event: Event, number: int, message: Any = None) -> Payload:
    context = json.dumps({**headers(number), "type": [event.value]}, separators=(",", ":"))
    return Payload(context.encode(), message.SerializeToString() if message else b"")


def here() -> tuple[str, str, str]:
    """Return trace, span and state of the place that a span would be a child of."""
    found = trace.get_current_span().get_span_context()
    return f"{found.trace_id:032x}", f"{found.span_id:016x}", found.trace_state.to_header()


def expected(number: int) -> tuple[str, str, str]:
    return trace_id(number), PARENT, f"n={number}"


NOWHERE = ("0" * 32, "0" * 16, "")


def test_a_handler_is_in_the_trace_of_its_request_and_nothing_is_after_it() -> None:
    app, seen = App(), []

    @app.on_rpc("sync")
    def plain(_: RpcRequest) -> RpcResult:
        seen.append(here())
        return RpcResult()

    @app.on_rpc("async")
    async def coroutine(_: RpcRequest) -> RpcResult:
        await asyncio.sleep(0)
        seen.append(await asyncio.ensure_future(asyncio.sleep(0, here())))
        return RpcResult()

    @app.on_rpc("fails")
    def failing(_: RpcRequest) -> RpcResult:
        seen.append(here())
        raise ValueError

    for number, method in enumerate(("sync", "async", "sync", "fails")):
        try:
            app.answer(payload(Event.RPC, number, proxy.RPCRequest(method=method)))
        except ValueError:
            assert method == "fails"
        assert here() == NOWHERE
    assert seen == [expected(number) for number in range(4)]
    app.answer(Payload(b'{":authority":["a"],"type":["rpc"]}', proxy.RPCRequest(method="sync").SerializeToString()))
    assert seen[-1] == NOWHERE


def test_a_generator_is_in_the_trace_of_its_stream() -> None:
    app, seen = App(), []

    @app.on_subscribe_unidirectional
    def stream(_: causeway.SubscribeStreamRequest) -> Iterator[Any]:
        seen.append(here())
        yield SubscribeResult()
        seen.append(here())
        yield Publication(b"{}")
        seen.append(here())

    messages = app.answer(payload(Event.SUBSCRIBE_UNIDIRECTIONAL, 1))
    assert not isinstance(messages, bytes)
    assert here() == NOWHERE
    assert len(list(messages)) == 2
    assert seen == [expected(1)] * 3
    assert here() == NOWHERE


def test_many_requests_at_a_time_have_each_its_own_trace() -> None:
    app = App()
    seen: dict[str, list[Any]] = {}
    meeting = asyncio.Event()

    @app.on_rpc("async")
    async def coroutine(request: RpcRequest) -> RpcResult:
        before = here()
        if request.user == "1":
            await meeting.wait()
        else:
            meeting.set()
        seen[request.user] = [before, here()]
        return RpcResult()

    @app.on_rpc("sync")
    def plain(request: RpcRequest) -> RpcResult:
        seen[request.user] = [here(), threading.current_thread() is threading.main_thread()]
        return RpcResult()

    @app.on_subscribe_unidirectional
    async def stream(_: causeway.SubscribeStreamRequest) -> AsyncIterator[Any]:
        seen["4"] = [here()]
        yield SubscribeResult()
        await asyncio.sleep(0)
        seen["4"].append(here())

    async def play() -> None:
        async with Bridge(app) as bridge:
            for method, user in (("async", "1"), ("async", "2"), ("sync", "3")):
                request = proxy.RPCRequest(method=method, user=user)
                await bridge.start(Event.RPC, request, context=headers(int(user)))
            for _ in range(3):
                assert (await bridge.receive()).flags == 0
            await bridge.start(Event.SUBSCRIBE_UNIDIRECTIONAL, context=headers(4))
            while "4" not in seen or len(seen["4"]) < 2:
                await bridge.receive()
            assert here() == NOWHERE

    asyncio.run(play())
    assert {user: values[0] for user, values in seen.items()} == {str(user): expected(user) for user in range(1, 5)}
    assert (seen["1"][1], seen["2"][1], seen["3"][1], seen["4"][1]) == (expected(1), expected(2), False, expected(4))


def test_spans_of_a_handler_are_children_of_the_worker_s() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = App()

    @app.on_rpc("*")
    def handler(_: RpcRequest) -> RpcResult:
        with provider.get_tracer("test").start_as_current_span("query"):
            return RpcResult()

    app.answer(payload(Event.RPC, 7))
    [span] = exporter.get_finished_spans()
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (trace_id(7), PARENT)


def test_without_the_library_handlers_run_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    from causeway import tracing

    monkeypatch.setattr(tracing, "_api", None)
    monkeypatch.setattr(tracing, "_is_missing", False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    app, seen = App(), []

    @app.on_rpc("*")
    def handler(_: RpcRequest) -> RpcResult:
        seen.append(here())
        return RpcResult()

    for number in range(2):
        app.answer(payload(Event.RPC, number))
    assert seen == [NOWHERE] * 2


# Answers two requests with a trace.
TWO_REQUESTS = """
from causeway import App, Payload, RpcResult
app = App()
app.on_rpc("*")(lambda _: RpcResult())
context = b'{"traceparent":["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],":authority":["a"],"type":["rpc"]}'
for _ in range(2):
    assert isinstance(app.answer(Payload(context, b"")), bytes)
"""


def test_with_a_wrong_propagator_handlers_run_and_a_line_says_so() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OTEL_PROPAGATORS": "tracecontext,nonsense"}
    done = subprocess.run([sys.executable, "-c", TWO_REQUESTS], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot continue traces (logged once): ValueError(") == 1, done.stderr


def test_a_propagator_that_fails_fails_no_request(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    from causeway import tracing

    def extract(_: Any) -> Any:
        raise KeyError("x")

    monkeypatch.setattr(tracing, "_api", tracing._Api(extract, lambda _: None, lambda _: None))
    monkeypatch.setattr(tracing, "_is_missing", False)
    monkeypatch.setattr(tracing, "_has_failed", False)
    app = App()
    app.on_rpc("*")(lambda _: RpcResult())
    for number in range(2):
        assert isinstance(app.answer(payload(Event.RPC, number)), bytes)
    assert capfd.readouterr().err == "cannot continue traces (logged once): KeyError('x')\n"
