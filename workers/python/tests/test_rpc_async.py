"""The RPC client for event loops: the same exchanges as the other one, and many at a time."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, cast

import pytest
from rpc_server import PATIENCE, VECTORS, Peer, Server
from supervisor import ROOT
from test_protocol2 import asynchronous
from test_rpc import BROKEN, version
from test_rpc_exchanges import CALLS

import causeway
from causeway import AsyncRpc, Rpc, RpcConnectionError, RpcError, RpcTimeoutError, ServerError

KIT = ROOT / "workers/python"


class Blocking:
    """Calls the methods of an ``AsyncRpc`` as if they were those of an ``Rpc``."""

    def __init__(self, called: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._called = called
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._called, name)
        if not callable(value):
            return Blocking(value, self._loop)
        return lambda *args, **kwargs: self._loop.run_until_complete(value(*args, **kwargs))


@pytest.fixture
def blocking() -> Iterator[Callable[[str], Rpc]]:
    """Return a function that connects an ``AsyncRpc`` and makes it look like an ``Rpc``."""
    loop = asyncio.new_event_loop()
    clients = []

    def connect(address: str) -> Rpc:
        clients.append(AsyncRpc(address))
        return cast(Rpc, Blocking(clients[-1], loop))

    yield connect
    for client in clients:
        loop.run_until_complete(client.close())
    loop.close()


@pytest.mark.parametrize("name", VECTORS)
def test_every_recorded_exchange_is_reproduced(name: str, blocking: Callable[[str], Rpc]) -> None:
    call, expected = CALLS[name]
    with Server(lambda peer: peer.replay(name)) as server:
        rpc = blocking(server.address)
        if isinstance(expected, RpcError):
            with pytest.raises(type(expected)) as raised:
                call(rpc)
            assert (raised.value.code, raised.value.message) == (expected.code, expected.message)
        else:
            assert call(rpc) == expected


def test_the_services_are_generated_from_those_of_the_other_client() -> None:
    spec = importlib.util.spec_from_file_location("generate_async", KIT / "scripts/generate_async.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name in script.NAMES:
        generated = (KIT / "src/causeway/rpc/aio" / name).read_text()
        assert generated == script.generate(name), "run scripts/generate_async.py"


def test_both_clients_have_the_same_methods() -> None:
    def methods(value: Any) -> dict[str, str]:
        found = inspect.getmembers(value, callable)
        return {name: str(inspect.signature(method)) for name, method in found if not name.startswith("_")}

    blocking, concurrent = Rpc(), AsyncRpc()
    assert {name for name in vars(blocking) if name[0] != "_"} == {name for name in vars(concurrent) if name[0] != "_"}
    assert methods(blocking).keys() == methods(concurrent).keys()
    services = [name for name, value in vars(blocking).items() if type(value).__module__.startswith("causeway.rpc.")]
    for name in services:
        if not name.startswith("_"):
            assert methods(getattr(blocking, name)) == methods(getattr(concurrent, name))


@asynchronous
async def test_calls_share_a_connection_and_replies_come_in_any_order() -> None:
    chunks = []

    def part(peer: Peer) -> None:
        requests = [peer.receive() for _ in range(100)]
        chunks.append(len(requests))
        for request in reversed(requests):
            peer.answer(request, b'"%d"' % request.options[0])

    with Server(part) as server:
        async with AsyncRpc(server.address) as rpc:
            assert await asyncio.gather(*(rpc.version() for _ in range(100))) == [str(index) for index in range(1, 101)]
    assert (server.accepted, chunks) == (1, [100])


@asynchronous
async def test_an_error_of_the_server_keeps_the_connection() -> None:
    def part(peer: Peer) -> None:
        peer.refuse(peer.receive(), "no such stream")
        version(peer)

    with Server(part) as server:
        async with AsyncRpc(server.address) as rpc:
            with pytest.raises(ServerError, match="no such stream"):
                await rpc.stream.publish("s1", {"a": 1})
            assert await rpc.version() == "2"


@asynchronous
async def test_a_call_reconnects_after_the_server_closed_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("causeway.rpc.aio.client._IDLE", -1.0)
    with Server(version, version) as server:
        async with AsyncRpc(server.address) as rpc:
            assert await rpc.version() == "1"
            await asyncio.get_running_loop().run_in_executor(None, server.wait, 0)
            assert await rpc.version() == "1"


@asynchronous
async def test_calls_that_may_have_run_are_not_repeated() -> None:
    def part(peer: Peer) -> None:
        version(peer)
        for _ in range(3):
            peer.receive()

    with Server(part, version) as server:
        async with AsyncRpc(server.address) as rpc:
            await rpc.version()
            results = await asyncio.gather(*(rpc.version() for _ in range(3)), return_exceptions=True)
            for error in results:
                assert isinstance(error, RpcConnectionError) and error.may_have_run
                assert str(error).endswith("before rpc.Version was answered")
            assert await rpc.version() == "1"


@asynchronous
async def test_a_call_that_could_not_be_sent_is_retried_on_a_new_connection() -> None:
    def part(peer: Peer) -> None:
        version(peer)
        assert peer.connection.recv(10)

    with Server(part, version) as server:
        async with AsyncRpc(server.address) as rpc:
            await rpc.version()
            assert await rpc.call("rpc.Version", "x" * 20_000_000) == "1"


@asynchronous
async def test_a_cancelled_call_leaves_the_connection_to_the_others() -> None:
    received = asyncio.Event()
    loop = asyncio.get_running_loop()
    cancelled = threading.Event()

    def part(peer: Peer) -> None:
        first, second = peer.receive(), peer.receive()
        loop.call_soon_threadsafe(received.set)
        assert cancelled.wait(PATIENCE)
        peer.answer(first, b'"late"')
        peer.answer(second, b'"2"')
        version(peer)

    with Server(part) as server:
        async with AsyncRpc(server.address) as rpc:
            first, second = asyncio.ensure_future(rpc.version()), asyncio.ensure_future(rpc.version())
            await asyncio.wait_for(received.wait(), PATIENCE)
            # A call that is cancelled before it is written is not sent.
            third = asyncio.ensure_future(rpc.version())
            await asyncio.sleep(0)
            first.cancel()
            third.cancel()
            for call in (first, third):
                with pytest.raises(asyncio.CancelledError):
                    await call
            cancelled.set()
            assert await second == "2"
            assert await rpc.version() == "4"
    assert server.accepted == 1


@asynchronous
async def test_a_call_that_is_cancelled_while_it_connects_does_not_disturb_others() -> None:
    with Server(version) as server:
        async with AsyncRpc(server.address) as rpc:
            first, second = asyncio.ensure_future(rpc.version()), asyncio.ensure_future(rpc.version())
            await asyncio.sleep(0)
            first.cancel()
            assert await second == "1"


@asynchronous
async def test_a_call_without_a_reply_times_out_alone() -> None:
    def part(peer: Peer) -> None:
        version(peer)
        late = peer.receive()
        version(peer)
        peer.answer(late, b'"late"')
        version(peer)

    with Server(part) as server:
        async with AsyncRpc(server.address) as rpc:
            await rpc.version()
            with pytest.raises(RpcTimeoutError, match="not answered in time") as raised:
                await rpc.call("rpc.Version", True, timeout=0.05)
            assert raised.value.may_have_run
            assert await rpc.version() == "3"
            assert await rpc.version() == "4"


@asynchronous
async def test_a_call_times_out_while_the_server_reads_nothing() -> None:
    released = threading.Event()
    with Server(lambda peer: released.wait(PATIENCE)) as server:
        async with AsyncRpc(server.address) as rpc:
            large = asyncio.ensure_future(rpc.call("x.Y", "x" * 20_000_000))
            while not (rpc._client._connection and rpc._client._connection._full):
                await asyncio.sleep(0)
            with pytest.raises(RpcTimeoutError, match="could not be sent in time") as raised:
                await rpc.call("x.Y", 1, timeout=0.05)
            assert not raised.value.may_have_run
            await rpc.close()
            with pytest.raises(RpcConnectionError) as failed:
                await large
            assert not failed.value.may_have_run
        released.set()


@pytest.mark.parametrize("text", BROKEN)
def test_an_invalid_reply_closes_the_connection(text: str) -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        peer.connection.sendall(BROKEN[text](peer, request))
        assert peer.is_closed()

    @asynchronous
    async def check() -> None:
        with Server(part, version) as server:
            async with AsyncRpc(server.address) as rpc:
                with pytest.raises(RpcConnectionError, match="invalid reply: ") as raised:
                    await rpc.version()
                assert raised.value.may_have_run
                assert await rpc.version() == "1"

    check()


@asynchronous
async def test_a_reply_may_arrive_byte_by_byte_and_large() -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        for byte in peer.reply(request, b'"slow"'):
            peer.connection.sendall(bytes([byte]))
        request = peer.receive()
        peer.answer(request, request.payload[request.options[1] :])

    argument = "ü" * 5_000_000
    with Server(part) as server:
        async with AsyncRpc(server.address) as rpc:
            assert await rpc.version() == "slow"
            assert await rpc.call("echo.It", argument) == argument


def test_a_client_may_be_used_on_one_event_loop_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(version, version, path=tmp_path / "rpc.sock") as server:
        monkeypatch.setenv("RR_RPC", server.address)
        monkeypatch.setattr(AsyncRpc, "_shared", None)
        for _ in range(2):
            assert asyncio.run(AsyncRpc.shared().version()) == "1"
        assert AsyncRpc.shared() is AsyncRpc.shared()


@asynchronous
async def test_a_call_without_a_server_fails_and_has_not_run(tmp_path: Path) -> None:
    for address in (f"unix://{tmp_path / 'none.sock'}", "tcp://127.0.0.1:1"):
        rpc = AsyncRpc(address)
        failures = await asyncio.gather(rpc.version(), rpc.version(), return_exceptions=True)
        for error in failures:
            assert isinstance(error, RpcConnectionError) and not error.may_have_run
            assert str(error).startswith(f"cannot connect to {address}: ")
    with pytest.raises(ValueError, match="expected tcp://host:port"):
        await AsyncRpc("http://x").version()


@asynchronous
async def test_streams_are_published_to_listed_and_closed() -> None:
    large = causeway.Publication("x" * 300, tags={"k": "v", "ü": ""})
    listed = b'{"streams":[{"id":"s1","channel":"news","bidirectional":true,"opened":"7","sent":3}],"total":1}'

    def part(peer: Peer) -> None:
        expected = [
            (b'stream.Publish\n\x02s1"\x09"\x07{"a":1}', b""),
            (b'stream.Publish\n\x02s1"\x0e"\x02\xff\x00:\x08\n\x01a\x12\x03b:c', b""),
            (
                b'stream.Publish\n\x02s1"\xc1\x02"\xae\x02"' + b"x" * 300 + b'":\x06\n\x01k\x12\x01v:\x06\n\x02\xc3\xbc\x12\x00',
                b"",
            ),
            (b'stream.Close{"id":"s1","resubscribe":true}', b"{}"),
            (b'stream.List{"channel":"news","user":"","client":"","limit":0}', listed),
        ]
        for payload, result in expected:
            request = peer.receive()
            assert request.payload == payload
            peer.answer(request, result)

    with Server(part) as server:
        async with AsyncRpc(server.address) as rpc:
            await rpc.stream.publish("s1", {"a": 1})
            await rpc.stream.publish("s1", b"\xff\x00", tags={"a": "b:c"})
            await rpc.stream.publish("s1", large)
            await rpc.stream.close("s1", resubscribe=True)
            (found,) = await rpc.stream.list(channel="news")
    assert (found.id, found.channel, found.bidirectional, found.opened, found.sent) == ("s1", "news", True, 7, 3)
    assert (found.user, found.held, found.buffered) == ("", False, 0)
