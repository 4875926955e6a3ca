"""Many requests of all kinds, cancelled at random, in frames that arrive in pieces."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from bridge import Bridge
from test_protocol2 import asynchronous

import causeway
from causeway import App, Event, Publication, RpcRequest, RpcResult, SubscribeStreamRequest, frame, proxy

METHODS = ["now", "later", "ignores", "fails", "refuses", "thread", "awaitable", "stops"]
STREAMS = ["async", "blocking"]


def application() -> App:
    app = App()

    @app.on_rpc("*")
    async def call(request: RpcRequest) -> RpcResult:
        turns = int(request.json) % 7
        try:
            for _ in range(turns if request.method != "now" else 0):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            if request.method != "ignores":
                raise
        if request.method == "fails":
            raise ValueError(request.json)
        if request.method == "refuses":
            raise causeway.Error(request.json + 1, "no")
        if request.method == "stops":
            raise causeway.Stop
        return RpcResult(request.data)

    @app.on_rpc("thread")
    def block(request: RpcRequest) -> RpcResult:
        time.sleep(0)
        return RpcResult(request.data)

    app.on_rpc("awaitable")(lambda request: call(request))

    @app.on_subscribe_unidirectional
    async def stream(request: SubscribeStreamRequest) -> AsyncIterator[Any]:
        for index in range(request.json % 100):
            if index % 10 == 0:
                await asyncio.sleep(0)
            yield Publication([request.json, index])

    @app.on_subscribe_bidirectional
    def blocking(request: SubscribeStreamRequest) -> Iterator[Any]:
        for index in range(request.json % 100):
            yield Publication([request.json, index])

    return app


class Checked:
    """What has come for each number."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.waiting = bytearray()
        self.kinds: dict[int, str] = {}
        self.cancelled: set[int] = set()
        self.messages: dict[int, int] = {}
        self.finished: set[int] = set()

    async def read(self, count: int) -> None:
        while len(self.finished) < count:
            received = await self.bridge.receive()
            if not received.flags & frame.CONTROL and received.stream != frame.PONG:
                self.take(received)

    def take(self, received: frame.Frame) -> None:
        number = received.options[1]
        assert number not in self.finished, "finished twice"
        kind = self.kinds[number]
        if received.stream == frame.STREAM:
            self.take_message(received, number)
            return
        self.finished.add(number)
        if received.flags & frame.ERROR:
            expected = {"fails": f"ValueError: {number}"}.get(kind)
            assert received.payload.decode() == expected or (number in self.cancelled and received.payload == b"cancelled")
        elif received.stream:
            assert received.stream == frame.STREAM | frame.STOP
            # The opening, and as many publications as the handler yields.
            assert self.messages[number] == number % 100 + 1
        elif received.options[0]:
            assert (kind, received.payload) == ("stops", b'{"stop":true}')
        else:
            response = proxy.RPCResponse.FromString(received.payload)
            assert response.error.code == number + 1 if kind == "refuses" else response.result.data == b"%d" % number

    def take_message(self, received: frame.Frame, number: int) -> None:
        seen = self.messages[number] = self.messages.get(number, 0) + 1
        if seen > 1:
            message = proxy.StreamSubscribeResponse.FromString(received.payload)
            assert message.publication.data == b"[%d,%d]" % (number, seen - 2)
        if seen % 32 == 0:
            self.waiting += frame.encode(b'{"window":%d,"messages":32}' % number, frame.CONTROL | frame.JSON)


@pytest.mark.parametrize("seed", range(5))
def test_each_request_is_finished_once_with_its_own_answer(seed: int, capfd: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(seed)
    count = 400

    @asynchronous
    async def check() -> None:
        async with Bridge(application(), threads=3) as bridge:
            checked = Checked(bridge)
            reading = asyncio.ensure_future(checked.read(count))
            waiting = checked.waiting
            for number in range(1, count + 1):
                checked.kinds[number] = kind = chance.choice(METHODS + STREAMS)
                data = b"%d" % number
                if kind in STREAMS:
                    event = Event.SUBSCRIBE_UNIDIRECTIONAL if kind == "async" else Event.SUBSCRIBE_BIDIRECTIONAL
                    waiting += bridge.request(event, proxy.SubscribeRequest(data=data))[1]
                else:
                    waiting += bridge.request(Event.RPC, proxy.RPCRequest(method=kind, data=data))[1]
                if chance.random() < 0.4:
                    cancelled = chance.randint(max(1, number - 10), number)
                    checked.cancelled.add(cancelled)
                    waiting += frame.encode(b'{"cancel":%d}' % cancelled, frame.CONTROL | frame.JSON)
                if chance.random() < 0.1:
                    waiting += frame.encode(b"", stream=frame.PING)
                if chance.random() < 0.5:
                    cut = chance.randint(0, len(waiting))
                    await bridge.send(bytes(waiting[:cut]))
                    del waiting[:cut]
                    await asyncio.sleep(0)
            while not reading.done():
                sent = bytes(waiting)
                waiting.clear()
                await bridge.send(sent)
                await asyncio.sleep(0)
            await reading
            assert await bridge.is_idle()
            assert not bridge.session._is_busy() and not bridge.session._streams and not bridge.session._cancelled

    check()
    capfd.readouterr()
