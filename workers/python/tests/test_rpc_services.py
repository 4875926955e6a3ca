"""The services, beyond the recorded exchanges."""

import os
import threading
from pathlib import Path

import pytest
from rpc_server import Peer, Server

from causeway import FencedLock, Rpc, api, frame

ROOT = Path(__file__).resolve().parents[3]
METHODS = [line.split("\t")[2] for line in (ROOT / "tests/vectors/centrifugo-api-methods.tsv").read_text().splitlines()[1:]]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_centrifugo_can_be_called(method: str) -> None:
    seen = []

    def part(peer: Peer) -> None:
        request = peer.receive()
        seen.append((request.flags, request.payload))
        peer.answer(request, b"" if method == "Batch" else getattr(api, f"{method}Response")(result={}).SerializeToString())

    with Server(part) as server:
        result = Rpc(server.address).centrifugo.call(method, getattr(api, f"{method}Request")())
    assert type(result).__name__ == ("BatchResponse" if method == "Batch" else f"{method}Result")
    assert seen == [(frame.PROTO, f"centrifuge.{method}".encode())]


def test_an_unknown_method_needs_the_type_of_its_response() -> None:
    with Server(lambda peer: peer.answer(peer.receive(), b"\x12\x02\x08\x07")) as server:
        centrifugo = Rpc(server.address).centrifugo
        with pytest.raises(ValueError, match="NewResponse"):
            centrifugo.call("New", api.InfoRequest())
        assert centrifugo.call("New", api.InfoRequest(), api.PublishResponse).offset == 7


def test_a_batch_has_a_reply_per_command_and_info_lists_the_nodes() -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        assert request.payload == b'centrifuge.Batch\n\x12"\x10\n\x05facts\x12\x07{"n":1}\n\x02j\x00'
        replies = [api.Reply(publish=api.PublishResult(offset=4)), api.Reply(error=api.Error(code=102))]
        peer.answer(request, api.BatchResponse(replies=replies).SerializeToString())
        nodes = [api.NodeResult(name="node1")]
        peer.answer(peer.receive(), api.InfoResponse(result=api.InfoResult(nodes=nodes)).SerializeToString())

    with Server(part) as server:
        centrifugo = Rpc(server.address).centrifugo
        publish = api.Command(publish=api.PublishRequest(channel="facts", data=b'{"n":1}'))
        published, failed = centrifugo.batch([publish, api.Command(info=api.InfoRequest())])
        assert published.publish.offset == 4
        assert failed.error.code == 102
        assert centrifugo.info().nodes[0].name == "node1"


def test_a_call_that_waits_for_a_lock_may_take_longer_than_other_calls() -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        assert request.payload == b'lock.Lock{"resource":"r","id":"a","ttl":1500000,"wait":30000000}'
        # Longer than the client's timeout.
        threading.Event().wait(1)
        peer.answer(request, b'{"ok":true}')

    with Server(part) as server:
        assert Rpc(server.address, timeout=0.5).lock.lock("r", id="a", ttl=1.5, wait=30) == "a"


def test_locks_are_named_by_id_and_timed_in_microseconds() -> None:
    def part(peer: Peer) -> None:
        expected = [
            (b'lock.LockRead{"resource":"r","id":"', b"{}"),
            (b'lock.Release{"resource":"r","id":"a"}', b'{"ok":true}'),
            (b'lock.ForceRelease{"resource":"r"}', b'{"ok":false}'),
            (b'lock.Exists{"resource":"r","id":"*"}', b'{"ok":true}'),
            (b'lock.UpdateTTL{"resource":"r","id":"a","ttl":1}', b"{}"),
        ]
        for start, result in expected:
            request = peer.receive()
            assert request.payload.startswith(start)
            peer.answer(request, result)

    with Server(part) as server:
        lock = Rpc(server.address).lock
        assert lock.lock_read("r") is None
        assert lock.release("r", "a")
        assert not lock.force_release("r")
        assert lock.exists("r")
        assert not lock.update_ttl("r", "a", 0.000001)
        with pytest.raises(ValueError, match="seconds"):
            lock.lock("r", ttl=-1)


def test_a_lock_may_have_a_token_and_end_with_the_process() -> None:
    pid = os.getpid()
    expected = [
        (b'lock.LockFenced{"resource":"r","id":"a","ttl":1000000,"pid":%d}' % pid, b'{"ok":true,"token":1790000000000000}'),
        (b'lock.LockFenced{"resource":"r","id":"b"}', b'{"ok":false,"token":0}'),
        (b'lock.LockRead{"resource":"r","id":"c","pid":%d}' % pid, b'{"ok":true}'),
    ]

    def part(peer: Peer) -> None:
        for payload, result in expected:
            request = peer.receive()
            assert request.payload == payload
            peer.answer(request, result)

    with Server(part) as server:
        lock = Rpc(server.address).lock
        assert lock.lock_fenced("r", "a", ttl=1, owner="worker") == FencedLock("a", 1790000000000000)
        assert lock.lock_fenced("r", "b") is None
        assert lock.lock_read("r", "c", owner="worker") == "c"
        with pytest.raises(ValueError, match="worker"):
            lock.lock("r", owner="server")


def test_values_that_json_cannot_represent_are_not_published() -> None:
    # Invalid JSON would cost all JSON clients in the channel their connections.
    centrifugo = Rpc("unix:///nowhere").centrifugo
    for value in (float("nan"), {"price": float("inf")}, [float("-inf")]):
        with pytest.raises(ValueError, match="not JSON compliant"):
            centrifugo.publish("news", value)


def test_unformatted_entries_end_their_line() -> None:
    def part(peer: Peer) -> None:
        attributes = b'[{"key":"a","value":"1"},{"key":"b","value":"2\\n"}]'
        for expected in (
            b'app.Log"one\\n"',
            b'app.Log"two\\n"',
            b'app.LogWithContext{"message":"m","log_attrs":' + attributes + b"}",
        ):
            request = peer.receive()
            assert request.payload == expected
            peer.answer(request, b"{}")

    with Server(part) as server:
        logger = Rpc(server.address).logger
        logger.log("one")
        logger.log("two\n")
        logger.log("m", {"a": 1, "b": 2})


def test_any_value_can_be_logged() -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        assert request.payload.decode() == 'app.Error"\ufffd"'
        peer.answer(request, b"true")
        request = peer.receive()
        attributes = '[{"key":"a","value":"[1,\\"ü\\"]"},{"key":"b","value":"null"},{"key":"c","value":"text"}]'
        assert request.payload.decode() == 'app.DebugWithContext{"message":"m","log_attrs":' + attributes + "}"
        peer.answer(request, b"{}")
        request = peer.receive()
        attributes = '[{"key":"a","value":"[[...]]"},{"key":"b","value":"[\\"text\\"]"}]'
        assert request.payload.decode() == 'app.InfoWithContext{"message":"m","log_attrs":' + attributes + "}"
        peer.answer(request, b"{}")

    circular: list[object] = []
    circular.append(circular)

    class Odd:
        def __str__(self) -> str:
            return "text"

    with Server(part) as server:
        logger = Rpc(server.address).logger
        logger.error("\udcff")
        logger.debug("m", {"a": [1, "ü"], "b": None, "c": Odd()})
        logger.info("m", {"a": circular, "b": [Odd()]})
