"""Streams of subscriptions: those that a handler sends as a generator, and those that the server owns."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable, Union

import pytest
from bridge import PATIENCE, Bridge, response
from test_protocol2 import asynchronous
from test_worker import Recorded, request

import causeway
from causeway import App, Event, Publication, SubscribeResult, SubscribeStreamRequest, frame, proxy

Yielded = AsyncIterator[Union[SubscribeResult, Publication]]
UNI, BIDI = Event.SUBSCRIBE_UNIDIRECTIONAL, Event.SUBSCRIBE_BIDIRECTIONAL
END = frame.STREAM | frame.STOP


def application(handler: Any) -> App:
    app = App()
    app.on_subscribe_unidirectional(handler)
    app.on_subscribe_bidirectional(handler)
    return app


def opened(received: frame.Frame, number: int) -> Any:
    """Return the response in the first message of a stream."""
    assert (received.flags, received.options, received.stream) == (0, (0, number), frame.STREAM), received
    message = proxy.StreamSubscribeResponse.FromString(received.payload)
    assert message.HasField("subscribe_response")
    return message.subscribe_response


def published(received: frame.Frame, number: int) -> Any:
    """Return the publication in another message of a stream."""
    assert (received.flags, received.options, received.stream) == (0, (0, number), frame.STREAM), received
    message = proxy.StreamSubscribeResponse.FromString(received.payload)
    assert not message.HasField("subscribe_response")
    return message.publication


async def count(request: SubscribeStreamRequest) -> Yielded:
    yield SubscribeResult(data={"channel": request.channel, "stream": request.stream})
    for index in range(3):
        yield Publication({"index": index}, tags={"kind": "count"})


@asynchronous
async def test_a_generator_accepts_publishes_and_ends() -> None:
    async with Bridge(application(count)) as bridge:
        number = await bridge.start(UNI, proxy.SubscribeRequest(channel="news"), context={"stream": ["s1"]})
        assert opened(await bridge.receive(), number).result.data == b'{"channel":"news","stream":"s1"}'
        for index in range(3):
            expected = proxy.Publication(data=b'{"index":%d}' % index, tags={"kind": "count"})
            assert published(await bridge.receive(), number) == expected
        assert await bridge.receive() == frame.Frame(b"", 0, (0, number), END)
        assert await bridge.is_idle()


@asynchronous
async def test_a_stream_that_begins_with_a_publication_accepts_the_subscription() -> None:
    async def handler(request: SubscribeStreamRequest) -> Yielded:
        yield Publication(1)

    async with Bridge(application(handler)) as bridge:
        number = await bridge.start(UNI)
        assert opened(await bridge.receive(), number).HasField("result")
        assert published(await bridge.receive(), number).data == b"1"
        assert (await bridge.receive()).stream == END


@asynchronous
async def test_a_generator_that_yields_nothing_accepts_and_ends() -> None:
    async def handler(request: SubscribeStreamRequest) -> Yielded:
        for _ in ():
            yield Publication(1)

    async with Bridge(application(handler)) as bridge:
        number = await bridge.start(UNI)
        assert opened(await bridge.receive(), number).HasField("result")
        assert (await bridge.receive()).stream == END


@asynchronous
async def test_a_generator_can_reject_the_subscription() -> None:
    closed: list[str] = []

    async def handler(request: SubscribeStreamRequest) -> AsyncIterator[Any]:
        try:
            if request.channel == "raised":
                raise causeway.Error(403, "raised")
            yield causeway.Disconnect(4000, "yielded")
            yield Publication("never")
        finally:
            closed.append(request.channel)

    async with Bridge(application(handler)) as bridge:
        number = await bridge.start(UNI, proxy.SubscribeRequest(channel="raised"))
        assert response(await bridge.receive(), number, UNI).error.code == 403
        number = await bridge.start(BIDI, proxy.SubscribeRequest(channel="yielded"))
        assert response(await bridge.receive(), number, BIDI).disconnect.code == 4000
        assert closed == ["raised", "yielded"]
        assert await bridge.is_idle()


@asynchronous
async def test_a_function_that_returns_a_result_leaves_the_stream_to_the_server() -> None:
    seen = []

    async def handler(request: SubscribeStreamRequest) -> SubscribeResult:
        seen.append(request.stream)
        with pytest.raises(RuntimeError, match="messages are for generators"):
            _ = request.messages
        return SubscribeResult(allow=["pub"])

    async with Bridge(application(handler)) as bridge:
        number = await bridge.start(BIDI, context={"stream": ["s1"]})
        assert response(await bridge.receive(), number, BIDI).result.allow == ["pub"]
    assert seen == ["s1"]


@asynchronous
async def test_a_function_may_return_a_generator() -> None:
    async def later(request: SubscribeStreamRequest) -> Any:
        await asyncio.sleep(0)
        return count(request)

    for handler in (later, lambda request: count(request), lambda request: later(request)):
        async with Bridge(application(handler)) as bridge:
            number = await bridge.start(BIDI)
            opened(await bridge.receive(), number)
            for _ in range(3):
                published(await bridge.receive(), number)
            assert (await bridge.receive()).stream == END
            assert await bridge.is_idle()


@asynchronous
async def test_publications_and_ends_of_streams_are_handled() -> None:
    app = App()
    seen: list[Any] = []

    @app.on_stream_publish
    async def publish(request: causeway.StreamPublishRequest) -> None:
        seen.append((request.stream, request.channel, request.json))
        if request.json == "bad":
            raise causeway.Error(400, "bad")

    @app.on_stream_end
    def end(request: causeway.StreamEndRequest) -> None:
        seen.append((request.stream, request.channel, request.user))

    async with Bridge(app) as bridge:
        context = {"stream": ["s1"]}
        for data in (b'"good"', b'"bad"'):
            number = await bridge.start(Event.STREAM_PUBLISH, proxy.PublishRequest(channel="news", data=data), context=context)
            answer = response(await bridge.receive(), number, Event.STREAM_PUBLISH)
        assert answer.error.code == 400
        number = await bridge.start(Event.STREAM_END, proxy.SubscribeRequest(channel="news", user="42"), context=context)
        response(await bridge.receive(), number, Event.STREAM_END)
    assert seen == [("s1", "news", "good"), ("s1", "news", "bad"), ("s1", "news", "42")]
    # Nobody has to care about the end, which logs nothing.
    async with Bridge(App()) as bridge:
        number = await bridge.start(Event.STREAM_END, proxy.SubscribeRequest())
        assert not response(await bridge.receive(), number, Event.STREAM_END).HasField("error")


@asynchronous
async def test_a_generator_is_never_ahead_of_its_window() -> None:
    yielded = 0

    async def handler(request: SubscribeStreamRequest) -> Yielded:
        nonlocal yielded
        for index in range(200):
            yielded = index + 1
            yield Publication(index)

    async with Bridge(application(handler)) as bridge:
        number = await bridge.start(UNI)
        for _ in range(64):
            assert (await bridge.receive()).stream == frame.STREAM
        assert await bridge.is_idle()
        # The opening, 63 publications, and the one that waits.
        assert yielded == 64
        await bridge.command(window=number, messages=10)
        for index in range(63, 73):
            assert published(await bridge.receive(), number).data == b"%d" % index
        assert await bridge.is_idle()
        await bridge.command(window=number, messages=1000)
        for index in range(73, 200):
            assert published(await bridge.receive(), number).data == b"%d" % index
        assert (await bridge.receive()).stream == END


@asynchronous
async def test_large_messages_use_half_of_the_window() -> None:
    async def handler(request: SubscribeStreamRequest) -> Yielded:
        for _ in range(40):
            yield Publication("x" * 10_000)

    async with Bridge(application(handler)) as bridge:
        number = await bridge.start(UNI)
        for _ in range(32):
            await bridge.receive()
        assert await bridge.is_idle()
        await bridge.command(window=number, messages=32)
        for _ in range(9):
            await bridge.receive()
        assert (await bridge.receive()).stream == END


@pytest.mark.parametrize("where", ["in the generator", "at the window"])
def test_a_cancelled_generator_is_closed(where: str) -> None:
    events: list[str] = []

    async def handler(request: SubscribeStreamRequest) -> Yielded:
        try:
            yield Publication(0)
            while where == "at the window":
                yield Publication(1)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise
        except GeneratorExit:
            events.append("closed")
            raise
        finally:
            await asyncio.sleep(0)
            events.append("finally")

    @asynchronous
    async def check() -> None:
        async with Bridge(application(handler)) as bridge:
            number = await bridge.start(UNI)
            for _ in range(2 if where == "in the generator" else 64):
                await bridge.receive()
            assert await bridge.is_idle()
            await bridge.command(cancel=number, reason="gone")
            assert await bridge.failure(number) == "cancelled"
            assert await bridge.is_idle()

    check()
    assert events == ["cancelled" if where == "in the generator" else "closed", "finally"]


@asynchronous
async def test_a_generator_that_ignores_being_cancelled_sends_nothing_more() -> None:
    begun = asyncio.Event()

    async def handler(request: SubscribeStreamRequest) -> Yielded:
        yield Publication(0)
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            yield Publication("never")
            yield Publication("never")

    async with Bridge(application(handler)) as bridge:
        number = await bridge.start(UNI)
        await bridge.receive()
        await bridge.receive()
        await asyncio.wait_for(begun.wait(), PATIENCE)
        await bridge.command(cancel=number, reason="gone")
        assert await bridge.failure(number) == "cancelled"
        assert await bridge.is_idle()


@asynchronous
async def test_a_generator_that_ignores_being_closed_fails() -> None:
    async def handler(request: SubscribeStreamRequest) -> Yielded:
        while True:
            try:
                yield Publication(0)
            except GeneratorExit:
                yield Publication(1)

    async with Bridge(application(handler)) as bridge:
        number = await bridge.start(UNI)
        for _ in range(64):
            await bridge.receive()
        await bridge.command(cancel=number, reason="gone")
        assert "ignored GeneratorExit" in await bridge.failure(number)
        assert await bridge.is_idle()


@asynchronous
async def test_a_stream_that_fails_ends_with_an_error() -> None:
    async def handler(request: SubscribeStreamRequest) -> AsyncIterator[Any]:
        yield SubscribeResult()
        if request.channel == "zero":
            1 / 0  # noqa: B018
        if request.channel == "error":
            raise causeway.Error(1, "late")
        if request.channel == "result":
            yield SubscribeResult()
        if request.channel == "stop":
            raise causeway.Stop
        yield Publication({1}) if request.channel == "set" else "text"

    async with Bridge(application(handler)) as bridge:
        place = f"{__file__}:{handler.__code__.co_firstlineno}: "
        expected = {
            "zero": "ZeroDivisionError: division by zero",
            "error": f"{place}the stream ended with Error 1: late",
            "stop": f"{place}a stream that has begun cannot go to another worker",
            "result": f"{place}the handler of subscribeunidirectional yielded SubscribeResult, expected a Publication",
            "set": f"{place}cannot encode a publication: data: Object of type set is not JSON serializable",
            "text": f"{place}the handler of subscribeunidirectional yielded str, expected a Publication",
        }
        for channel, text in expected.items():
            number = await bridge.start(UNI, proxy.SubscribeRequest(channel=channel))
            opened(await bridge.receive(), number)
            assert (await bridge.failure(number)).startswith(text)
        assert await bridge.is_idle()


@asynchronous
async def test_messages_of_the_client_are_read_within_their_window() -> None:
    async def handler(request: SubscribeStreamRequest) -> Yielded:
        yield SubscribeResult()
        async for message in request.messages:
            yield Publication([message.data.decode(), message.json])

    async with Bridge(application(handler)) as bridge:
        number = await bridge.start(BIDI)
        opened(await bridge.receive(), number)
        grants = 0
        for index in range(40):
            await bridge.send(frame.encode(b"{}%d" % index, 0, (2, number), frame.STREAM))
            received = await bridge.receive()
            if received.flags & frame.CONTROL:
                assert received.payload == b'{"window":%d,"messages":32}' % number
                grants += 1
                received = await bridge.receive()
            assert published(received, number).data == b'["%d",%d]' % (index, index)
        assert grants == 1
        await bridge.send(frame.encode(b"", 0, (0, number), END))
        assert await bridge.receive() == frame.Frame(b"", 0, (0, number), END)


@asynchronous
async def test_a_client_that_leaves_ends_its_messages_and_the_generator() -> None:
    ended = []

    async def handler(request: SubscribeStreamRequest) -> Yielded:
        yield SubscribeResult()
        try:
            async for _ in request.messages:
                pass
        finally:
            ended.append(request.channel)

    async with Bridge(application(handler)) as bridge:
        number = await bridge.start(BIDI, proxy.SubscribeRequest(channel="c"))
        opened(await bridge.receive(), number)
        assert await bridge.is_idle()
        await bridge.command(cancel=number, reason="gone")
        assert await bridge.receive() == frame.Frame(b"", 0, (0, number), END)
    assert ended == ["c"]


@asynchronous
async def test_a_stop_cancels_streams_and_waits_for_requests() -> None:
    async def handler(request: SubscribeStreamRequest) -> Yielded:
        yield SubscribeResult()
        await asyncio.Event().wait()

    async with Bridge(application(handler)) as bridge:
        number = await bridge.start(UNI)
        opened(await bridge.receive(), number)
        assert await bridge.is_idle()
        await bridge.command(drain=True)
        assert await bridge.is_idle()
        await bridge.command(stop=True)
        assert await bridge.failure(number) == "cancelled"
        await asyncio.wait_for(bridge.session.finished, PATIENCE)


@pytest.mark.parametrize("threads", [0, 2])
def test_a_generator_that_blocks_runs_on_threads(threads: int) -> None:
    seen: list[Any] = []

    def handler(request: SubscribeStreamRequest) -> Iterator[Any]:
        try:
            yield SubscribeResult()
            seen.append(threading.current_thread() is threading.main_thread())
            current = causeway.current_request()
            yield Publication(current.user if current else None)
            while True:
                yield Publication(0)
        finally:
            seen.append("closed")

    @asynchronous
    async def check() -> None:
        for started in (handler, lambda request: handler(request)):
            async with Bridge(application(started), threads=threads) as bridge:
                number = await bridge.start(UNI, proxy.SubscribeRequest(user="42"))
                opened(await bridge.receive(), number)
                assert published(await bridge.receive(), number).data == b'"42"'
                for _ in range(62):
                    await bridge.receive()
                await bridge.command(cancel=number, reason="gone")
                assert await bridge.failure(number) == "cancelled"

    check()
    assert seen == [threads == 0, "closed"] * 2


@asynchronous
async def test_a_generator_that_is_cancelled_while_it_blocks_is_closed_afterwards() -> None:
    begun, release, closed = threading.Semaphore(0), threading.Event(), threading.Event()

    def handler(request: SubscribeStreamRequest) -> Iterator[Any]:
        try:
            yield SubscribeResult()
            begun.release()
            release.wait(PATIENCE)
            yield Publication("never")
        finally:
            closed.set()

    async with Bridge(application(handler)) as bridge:
        number = await bridge.start(UNI)
        opened(await bridge.receive(), number)
        await asyncio.get_running_loop().run_in_executor(None, begun.acquire)
        await bridge.command(cancel=number, reason="gone")
        assert await bridge.is_idle()
        release.set()
        assert await bridge.failure(number) == "cancelled"
    assert closed.is_set()


# Where a worker has one request at a time.

FENCE = frame.encode(b'{"pid":1}', frame.CONTROL)
PONG = frame.encode(b"", stream=frame.PONG)


class Live(Recorded):
    """A relay whose server answers pings."""

    def __init__(self, *chunks: bytes, stop_after: int = 1000) -> None:
        super().__init__(*chunks)
        self.stop_after = stop_after

    def write(self, data: bytes) -> None:
        super().write(data)
        found = frame.decode(data)
        if found and found[0].stream & frame.PING:
            # The server may have sent anything before its answer.
            self.chunks.insert(0, FENCE + PONG[:5])
            self.chunks.insert(1, PONG[5:])
        if len(self.written) == self.stop_after:
            self.chunks.insert(0, frame.encode(b"", stream=frame.STOP))

    def is_readable(self) -> bool:
        return bool(self.chunks)


def synchronous(request: SubscribeStreamRequest) -> Iterator[Any]:
    yield SubscribeResult(data=0)
    for index in range(6):
        yield Publication(index)


async def with_a_loop(request: SubscribeStreamRequest) -> AsyncIterator[Any]:
    yield SubscribeResult(data=0)
    for index in range(6):
        await asyncio.sleep(0)
        yield Publication(index)


SUBSCRIBE = request(b'{"a":["b"],"type":["subscribeunidirectional"]}', b"")
ECHO = frame.encode(b'{"pid":%d}' % os.getpid(), frame.CONTROL)


def classic(handler: Any, relay: Recorded) -> list[frame.Frame]:
    """Return what a worker writes that has one request at a time."""
    causeway.Worker(relay).run(application(handler).answer)
    data = b"".join(relay.written)
    frames = []
    while data:
        found = frame.decode(data)
        assert found
        frames.append(found[0])
        data = data[found[1] :]
    return frames


@pytest.mark.parametrize("handler", [synchronous, with_a_loop, lambda request: synchronous(request)])
def test_a_classic_worker_streams_and_pings_with_every_fifth_message(handler: Callable[[Any], Any]) -> None:
    frames = classic(handler, Live(SUBSCRIBE + FENCE + SUBSCRIBE))
    bits = [received.stream for received in frames]
    streamed = [frame.STREAM] * 4 + [frame.STREAM | frame.PING] + [frame.STREAM] * 2 + [0]
    # The fence behind the request and the one that came before the pong are answered after the stream.
    assert bits == streamed + [0] + streamed + [0] * 2 or bits == streamed + [0] * 2 + streamed + [0]
    messages = [proxy.StreamSubscribeResponse.FromString(received.payload) for received in frames[:7]]
    assert messages[0].subscribe_response.result.data == b"0"
    assert [message.publication.data for message in messages[1:]] == [b"%d" % index for index in range(6)]
    assert frames[7] == frame.Frame(b"", 0, (0,), 0)
    assert all(received.options == (0,) for received in frames if not received.flags)
    assert [received for received in frames if received.flags] == [frame.decode(ECHO)[0]] * 3  # type: ignore[index]


@pytest.mark.parametrize("stop_after", [2, 5])
def test_a_classic_stream_ends_when_the_server_stops_it(stop_after: int) -> None:
    closed = []

    def endless(request: SubscribeStreamRequest) -> Iterator[Any]:
        try:
            while True:
                yield Publication(1)
        finally:
            closed.append(True)

    frames = classic(endless, Live(SUBSCRIBE + FENCE, stop_after=stop_after))
    streams = [received.stream & frame.STREAM for received in frames if not received.flags]
    assert streams == [1] * stop_after + [0]
    assert closed == [True]
    assert frames[-1].flags == frame.CONTROL


def test_a_classic_stream_that_cannot_be_closed_ends_with_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def endless(request: SubscribeStreamRequest) -> Iterator[Any]:
        try:
            while True:
                yield Publication(1)
        finally:
            raise ConnectionResetError("the database is gone")

    *_, failed, echo = classic(endless, Live(SUBSCRIBE + FENCE, stop_after=2))
    assert (failed.flags, failed.payload) == (frame.ERROR, b"ConnectionResetError: the database is gone")
    assert echo.flags == frame.CONTROL
    assert 'subscribeunidirectional channel "" failed: ConnectionResetError' in capfd.readouterr().err


def _raising(error: BaseException) -> Callable[[Any], Any]:
    def handler(request: SubscribeStreamRequest) -> Iterator[Any]:
        yield SubscribeResult()
        raise error

    return handler


def test_a_classic_stream_that_fails_ends_with_an_error() -> None:
    def fails(request: SubscribeStreamRequest) -> Iterator[Any]:
        yield SubscribeResult()
        1 / 0  # noqa: B018

    def rejects(request: SubscribeStreamRequest) -> Iterator[Any]:
        yield causeway.Error(1, "no")

    def late(request: SubscribeStreamRequest) -> Iterator[Any]:
        yield SubscribeResult()
        raise causeway.Stop

    def hands_over(request: SubscribeStreamRequest) -> Iterator[Any]:
        yield from ()
        raise causeway.Stop

    _, failed, _ = classic(fails, Live(SUBSCRIBE + FENCE))
    assert (failed.flags, failed.payload) == (frame.ERROR, b"ZeroDivisionError: division by zero")
    _, failed, _ = classic(late, Live(SUBSCRIBE + FENCE))
    assert failed.payload.endswith(b"a stream that has begun cannot go to another worker")
    (stopped,) = classic(hands_over, Live(SUBSCRIBE + FENCE))
    assert (stopped.options, stopped.payload) == ((13,), b'{"stop":true}')
    # These would be about the relay, or the worker, if the handler had not raised them.
    for error in (ConnectionRefusedError("no database"), asyncio.CancelledError("no subclass of Exception")):
        _, failed, echo = classic(_raising(error), Live(SUBSCRIBE + FENCE))
        assert (failed.flags, failed.payload) == (frame.ERROR, f"{type(error).__name__}: {error}".encode())
        assert echo.flags == frame.CONTROL
    rejected, _ = classic(rejects, Live(SUBSCRIBE + FENCE))
    assert proxy.SubscribeResponse.FromString(rejected.payload).error.code == 1


def test_a_server_that_closes_the_relay_ends_a_classic_stream() -> None:
    closed = []

    def endless(request: SubscribeStreamRequest) -> Iterator[Any]:
        try:
            while True:
                yield Publication(1)
        finally:
            closed.append(True)

    relay = Recorded(SUBSCRIBE)
    classic(endless, relay)
    assert (len(relay.written), closed) == (5, [True])
