"""The RPC client, against a server that does everything that can go wrong."""

import os
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


def test_calls_share_a_connection_and_have_sequences() -> None:
    def part(peer: Peer) -> None:
        for _ in range(3):
            version(peer)

    with Server(part) as server:
        rpc = Rpc(server.address)
        assert [rpc.version() for _ in range(3)] == ["1", "2", "3"]
    assert server.accepted == 1


def test_an_error_of_the_server_leaves_the_connection_usable() -> None:
    def part(peer: Peer) -> None:
        peer.refuse(peer.receive(), "no")
        version(peer)

    with Server(part) as server:
        rpc = Rpc(server.address)
        with pytest.raises(ServerError, match=r"^no$"):
            rpc.version()
        assert rpc.version() == "2"


def test_a_connection_that_the_server_closed_in_between_is_opened_again() -> None:
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


def test_a_call_that_could_not_be_sent_is_made_again_on_a_new_connection() -> None:
    large = "x" * 20_000_000
    begun = threading.Event()

    def part(peer: Peer) -> None:
        version(peer)
        # Some of the next request is read, so that the client is in the middle of writing.
        assert peer.connection.recv(10)
        begun.set()

    with Server(part, version) as server:
        rpc = Rpc(server.address)
        rpc.version()
        assert rpc.call("rpc.Version", large) == "1"
    assert begun.is_set()


def test_a_call_that_a_new_connection_could_not_take_fails_at_once() -> None:
    with Server(lambda peer: peer.connection.recv(10)) as server:
        with pytest.raises(RpcConnectionError, match="could not be sent: ") as raised:
            Rpc(server.address).call("rpc.Version", "x" * 20_000_000)
        assert not raised.value.may_have_run
    assert server.accepted == 1


@pytest.mark.parametrize("cut", [0, 5, 12, 20, -1])
def test_an_answer_that_ends_in_the_middle_is_an_error(cut: int) -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        peer.connection.sendall(peer.reply(request, b'"1"')[:cut])

    with Server(part) as server, pytest.raises(RpcConnectionError) as raised:
        Rpc(server.address).version()
    assert raised.value.may_have_run


def test_an_answer_may_come_in_single_bytes() -> None:
    def part(peer: Peer) -> None:
        for byte in peer.reply(peer.receive(), b'"slow"'):
            peer.connection.sendall(bytes([byte]))

    with Server(part) as server:
        assert Rpc(server.address).version() == "slow"


def test_large_arguments_and_results_pass() -> None:
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
def test_a_broken_answer_is_an_error_and_its_connection_is_not_used_again(text: str) -> None:
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


def test_a_result_in_another_codec_or_that_is_none_is_an_error() -> None:
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


def test_what_nobody_asked_for_costs_the_connection_and_no_answer() -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        peer.connection.sendall(peer.reply(request, b'"1"') * 2)
        assert peer.is_closed()

    with Server(part, part) as server:
        rpc = Rpc(server.address)
        assert rpc.version() == "1"
        assert rpc.version() == "1"
        rpc.close()


def test_a_call_without_an_answer_ends_with_its_timeout() -> None:
    def part(peer: Peer) -> None:
        peer.receive()
        assert peer.is_closed()

    with Server(part, part, version) as server:
        rpc = Rpc(server.address, timeout=PATIENCE)
        with pytest.raises(RpcTimeoutError) as raised:
            rpc.call("rpc.Version", True, timeout=0.2)
        assert raised.value.may_have_run
        assert isinstance(raised.value, TimeoutError)
        with pytest.raises(TimeoutError, match="not answered in time"):
            Rpc(server.address, timeout=0.2).version()
        assert rpc.version() == "1"


def test_a_server_that_reads_nothing_costs_no_more_than_the_timeout() -> None:
    with Server(lambda peer: released.wait(PATIENCE)) as server:
        with pytest.raises(RpcTimeoutError, match="could not be sent in time") as raised:
            Rpc(server.address, timeout=0.5).call("x.Y", "x" * 50_000_000)
        assert not raised.value.may_have_run
        released.set()


released = threading.Event()


def test_raw_bytes_pass_and_the_configuration_comes_so() -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        assert request.flags == frame.RAW
        peer.answer(request, b'{"version":"3"}')

    with Server(part) as server:
        assert Rpc(server.address).config() == {"version": "3"}


def test_after_a_fork_the_child_connects_anew() -> None:
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


def test_a_thread_that_waits_keeps_nobody_waiting() -> None:
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


def test_unix_sockets_serve_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_no_server_is_an_error_and_no_call_has_run(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    for away in (address, f"unix://{tmp_path / 'none.sock'}"):
        with pytest.raises(RpcConnectionError, match=f"cannot connect to {away}") as raised:
            Rpc(away).version()
        assert not raised.value.may_have_run


@pytest.mark.parametrize("address", ["pipes", "http://127.0.0.1:1", "tcp://127.0.0.1", "unix://", "127.0.0.1:6001"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(ValueError, match="expected tcp://host:port or unix://path"):
        Rpc(address).version()
