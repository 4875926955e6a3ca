"""The RPC client against a misbehaving server."""

import os
import signal
import socket
import threading
from pathlib import Path
from typing import Callable

import pytest
from rpc_server import PATIENCE, Peer, Server

from causeway import (
    Rpc,
    RpcConnectionError,
    RpcTimeoutError,
    ServerError,
    frame,
)

ROOT = Path(__file__).resolve().parents[3]


def version(peer: Peer) -> None:
    """Answer one call."""
    request = peer.receive()
    peer.answer(request, f'"{request.options[0]}"'.encode())


def test_calls_share_a_connection_and_number_their_requests() -> None:
    def part(peer: Peer) -> None:
        for _ in range(3):
            version(peer)

    with Server(part) as server:
        rpc = Rpc(server.address)
        assert [rpc.version() for _ in range(3)] == ["1", "2", "3"]
    assert server.accepted == 1


def test_an_error_of_the_server_keeps_the_connection() -> None:
    def part(peer: Peer) -> None:
        peer.refuse(peer.receive(), "no")
        version(peer)

    with Server(part) as server:
        rpc = Rpc(server.address)
        with pytest.raises(ServerError, match=r"^no$"):
            rpc.version()
        assert rpc.version() == "2"


def test_a_call_reconnects_after_the_server_closed_the_connection() -> None:
    with Server(version, version) as server:
        rpc = Rpc(server.address)
        assert rpc.version() == "1"
        server.wait(0)
        assert rpc.version() == "1"


def test_a_call_that_may_have_run_is_not_repeated() -> None:
    def part(peer: Peer) -> None:
        version(peer)
        peer.receive()

    with Server(part, version) as server:
        rpc = Rpc(server.address)
        rpc.version()
        with pytest.raises(RpcConnectionError, match=r"closed the connection before it answered rpc\.Version") as raised:
            rpc.version()
        assert raised.value.may_have_run
        assert rpc.version() == "1"


def test_a_call_that_could_not_be_sent_is_retried_on_a_new_connection() -> None:
    large = "x" * 20_000_000
    begun = threading.Event()

    def part(peer: Peer) -> None:
        version(peer)
        # Reads the start of the next request, so that the client is in the middle of writing.
        assert peer.connection.recv(10)
        begun.set()

    with Server(part, version) as server:
        rpc = Rpc(server.address)
        rpc.version()
        assert rpc.call("rpc.Version", large) == "1"
    assert begun.is_set()


def test_a_call_that_cannot_be_sent_on_a_new_connection_fails_at_once() -> None:
    with Server(lambda peer: peer.connection.recv(10)) as server:
        with pytest.raises(RpcConnectionError, match="could not be sent: ") as raised:
            Rpc(server.address).call("rpc.Version", "x" * 20_000_000)
        assert not raised.value.may_have_run
    assert server.accepted == 1


@pytest.mark.parametrize("cut", [0, 5, 12, 20, -1])
def test_a_truncated_reply_is_an_error(cut: int) -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        peer.connection.sendall(peer.reply(request, b'"1"')[:cut])

    with Server(part) as server, pytest.raises(RpcConnectionError) as raised:
        Rpc(server.address).version()
    assert raised.value.may_have_run


def test_a_reply_may_arrive_byte_by_byte() -> None:
    def part(peer: Peer) -> None:
        for byte in peer.reply(peer.receive(), b'"slow"'):
            peer.connection.sendall(bytes([byte]))

    with Server(part) as server:
        assert Rpc(server.address).version() == "slow"


def test_large_arguments_and_results_arrive() -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        peer.answer(request, request.payload[request.options[1] :])

    argument = "ü" * 5_000_000
    with Server(part) as server:
        assert Rpc(server.address).call("echo.It", argument) == argument


def broken_checksum(peer: Peer, request: frame.Frame) -> bytes:
    reply = bytearray(peer.reply(request, b'"1"'))
    reply[7] ^= 1
    return bytes(reply)


BROKEN: dict[str, Callable[[Peer, frame.Frame], bytes]] = {
    "invalid reply to rpc.Version: wrong checksum": broken_checksum,
    "other than the reply to call 1 of": lambda peer, request: peer.reply(request, b'"1"', sequence=7),
    "than the reply to call 1 of rpc": lambda peer, request: frame.encode(b'rpc.Versiom"1"', frame.JSON, request.options),
    "than the reply to call 1": lambda peer, request: frame.encode(b'"1"', frame.JSON, [1]),
    "other than the reply": lambda peer, request: frame.encode(b'"1"', frame.JSON),
    "invalid reply to rpc.Version: not a frame": lambda peer, request: b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("text", BROKEN)
def test_an_invalid_reply_is_an_error_and_closes_the_connection(text: str) -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        peer.connection.sendall(BROKEN[text](peer, request))
        assert peer.is_closed()

    with Server(part, version) as server:
        rpc = Rpc(server.address)
        with pytest.raises(RpcConnectionError, match=text) as raised:
            rpc.version()
        assert raised.value.may_have_run
        assert rpc.version() == "1"


def test_a_result_in_another_codec_or_that_cannot_be_decoded_is_an_error() -> None:
    def part(peer: Peer) -> None:
        peer.answer(peer.receive(), b"\xa11", flags=frame.MSGPACK)
        peer.answer(peer.receive(), b"{")
        peer.answer(peer.receive(), b"[" * 1_000_000)
        peer.answer(peer.receive(), b"\xff")

    with Server(part) as server:
        rpc = Rpc(server.address)
        with pytest.raises(RpcConnectionError, match="encoded as 0x10"):
            rpc.version()
        with pytest.raises(RpcConnectionError, match="not JSON"):
            rpc.version()
        with pytest.raises(RpcConnectionError, match="not JSON"):
            rpc.version()
        with pytest.raises(RpcConnectionError, match="not a PublishResponse"):
            rpc.centrifugo.publish("x", 1)


def test_unexpected_bytes_close_the_connection_and_fail_no_call() -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        peer.connection.sendall(peer.reply(request, b'"1"') * 2)
        assert peer.is_closed()

    with Server(part, part) as server:
        rpc = Rpc(server.address)
        assert rpc.version() == "1"
        assert rpc.version() == "1"
        rpc.close()


def test_a_call_without_a_reply_times_out() -> None:
    def part(peer: Peer) -> None:
        peer.receive()
        assert peer.is_closed()

    with Server(part, part, version) as server:
        rpc = Rpc(server.address, timeout=PATIENCE)
        with pytest.raises(RpcTimeoutError) as raised:
            rpc.call("rpc.Version", True, timeout=1)
        assert raised.value.may_have_run
        assert isinstance(raised.value, TimeoutError)
        with pytest.raises(TimeoutError, match="not answered in time"):
            Rpc(server.address, timeout=1).version()
        assert rpc.version() == "1"


def test_a_call_times_out_while_the_server_reads_nothing() -> None:
    released = threading.Event()
    with Server(lambda peer: released.wait(PATIENCE)) as server:
        with pytest.raises(RpcTimeoutError, match="could not be sent in time") as raised:
            Rpc(server.address, timeout=0.5).call("x.Y", "x" * 50_000_000)
        assert not raised.value.may_have_run
        released.set()


class Interrupted(BaseException):
    """What a signal handler may raise in the middle of a call."""


def test_an_interrupted_call_closes_its_connection() -> None:
    def part(peer: Peer) -> None:
        peer.receive()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        assert peer.is_closed()

    def interrupt(*_: object) -> None:
        raise Interrupted

    previous = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with Server(part, version) as server:
            rpc = Rpc(server.address)
            # The traceback keeps the connection alive: nothing but the client closes it.
            with pytest.raises(Interrupted) as raised:
                rpc.version()
            assert rpc.version() == "1"
            server.wait(0)
        assert raised.tb
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_the_configuration_is_fetched_as_raw_bytes() -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        assert request.flags == frame.RAW
        peer.answer(request, b'{"version":"3"}')

    with Server(part) as server:
        assert Rpc(server.address).config() == {"version": "3"}


def test_after_a_fork_the_child_opens_its_own_connection() -> None:
    def parent(peer: Peer) -> None:
        version(peer)
        version(peer)
        assert peer.is_closed()

    with Server(parent, version) as server:
        rpc = Rpc(server.address)
        assert rpc.version() == "1"
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = 0 if rpc.version() == "1" else 2
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        assert rpc.version() == "2"
        rpc.close()


def test_a_thread_that_waits_does_not_block_other_threads() -> None:
    called, answered = threading.Event(), threading.Event()

    def slow(peer: Peer) -> None:
        request = peer.receive()
        called.set()
        assert answered.wait(PATIENCE)
        peer.answer(request, b'{"ok":true}')

    with Server(slow, version) as server:
        rpc = Rpc(server.address)
        results = []
        thread = threading.Thread(target=lambda: results.append(rpc.lock.lock("r", id="a", wait=PATIENCE)))
        thread.start()
        assert called.wait(PATIENCE)
        assert rpc.version() == "1"
        answered.set()
        thread.join()
    assert results == ["a"]


def test_unix_sockets_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(version, version, version, path=tmp_path / "rpc.sock") as server:
        assert Rpc(server.address).version() == "1"
        monkeypatch.chdir(tmp_path)
        assert Rpc("unix://rpc.sock").version() == "1"
        monkeypatch.setenv("RR_RPC", "unix://rpc.sock")
        assert Rpc().version() == "1"


def test_the_shared_client_is_one_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rpc, "_shared", None)
    with Server(version) as server:
        monkeypatch.setenv("RR_RPC", server.address)
        assert Rpc.shared().version() == "1"
        assert Rpc.shared() is Rpc.shared()
        Rpc.shared().close()


def test_a_call_without_a_server_fails_and_has_not_run(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    for away in (address, f"unix://{tmp_path / 'none.sock'}"):
        with pytest.raises(RpcConnectionError, match=f"cannot connect to {away}") as raised:
            Rpc(away).version()
        assert not raised.value.may_have_run


@pytest.mark.parametrize("address", ["pipes", "http://127.0.0.1:1", "tcp://127.0.0.1", "unix://", "127.0.0.1:6001"])
def test_an_invalid_address_is_named(address: str) -> None:
    with pytest.raises(ValueError, match="expected tcp://host:port or unix://path"):
        Rpc(address).version()
