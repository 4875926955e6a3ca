"""The RPC client, against a server that plays the recorded exchanges and every misfortune."""

import os
import socket
import threading
from pathlib import Path
from typing import Any, Callable

import pytest
from rpc_server import PATIENCE, VECTORS, Peer, Server

from causeway import (
    ApiError,
    Centrifugo,
    GrpcError,
    Informer,
    Lock,
    Logger,
    Metrics,
    PluginStatus,
    Resetter,
    Rpc,
    RpcConnectionError,
    RpcError,
    RpcTimeoutError,
    ServerError,
    Status,
    WorkerState,
    api,
    frame,
)

ROOT = Path(__file__).resolve().parents[3]
STATES = [
    WorkerState(29013, "ready", 0, 1795449638375621835, 14614528, 2.026431866726191, ""),
    WorkerState(29012, "ready", 0, 1795449638375204727, 14831616, 2.0262394058646764, ""),
]
DOWN = 'connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:59649: connect: connection refused"'

# Every recorded exchange: the call that causes it, and what comes of it.
CALLS: dict[str, tuple[Callable[[Rpc], Any], Any]] = {
    "informer.List [JSON]": (lambda rpc: Informer(rpc).list(), ["centrifuge"]),
    "informer.Workers centrifuge [JSON]": (lambda rpc: Informer(rpc).workers(), STATES),
    "informer.Workers unknown plugin [JSON]": (lambda rpc: Informer(rpc).workers("nope"), []),
    "informer.AddWorker [JSON]": (lambda rpc: Informer(rpc).add_worker(), None),
    "informer.RemoveWorker last [JSON]": (lambda rpc: Informer(rpc).remove_worker(), None),
    "informer.AddWorker unknown plugin [JSON]": (
        lambda rpc: Informer(rpc).add_worker("nope"),
        ServerError("plugin nope does not support workers management"),
    ),
    "resetter.List [JSON]": (lambda rpc: Resetter(rpc).list(), ["centrifuge"]),
    "resetter.Reset centrifuge [JSON]": (lambda rpc: Resetter(rpc).reset(), None),
    "resetter.Reset unknown plugin [JSON]": (
        lambda rpc: Resetter(rpc).reset("nope"),
        ServerError("resetter_rpc_reset:\n\tresetter_plugin_reset_by_name: no such plugin: nope"),
    ),
    "rpc.Version [JSON]": (lambda rpc: rpc.version(), "3"),
    "metrics.Declare counter [JSON]": (
        lambda rpc: Metrics(rpc).declare("facts_c", "counter", help="help of facts_c"),
        None,
    ),
    "metrics.Declare counter with labels [JSON]": (
        lambda rpc: Metrics(rpc).declare(
            "facts_cl", "counter", help="help of facts_cl", labels=["a", "b"], namespace="app", subsystem="sub"
        ),
        None,
    ),
    "metrics.Declare histogram [JSON]": (
        lambda rpc: Metrics(rpc).declare("facts_h", "histogram", help="help of facts_h", buckets=[0.1, 0.5, 1]),
        None,
    ),
    "metrics.Declare summary with labels [JSON]": (
        lambda rpc: Metrics(rpc).declare(
            "facts_sl", "summary", help="help of facts_sl", labels=["k"], objectives={0.5: 0.05, 0.9: 0.01}
        ),
        ServerError("json: cannot unmarshal object into Go struct field Collector.Objectives of type float64"),
    ),
    "metrics.Add facts_cl [JSON]": (lambda rpc: Metrics(rpc).add("facts_cl", 2.5, ["x", "y"]), None),
    "metrics.Sub facts_g [JSON]": (lambda rpc: Metrics(rpc).sub("facts_g", 2.5), None),
    "metrics.Set facts_gl [JSON]": (lambda rpc: Metrics(rpc).set("facts_gl", 2.5, ["x"]), None),
    "metrics.Observe facts_h [JSON]": (lambda rpc: Metrics(rpc).observe("facts_h", 2.5), None),
    "metrics.Add unknown name [JSON]": (
        lambda rpc: Metrics(rpc).add("facts_nope", 1),
        ServerError("metrics_plugin_add: undefined collector facts_nope, try first Declare the desired collector"),
    ),
    "metrics.Unregister [JSON]": (lambda rpc: Metrics(rpc).unregister("facts_gl"), None),
    "app.Error [JSON]": (lambda rpc: Logger(rpc).error("hello from app"), None),
    "app.Warning [JSON]": (lambda rpc: Logger(rpc).warning("hello from app"), None),
    "app.Info [JSON]": (lambda rpc: Logger(rpc).info("hello from app"), None),
    "app.Debug [JSON]": (lambda rpc: Logger(rpc).debug("hello from app"), None),
    "app.Log [JSON]": (lambda rpc: Logger(rpc).log("hello from app\n"), None),
    "app.InfoWithContext [JSON]": (lambda rpc: Logger(rpc).info("m", {"a": "b"}), None),
    "lock.Lock [JSON]": (lambda rpc: Lock(rpc).lock("r5", id="a"), "a"),
    "status.Status centrifuge [JSON]": (lambda rpc: Status(rpc).status(), PluginStatus(200, "")),
    "status.Ready centrifuge [JSON]": (lambda rpc: Status(rpc).ready(), PluginStatus(200, "")),
    "centrifuge.Publish while no Centrifugo listens [PROTO]": (
        lambda rpc: Centrifugo(rpc).publish("facts", {"n": 1}),
        GrpcError("Unavailable", DOWN),
    ),
    "centrifuge.Publish [PROTO]": (
        lambda rpc: Centrifugo(rpc).publish("facts", b'{"n":1}'),
        api.PublishResult(offset=1, epoch="czCaNMVq"),
    ),
    "centrifuge.Publish unknown namespace [PROTO]": (
        lambda rpc: Centrifugo(rpc).publish("zz:facts", {}),
        ApiError("unknown channel", 102),
    ),
    "centrifuge.Publish with tags and idempotency key [PROTO]": (
        lambda rpc: Centrifugo(rpc).publish("facts", {"n": 2}, tags={"k": "v"}, idempotency_key="i1"),
        api.PublishResult(offset=2, epoch="czCaNMVq"),
    ),
    "centrifuge.Broadcast [PROTO]": (
        lambda rpc: Centrifugo(rpc).broadcast(["facts", "other"], {"n": 3}),
        api.BroadcastResult(
            responses=[
                api.PublishResponse(result=api.PublishResult(offset=3, epoch="czCaNMVq")),
                api.PublishResponse(result=api.PublishResult(offset=1, epoch="CLZcJmZq")),
            ]
        ),
    ),
    "centrifuge.Presence [PROTO]": (
        lambda rpc: Centrifugo(rpc).presence("facts").presence["5f9b6346-bff5-48a2-ac88-12b06b6c0943"],
        api.ClientInfo(user="42", client="5f9b6346-bff5-48a2-ac88-12b06b6c0943"),
    ),
    "centrifuge.Presence presence off [PROTO]": (
        lambda rpc: Centrifugo(rpc).presence("bare:x"),
        ApiError("not available", 108),
    ),
    "centrifuge.PresenceStats [PROTO]": (
        lambda rpc: Centrifugo(rpc).presence_stats("facts"),
        api.PresenceStatsResult(num_clients=1, num_users=1),
    ),
    "centrifuge.History [PROTO]": (
        lambda rpc: [(p.offset, p.data, dict(p.tags)) for p in Centrifugo(rpc).history("facts", limit=10).publications],
        [(1, b'{"n":1}', {}), (2, b'{"n":2}', {"k": "v"}), (3, b'{"n":3}', {})],
    ),
    "centrifuge.History reverse limit 1 [PROTO]": (
        lambda rpc: [p.offset for p in Centrifugo(rpc).history("facts", limit=1, reverse=True).publications],
        [3],
    ),
    "centrifuge.HistoryRemove [PROTO]": (lambda rpc: Centrifugo(rpc).history_remove("facts"), None),
    "centrifuge.Channels pattern [PROTO]": (
        lambda rpc: {name: info.num_clients for name, info in Centrifugo(rpc).channels("fac*").channels.items()},
        {"facts": 1},
    ),
    "centrifuge.Subscribe [PROTO]": (lambda rpc: Centrifugo(rpc).subscribe("srv", "42"), None),
    "centrifuge.Unsubscribe [PROTO]": (lambda rpc: Centrifugo(rpc).unsubscribe("srv", "42"), None),
    "centrifuge.Refresh [PROTO]": (lambda rpc: Centrifugo(rpc).refresh("42", expire_at=1795453244), None),
    "centrifuge.Disconnect [PROTO]": (lambda rpc: Centrifugo(rpc).disconnect("42"), None),
    "centrifuge.RPC [PROTO]": (
        lambda rpc: Centrifugo(rpc).call("RPC", api.RPCRequest(method="nope", params=b"{}")),
        ApiError("not found", 104),
    ),
    "centrifuge.Connections [PROTO]": (
        lambda rpc: Centrifugo(rpc).call("Connections", api.ConnectionsRequest(user="42")),
        GrpcError("Unimplemented", "method Connections not implemented"),
    ),
    "centrifuge.MapPublish [PROTO]": (
        lambda rpc: Centrifugo(rpc).call("MapPublish", api.MapPublishRequest()),
        ServerError("rpc: can't find method centrifuge.MapPublish"),
    ),
    "unknown service [JSON]": (lambda rpc: rpc.call("nope.Do", "x"), ServerError("rpc: can't find service nope.Do")),
}


@pytest.mark.parametrize("name", VECTORS)
def test_every_recorded_exchange_is_made_as_recorded(name: str) -> None:
    call, expected = CALLS[name]
    with Server(lambda peer: peer.replay(name)) as server:
        rpc = Rpc(server.address)
        if isinstance(expected, RpcError):
            with pytest.raises(type(expected)) as raised:
                call(rpc)
            assert (raised.value.code, raised.value.message) == (expected.code, expected.message)
            assert str(raised.value) == str(expected)
        else:
            assert call(rpc) == expected


def test_the_codes_of_grpc_are_known() -> None:
    assert GrpcError("Unavailable", "x").code == 14
    assert GrpcError("Unauthenticated", "x").code == 16
    assert GrpcError("Code(99)", "x").code == 2


def version(peer: Peer) -> None:
    """Answer one call."""
    request = peer.receive()
    peer.answer(request, f'"{request.options[0]}"'.encode())


METHODS = [line.split("\t")[2] for line in (ROOT / "tests/vectors/centrifugo-api-methods.tsv").read_text().splitlines()[1:]]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_centrifugo_can_be_called(method: str) -> None:
    seen = []

    def part(peer: Peer) -> None:
        request = peer.receive()
        seen.append((request.flags, request.payload))
        peer.answer(request, b"" if method == "Batch" else getattr(api, f"{method}Response")(result={}).SerializeToString())

    with Server(part) as server:
        result = Centrifugo(Rpc(server.address)).call(method, getattr(api, f"{method}Request")())
    assert type(result).__name__ == ("BatchResponse" if method == "Batch" else f"{method}Result")
    assert seen == [(frame.PROTO, f"centrifuge.{method}".encode())]


def test_a_method_that_is_not_known_yet_needs_its_response() -> None:
    with Server(lambda peer: peer.answer(peer.receive(), b"\x12\x02\x08\x07")) as server:
        centrifugo = Centrifugo(Rpc(server.address))
        with pytest.raises(ValueError, match="NewResponse"):
            centrifugo.call("New", api.InfoRequest())
        assert centrifugo.call("New", api.InfoRequest(), api.PublishResponse).offset == 7


def test_a_batch_has_a_reply_for_each_command_and_nodes_tell_of_themselves() -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        assert request.payload == b'centrifuge.Batch\n\x12"\x10\n\x05facts\x12\x07{"n":1}\n\x02j\x00'
        replies = [api.Reply(publish=api.PublishResult(offset=4)), api.Reply(error=api.Error(code=102))]
        peer.answer(request, api.BatchResponse(replies=replies).SerializeToString())
        nodes = [api.NodeResult(name="node1")]
        peer.answer(peer.receive(), api.InfoResponse(result=api.InfoResult(nodes=nodes)).SerializeToString())

    with Server(part) as server:
        centrifugo = Centrifugo(Rpc(server.address))
        publish = api.Command(publish=api.PublishRequest(channel="facts", data=b'{"n":1}'))
        published, failed = centrifugo.batch([publish, api.Command(info=api.InfoRequest())])
        assert published.publish.offset == 4
        assert failed.error.code == 102
        assert centrifugo.info().nodes[0].name == "node1"


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

    with Server(part) as server:
        rpc = Rpc(server.address)
        rpc.version()
        with pytest.raises(RpcConnectionError, match=r"hung up before it answered rpc\.Version") as raised:
            rpc.version()
        assert raised.value.may_have_run
    assert server.accepted == 1


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
    "is broken: a frame with a wrong checksum": broken_checksum,
    "no reply to call 1 of": lambda peer, request: peer.reply(request, b'"1"', sequence=7),
    "no reply to call 1 of rpc": lambda peer, request: frame.encode(frame.JSON, b'rpc.Versiom"1"', request.options),
    "no reply to call 1": lambda peer, request: frame.encode(frame.JSON, b'"1"', [1]),
    "no reply to": lambda peer, request: frame.encode(frame.JSON, b'"1"'),
    "is broken: not a frame": lambda peer, request: b"HTTP/1.1 400 Bad Request\r\n\r\n",
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
        peer.answer(peer.receive(), b"\xff")

    with Server(part) as server:
        rpc = Rpc(server.address)
        with pytest.raises(RpcConnectionError, match="encoded as 0x10"):
            rpc.version()
        with pytest.raises(RpcConnectionError, match="no JSON"):
            rpc.version()
        with pytest.raises(RpcConnectionError, match="no PublishResponse"):
            Centrifugo(rpc).publish("x", 1)


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


def test_a_lock_is_awaited_longer_than_other_calls() -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        assert request.payload == b'lock.Lock{"resource":"r","id":"a","ttl":1500000,"wait":30000000}'
        # Longer than the client's own patience.
        threading.Event().wait(0.5)
        peer.answer(request, b'{"ok":true}')

    with Server(part) as server:
        assert Lock(Rpc(server.address, timeout=0.1)).lock("r", id="a", ttl=1.5, wait=30) == "a"


def test_locks_have_ids_and_are_asked_for_in_microseconds() -> None:
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
        lock = Lock(Rpc(server.address))
        assert lock.lock_read("r") is None
        assert lock.release("r", "a")
        assert not lock.force_release("r")
        assert lock.exists("r")
        assert not lock.update_ttl("r", "a", 0.000001)
        with pytest.raises(ValueError, match="seconds"):
            lock.lock("r", ttl=-1)


def test_whatever_is_logged_can_be_sent() -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        assert request.payload.decode() == 'app.Error"?"'
        peer.answer(request, b"true")
        request = peer.receive()
        attributes = '[{"key":"a","value":"[1, \\"ü\\"]"},{"key":"b","value":"null"},{"key":"c","value":"\\"PosixPath\\""}]'
        assert request.payload.decode() == 'app.DebugWithContext{"message":"m","log_attrs":' + attributes + "}"
        peer.answer(request, b"{}")

    class Odd:
        def __str__(self) -> str:
            return "PosixPath"

    with Server(part) as server:
        logger = Logger(Rpc(server.address))
        logger.error("\udcff")
        logger.debug("m", {"a": [1, "ü"], "b": None, "c": Odd()})


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
        thread = threading.Thread(target=lambda: results.append(Lock(rpc).lock("r", id="a", wait=PATIENCE)))
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


def test_services_share_the_process_own_client(monkeypatch: pytest.MonkeyPatch) -> None:
    def part(peer: Peer) -> None:
        peer.answer(peer.receive(), b"[]")
        peer.answer(peer.receive(), b"null")

    monkeypatch.setattr(Rpc, "_shared", None)
    with Server(part) as server:
        monkeypatch.setenv("RR_RPC", server.address)
        assert Informer().list() == []
        assert Resetter().list() == []
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
