"""Many requests at a time: sessions against a server on the same event loop."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from collections.abc import Coroutine
from functools import wraps
from typing import Any, Callable

import pytest
from bridge import FENCE, PATIENCE, Bridge, Held, response

import causeway
from causeway import App, Event, RpcRequest, RpcResult, frame, proxy
from causeway.protocol2 import connection
from causeway.protocol2.watchdog import Watchdog

STOP = {"stop": True}


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on an event loop of its own."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def application(handler: Any, method: str = "*") -> App:
    app = App()
    app.on_rpc(method)(handler)
    return app


async def echo(request: RpcRequest) -> RpcResult:
    return RpcResult(request.data)


@asynchronous
async def test_the_greeting_offers_protocol_2() -> None:
    async with Bridge(application(echo), concurrency=7) as bridge:
        name = f"causeway-worker {causeway.__version__}"
        assert bridge.greeting == {"pid": os.getpid(), "protocol": 2, "concurrency": 7, "name": name}


def test_the_greeting_carries_the_secret_of_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAUSEWAY_RELAY_SECRET", "s3cret")

    @asynchronous
    async def check() -> None:
        async with Bridge(application(echo)) as bridge:
            assert bridge.greeting["secret"] == "s3cret"

    check()


@asynchronous
async def test_answers_come_in_the_order_in_which_handlers_return() -> None:
    held = Held()
    async with Bridge(application(held)) as bridge:
        numbers = {method: await bridge.rpc(method) for method in "abc"}
        await held.begun(*"abc")
        for method in "cab":
            held.release(method)
            assert (await bridge.answer(numbers[method])).result.data == f'"{method}"'.encode()


@asynchronous
async def test_answers_that_are_ready_at_once_are_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    release, begun = asyncio.Event(), asyncio.Semaphore(0)
    writes = []

    async def handler(request: RpcRequest) -> None:
        begun.release()
        await release.wait()

    def write(descriptor: int, data: bytes) -> int:
        writes.append(data)
        return os.write(descriptor, data)

    async with Bridge(application(handler)) as bridge:
        monkeypatch.setattr(connection, "os", type("os", (), {**vars(os), "write": staticmethod(write)}))
        await bridge.send(b"".join(bridge.request(Event.RPC)[1] for _ in range(50)))
        for _ in range(50):
            await asyncio.wait_for(begun.acquire(), PATIENCE)
        release.set()
        assert {(await bridge.receive()).options[1] for _ in range(50)} == set(range(1, 51))
    assert len(writes) == 1


@asynchronous
async def test_ten_thousand_requests_are_each_answered_once() -> None:
    async with Bridge(application(echo)) as bridge:
        requests = b"".join(bridge.request(Event.RPC)[1] for _ in range(10_000))
        sending = asyncio.ensure_future(bridge.send(requests))
        numbers = [(await bridge.receive()).options[1] for _ in range(10_000)]
        await sending
        assert sorted(numbers) == list(range(1, 10_001))
        assert await bridge.is_idle()


@asynchronous
async def test_frames_are_found_wherever_their_bytes_are_split() -> None:
    async with Bridge(application(echo)) as bridge:
        for _ in range(2):
            stream = FENCE + b"".join(
                bridge.request(Event.RPC, proxy.RPCRequest(method="x", data=b"1" * size))[1] for size in (0, 1, 300)
            )
            for byte in stream:
                await bridge.send(bytes([byte]))
                await asyncio.sleep(0)
            received = [await bridge.receive() for _ in range(4)]
            assert sorted(len(received.payload) for received in received[1:]) == [2, 5, 306]
        # All cuts into two.
        cuts = range(1, len(stream))
        session = bridge.session
        for cut in cuts:
            used = session._received(stream[:cut])
            assert session._received(bytearray(stream[used:])) == len(stream) - used
        answered = [await bridge.receive() for _ in range(4 * len(cuts))]
        assert len([one for one in answered if one.options]) == 3 * len(cuts)


@asynchronous
async def test_large_bodies_do_not_hold_up_small_ones() -> None:
    async with Bridge(application(echo)) as bridge:
        data = b'"%b"' % (b"x" * 3_000_000)
        sending = asyncio.ensure_future(bridge.rpc("x", data))
        large = await bridge.receive()
        assert response(large, await sending).result.data == data
        assert (await bridge.answer(await bridge.rpc("x", b"1"))).result.data == b"1"


@asynchronous
async def test_a_failure_fails_only_its_own_request(capfd: pytest.CaptureFixture[str]) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    async def handler(request: RpcRequest) -> Any:
        if request.method == "mute":
            raise MuteError
        return {"text": "text", "nan": RpcResult(float("nan")), "good": RpcResult(1)}.get(request.method) or 1 / 0

    async with Bridge(application(handler)) as bridge:
        line = f"{__file__}:{handler.__code__.co_firstlineno}"
        assert await bridge.failure(await bridge.rpc("zero")) == "ZeroDivisionError: division by zero"
        expected = f"{line}: the handler of rpc returned str, expected RpcResult, Error, Disconnect or None"
        assert await bridge.failure(await bridge.rpc("text")) == expected
        assert (await bridge.failure(await bridge.rpc("nan"))).startswith(f"{line}: cannot encode the answer to rpc: data: ")
        assert await bridge.failure(await bridge.rpc("mute")) == "MuteError: its text could not be produced"
    assert capfd.readouterr().err.count("Traceback") == 2


@asynchronous
async def test_refusals_missing_handlers_and_unknown_events_are_answered() -> None:
    async def handler(request: RpcRequest) -> None:
        raise causeway.Error(403, "no") if request.method == "error" else causeway.Disconnect(4000, "bye")

    async with Bridge(application(handler)) as bridge:
        assert (await bridge.answer(await bridge.rpc("error"))).error.code == 403
        assert (await bridge.answer(await bridge.rpc("disconnect"))).disconnect.code == 4000
        received, number = await bridge_next(bridge, Event.CONNECT)
        assert response(received, number, Event.CONNECT).error.code == 108
        body = b'{"type":["nonsense"]}'
        await bridge.send(frame.encode(body, frame.PROTO, (len(body), 77)))
        assert await bridge.failure(77) == 'unknown event type "nonsense"'
        broken = b'{":authority":["x"],"type":["rpc"]}'
        await bridge.send(frame.encode(broken + b"\xff", frame.PROTO, (len(broken), 78)))
        assert await bridge.receive()
        assert await bridge.is_idle()


async def bridge_next(bridge: Bridge, event: Event) -> tuple[frame.Frame, int]:
    number = await bridge.start(event)
    return await bridge.receive(), number


@asynchronous
async def test_a_cancelled_handler_gets_a_cancelled_error_and_its_request_ends() -> None:
    events: list[str] = []
    begun = asyncio.Event()

    async def handler(request: RpcRequest) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            events.append("finally")

    async with Bridge(application(handler)) as bridge:
        number = await bridge.rpc("x")
        await asyncio.wait_for(begun.wait(), PATIENCE)
        await bridge.command(cancel=number, reason="gone")
        assert await bridge.failure(number) == "cancelled"
        assert events == ["cancelled", "finally"]
        # Late and unknown numbers are nobody's.
        await bridge.command(cancel=number, reason="gone")
        await bridge.command(cancel=999, reason="deadline")
        assert await bridge.is_idle()


@asynchronous
async def test_a_handler_that_ignores_being_cancelled_answers_once() -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def handler(request: RpcRequest) -> RpcResult:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await release.wait()
        return RpcResult("done all the same")

    async with Bridge(application(handler)) as bridge:
        number = await bridge.rpc("x")
        await asyncio.wait_for(begun.wait(), PATIENCE)
        await bridge.command(cancel=number, reason="deadline")
        assert await bridge.is_idle()
        release.set()
        assert (await bridge.answer(number)).result.data == b'"done all the same"'
        assert await bridge.is_idle()


@asynchronous
async def test_a_request_that_is_cancelled_before_it_has_begun_ends() -> None:
    async with Bridge(application(echo)) as bridge:
        number, request = bridge.request(Event.RPC, proxy.RPCRequest(method="x"))
        cancel = frame.encode(b'{"cancel":%d,"reason":"gone"}' % number, frame.CONTROL | frame.JSON)
        await bridge.send(request + cancel + cancel)
        received = await bridge.receive()
        # Where tasks start eagerly, the answer is earlier.
        assert received.options == (0, number)
        assert await bridge.is_idle()


@asynchronous
async def test_a_request_that_ends_as_it_is_cancelled_is_answered_once() -> None:
    held = Held()
    async with Bridge(application(held)) as bridge:
        number = await bridge.rpc("x")
        await held.begun("x")
        held.release("x")
        bridge.session._cancel(number)
        assert (await bridge.receive()).options == (0, number)
        assert await bridge.is_idle()


@asynchronous
async def test_a_handler_that_cancels_itself_fails(capfd: pytest.CaptureFixture[str]) -> None:
    async def handler(request: RpcRequest) -> None:
        raise asyncio.CancelledError

    async with Bridge(application(handler)) as bridge:
        assert await bridge.failure(await bridge.rpc("x")) == "RuntimeError: the handler was cancelled"


@asynchronous
async def test_the_current_request_is_known_in_tasks_and_threads() -> None:
    app = App()
    seen: dict[str, list[str]] = {}
    meeting = asyncio.Event()

    def user() -> str:
        current = causeway.current_request()
        return current.user if current else "nobody"

    @app.on_rpc("async")
    async def handler(request: RpcRequest) -> RpcResult:
        if request.user == "1":
            await meeting.wait()
        else:
            meeting.set()
        child = asyncio.ensure_future(asyncio.sleep(0, user()))
        thread = asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, user)
        seen[request.user] = [user(), await child, await thread]
        return RpcResult()

    @app.on_rpc("sync")
    def blocking(request: RpcRequest) -> RpcResult:
        seen[request.user] = [user(), threading.current_thread().name]
        return RpcResult()

    async with Bridge(app) as bridge:
        for method, name in (("async", "1"), ("async", "2"), ("sync", "3")):
            await bridge.start(Event.RPC, proxy.RPCRequest(method=method, user=name))
        for _ in range(3):
            assert (await bridge.receive()).flags == 0
    assert seen == {"1": ["1"] * 3, "2": ["2"] * 3, "3": ["3", "causeway-handler-1"]}
    assert causeway.current_request() is None


@asynchronous
async def test_functions_run_on_a_limited_number_of_threads_and_wait_for_one() -> None:
    lock, release = threading.Lock(), threading.Event()
    running, most = 0, 0
    both = threading.Semaphore(0)

    def handler(request: RpcRequest) -> RpcResult:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.release()
        release.wait(PATIENCE)
        with lock:
            running -= 1
        return RpcResult(request.method)

    async with Bridge(application(handler), threads=2) as bridge:
        numbers = [await bridge.rpc(str(index)) for index in range(5)]
        for _ in range(2):
            await asyncio.get_running_loop().run_in_executor(None, both.acquire)
        # The last one has not begun: it ends at once. One that runs cannot be interrupted.
        await bridge.command(cancel=numbers[4], reason="gone")
        assert await bridge.failure(numbers[4]) == "cancelled"
        await bridge.command(cancel=numbers[0], reason="gone")
        assert await bridge.is_idle()
        release.set()
        assert sorted([(await bridge.receive()).options[1] for _ in range(4)]) == numbers[:4]
    assert most == 2


@asynchronous
async def test_without_threads_functions_run_on_the_event_loop() -> None:
    def handler(request: RpcRequest) -> Any:
        assert threading.current_thread() is threading.main_thread()
        return echo(request)

    async with Bridge(application(handler), threads=0) as bridge:
        assert (await bridge.answer(await bridge.rpc("x", b"[1]"))).result.data == b"[1]"


@pytest.mark.parametrize("threads", [0, 2])
def test_failures_of_functions_are_those_of_async_functions(threads: int) -> None:
    def handler(request: RpcRequest) -> Any:
        if request.method == "error":
            raise causeway.Error(1, "x")
        if request.method == "stop":
            raise causeway.Stop
        return echo(request) if request.method == "awaitable" else 1 / 0

    @asynchronous
    async def check() -> None:
        async with Bridge(application(handler), threads=threads) as bridge:
            assert (await bridge.answer(await bridge.rpc("error"))).error.code == 1
            assert await bridge.failure(await bridge.rpc("zero")) == "ZeroDivisionError: division by zero"
            assert (await bridge.answer(await bridge.rpc("awaitable", b"7"))).result.data == b"7"
            number = await bridge.rpc("stop")
            assert await bridge.receive() == frame.Frame(b'{"stop":true}', 0, (13, number))

    check()


@pytest.mark.parametrize("threads", [0, 2])
def test_exceptions_that_are_no_subclasses_of_exception_are_answers_too(threads: int) -> None:
    class Odd(BaseException):
        pass

    async def handler(request: RpcRequest) -> None:
        raise Odd("odd")

    def function(request: RpcRequest) -> None:
        raise Odd("odd")

    @asynchronous
    async def check() -> None:
        for started in (handler, function):
            async with Bridge(application(started), threads=threads) as bridge:
                assert await bridge.failure(await bridge.rpc("x")) == "Odd: odd"

    check()


@asynchronous
async def test_answers_wait_in_pieces_for_a_server_that_does_not_read() -> None:
    data = b'"%b"' % (b"x" * 30_000)
    async with Bridge(application(lambda request: RpcResult(data)), threads=0) as bridge:
        for _ in range(100):
            await bridge.rpc("x")
            await asyncio.sleep(0)
        while sum(map(len, bridge.session._connection._unsent)) < 2_000_000:
            await asyncio.sleep(0)
        for number in range(1, 101):
            assert (await bridge.answer(number)).result.data == data


@asynchronous
async def test_a_handler_can_ask_for_another_worker_and_the_rest_goes_on() -> None:
    held = Held()

    async def handler(request: RpcRequest) -> Any:
        if request.method == "stop":
            raise causeway.Stop
        return await held(request)

    async with Bridge(application(handler)) as bridge:
        other = await bridge.rpc("other")
        number = await bridge.rpc("stop")
        assert await bridge.receive() == frame.Frame(b'{"stop":true}', 0, (13, number))
        held.release("other")
        await bridge.answer(other)


@asynchronous
async def test_a_ping_is_answered_while_handlers_wait() -> None:
    held = Held()
    async with Bridge(application(held)) as bridge:
        number = await bridge.rpc("x")
        assert await bridge.is_idle()
        held.release("x")
        await bridge.answer(number)


@asynchronous
async def test_an_application_can_take_less_and_more() -> None:
    app = App()

    @app.on_rpc("*")
    async def handler(request: RpcRequest) -> None:
        app.limit(3)

    async with Bridge(app) as bridge:
        number = await bridge.rpc("x")
        received = [await bridge.receive(), await bridge.receive()]
        assert frame.Frame(b'{"credit":3}', frame.CONTROL | frame.JSON) in received
        app.limit(0)
        assert (await bridge.receive()).payload == b'{"credit":0}'
        with pytest.raises(ValueError, match="a number of requests"):
            app.limit(-1)
        assert number == 1
    App().limit(5)


@asynchronous
async def test_a_stop_waits_for_what_is_in_hand_and_refuses_what_comes_later() -> None:
    held = Held()
    async with Bridge(application(held)) as bridge:
        number = await bridge.rpc("x")
        await bridge.command(drain=True)
        assert await bridge.is_idle()
        await bridge.command(**STOP)
        late = await bridge.rpc("late")
        assert await bridge.receive() == frame.Frame(b'{"stop":true}', 0, (13, late))
        assert not bridge.session.finished.done()
        held.release("x")
        await bridge.answer(number)
        await asyncio.wait_for(bridge.session.finished, PATIENCE)


@asynchronous
async def test_a_stop_waits_until_the_last_answer_is_written() -> None:
    data = b'"%b"' % (b"x" * 3_000_000)
    async with Bridge(application(lambda request: RpcResult(data))) as bridge:
        number, request = bridge.request(Event.RPC)
        await bridge.send(request + frame.encode(b'{"stop":true}', frame.CONTROL))
        assert (await bridge.answer(number)).result.data == data
        await asyncio.wait_for(bridge.session.finished, PATIENCE)


@asynchronous
async def test_a_session_without_requests_stops_at_once() -> None:
    async with Bridge(application(echo)) as bridge:
        await bridge.command(**STOP)
        await asyncio.wait_for(bridge.session.finished, PATIENCE)


@asynchronous
async def test_a_server_that_closes_the_relay_ends_the_session() -> None:
    held = Held()
    async with Bridge(application(held)) as bridge:
        await bridge.rpc("x")
        await held.begun("x")
        bridge.close()
        await asyncio.wait_for(bridge.session.finished, PATIENCE)
        # Nobody reads its answer.
        held.release("x")


@asynchronous
async def test_a_broken_frame_ends_the_session_after_the_answers_before_it() -> None:
    async with Bridge(application(lambda request: None), threads=0) as bridge:
        number, request = bridge.request(Event.RPC)
        await bridge.send(request + b"?" * 30)
        await bridge.answer(number)
        with pytest.raises(frame.FrameError, match="not a frame"):
            await asyncio.wait_for(bridge.session.finished, PATIENCE)
    async with Bridge(application(echo)) as bridge:
        broken = bytearray(bridge.request(Event.RPC)[1])
        broken[7] ^= 1
        await bridge.send(bytes(broken))
        with pytest.raises(frame.FrameError, match="wrong checksum"):
            await asyncio.wait_for(bridge.session.finished, PATIENCE)


@asynchronous
async def test_control_frames_that_mean_nothing_are_ignored() -> None:
    async with Bridge(application(echo)) as bridge:
        for payload in (b"", b"{", b"[]", b'{"later":1}', b'{"cancel":"x"}', b'{"cancel":[]}', b'{"window":7,"messages":1}'):
            await bridge.send(frame.encode(payload, frame.CONTROL | frame.JSON))
        await bridge.send(frame.encode(b"x", 0, (0, 5), frame.STREAM))
        await bridge.send(frame.encode(b"", frame.ERROR, (0, 5)))
        assert await bridge.is_idle()


@asynchronous
async def test_a_handler_that_blocks_the_event_loop_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = threading.Event()
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        logged.set()

    monkeypatch.setattr("causeway.protocol2.watchdog.log", log)

    def block() -> None:
        logged.wait(PATIENCE)

    async def handler(request: RpcRequest) -> None:
        block()

    async with Bridge(application(handler), blocking_limit=0.05) as bridge:
        await bridge.answer(await bridge.rpc("x"))
    line = handler.__code__.co_firstlineno + 1
    assert lines[0].startswith("the event loop is blocked for more than 50 ms: ")
    assert f"handler ({__file__}:{line}) > block ({__file__}:{line - 3}) > " in lines[0]


@asynchronous
async def test_a_place_that_blocks_again_and_again_is_logged_once_a_minute(capfd: pytest.CaptureFixture[str]) -> None:
    watchdog = Watchdog(asyncio.get_running_loop(), 0.5, lambda: False)
    for _ in range(3):
        watchdog._log([sys._getframe()])
    text = capfd.readouterr().err
    assert text.startswith(f"the event loop is blocked for more than 500 ms: {sys._getframe().f_code.co_name} ({__file__}:")
    assert text.count("\n") == 1
