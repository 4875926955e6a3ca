"""The worker's loop, over recorded bytes and in a real process."""

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervisor import FENCE, ROOT, Supervisor

import causeway
from causeway import frame
from causeway._proto import proxy_pb2 as pb

EXAMPLE = ROOT / "workers/python/examples/app.py"
STOP = frame.encode(b'{"stop":true}', frame.CONTROL | frame.JSON)
VECTORS = json.loads((ROOT / "tests/vectors/goridge-frames.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_every_recorded_frame_is_encoded_and_decoded(vector: dict) -> None:  # type: ignore[type-arg]
    payload, data = bytes.fromhex(vector["payload_hex"]), bytes.fromhex(vector["frame_hex"])
    assert frame.encode(payload, vector["flags"], vector["options"], vector["byte10"]) == data
    found = frame.decode(bytearray(data))
    assert found is not None
    assert found == ((payload, vector["flags"], tuple(vector["options"]), vector["byte10"]), len(data))
    assert all(frame.decode(bytearray(data[:cut])) is None for cut in range(len(data)))


def test_a_wrong_checksum_is_an_error() -> None:
    data = bytearray(FENCE)
    data[7] ^= 1
    with pytest.raises(frame.FrameError):
        frame.decode(data)


def test_a_frame_has_at_most_ten_options() -> None:
    assert len(frame.encode(b"", options=range(10))) == 52
    with pytest.raises(ValueError, match="at most ten options"):
        frame.encode(b"", options=range(11))


class Recorded(causeway.Relay):
    """A relay that reads these chunks and records writes."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.written: list[bytes] = []

    def read(self) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    def write(self, data: bytes) -> None:
        self.written.append(data)


ECHO = frame.encode(b'{"pid":%d}' % os.getpid(), frame.CONTROL)


def request(context: bytes, body: bytes) -> bytes:
    return frame.encode(context + body, frame.PROTO, (len(context),))


def play(*chunks: bytes) -> list[bytes]:
    """Return the writes of a worker that answers with context and body."""
    relay = Recorded(*chunks)
    causeway.Worker(relay).run(lambda payload: b"%b|%b" % payload)
    return relay.written


def test_an_answer_and_its_echo_are_one_write() -> None:
    answer = frame.encode(b"{}|x", options=(0,))
    assert play(request(b"{}", b"x") + FENCE, request(b"{}", b"x") + FENCE) == [answer + ECHO] * 2


def test_an_answer_does_not_wait_for_other_requests() -> None:
    one, two, three = (frame.encode(b"{}|%d" % number, options=(0,)) for number in (1, 2, 3))
    received = request(b"{}", b"1") + FENCE + request(b"{}", b"2") + request(b"{}", b"3") + FENCE
    assert play(received) == [one + ECHO, two, three + ECHO]


def test_the_first_echo_carries_the_secret_of_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAUSEWAY_RELAY_SECRET", "s3cret")
    greeting = frame.encode(b'{"pid":%d,"secret":"s3cret"}' % os.getpid(), frame.CONTROL)
    other = frame.encode(b'{"pid":2}', frame.CONTROL)
    assert play(FENCE, request(b"{}", b"x") + FENCE, other) == [greeting, frame.encode(b"{}|x", options=(0,)) + ECHO, ECHO]


def test_an_answer_does_not_wait_for_the_fence_behind_the_request() -> None:
    assert play(request(b"{}", b"x"), FENCE) == [frame.encode(b"{}|x", options=(0,)), ECHO]


def test_frames_are_found_wherever_their_bytes_are_split() -> None:
    stream = FENCE + request(b"{}", b"first") + FENCE + request(b"{}", b"second") + FENCE
    whole = b"".join(play(stream))
    assert b"".join(play(*(bytes([byte]) for byte in stream))) == whole
    assert all(b"".join(play(stream[:cut], stream[cut:])) == whole for cut in range(1, len(stream)))


def test_every_fence_is_echoed_whatever_its_bytes() -> None:
    other = frame.encode(b'{"pid":2}', frame.CONTROL | frame.JSON)
    assert play(FENCE + FENCE, other, FENCE, other + STOP + FENCE) == [ECHO * 2, ECHO, ECHO, ECHO]


def test_a_context_ends_with_its_frame_whatever_length_it_claims() -> None:
    assert play(frame.encode(b"{}", frame.PROTO, (9,)) + FENCE) == [frame.encode(b"{}|", options=(0,)) + ECHO]


def test_a_broken_frame_does_not_lose_earlier_answers() -> None:
    relay = Recorded(request(b"{}", b"x") + FENCE + b"?" * 12)
    with pytest.raises(frame.FrameError):
        causeway.Worker(relay).run(lambda payload: payload.body)
    assert relay.written == [frame.encode(b"x", options=(0,)) + ECHO]


def test_a_server_that_closes_the_relay_ends_the_loop() -> None:
    class Closed(Recorded):
        def write(self, data: bytes) -> None:
            raise BrokenPipeError

    causeway.Worker(Closed(request(b"{}", b"x") + FENCE)).run(lambda payload: payload.body)


def test_any_exception_is_an_answer(capfd: pytest.CaptureFixture[str]) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    errors = [
        ValueError("\udcff"),
        causeway.WorkerError("\udcff"),
        ConnectionError("away"),
        MuteError(),
        asyncio.CancelledError("no subclass of Exception"),
    ]

    def fail(payload: causeway.Payload) -> bytes:
        raise errors.pop(0)

    relay = Recorded(request(b"{}", b"x") * 5)
    causeway.Worker(relay).run(fail)
    answers = (
        b"ValueError: ?",
        b"?",
        b"ConnectionError: away",
        b"MuteError: its text could not be produced",
        b"CancelledError: no subclass of Exception",
    )
    assert relay.written == [frame.encode(text, frame.ERROR) for text in answers]
    assert capfd.readouterr().err.count("Traceback") == 4


def test_a_relay_waits_for_the_next_request_for_longer_than_it_may_take_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("causeway.relay._PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = causeway.Relay.open(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        connection, _ = listener.accept()
        with connection:
            late = threading.Timer(0.5, connection.sendall, [b"late"])
            late.start()
            assert relay.read() == b"late"
            late.join()


def test_an_answer_is_written_even_if_the_relay_takes_a_few_bytes_at_a_time(tmp_path: Path) -> None:
    slow = "write = os.write\nos.write = lambda file, data: write(file, data[:7])\n"
    running = script(tmp_path, slow + "app.on_rpc('*')(lambda r: causeway.RpcResult(r.data))")
    assert pb.RPCResponse.FromString(running.ask("rpc", rpc("x", "a" * 100)).payload).result.data == b'"%b"' % (b"a" * 100)
    running.close()


@pytest.fixture(params=["pipes", "tcp", "unix"])
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Supervisor]:
    running = Supervisor([sys.executable, str(EXAMPLE)], request.param, tmp_path)
    yield running
    running.close()


def script(tmp_path: Path, text: str) -> Supervisor:
    """Run an application of a few lines."""
    return Supervisor.of_code("import os, sys, causeway\napp = causeway.App()\n" + text + "\napp.run()\n", tmp_path)


def rpc(method: str, data: object = None) -> bytes:
    message = pb.RPCRequest(method=method, user="42", data=json.dumps(data).encode())
    return message.SerializeToString()


def test_the_example_answers_every_event(supervisor: Supervisor) -> None:
    connect = pb.ConnectResponse.FromString(
        supervisor.ask("connect", pb.ConnectRequest(data=b'{"user":"ann"}').SerializeToString()).payload
    )
    assert (connect.result.user, connect.result.data) == ("ann", b'{"hello":"ann"}')
    assert list(connect.result.channels) == ["news"]
    denied = supervisor.ask("connect", pb.ConnectRequest(b64data="eyJkZW55Ijp0cnVlfQ==").SerializeToString())
    assert pb.ConnectResponse.FromString(denied.payload).disconnect.code == 4001
    private = supervisor.ask("subscribe", pb.SubscribeRequest(channel="private:1").SerializeToString())
    assert pb.SubscribeResponse.FromString(private.payload).error.code == 403
    open_ = supervisor.ask("subscribe", pb.SubscribeRequest(channel="open").SerializeToString())
    assert pb.SubscribeResponse.FromString(open_.payload).HasField("result")
    publish = supervisor.ask("publish", pb.PublishRequest(channel="x", data=b"[1]").SerializeToString())
    assert pb.PublishResponse.FromString(publish.payload).result.data == b"[1]"
    for kind, response in (("refresh", pb.RefreshResponse), ("subrefresh", pb.SubRefreshResponse)):
        assert response.FromString(supervisor.ask(kind, b"").payload).result.expire_at > 1_700_000_000
    answers = {
        "sum": pb.RPCResponse(result=pb.RPCResult(data=b'{"sum":3}')),
        "whoami": pb.RPCResponse(result=pb.RPCResult(data=b'{"user":"42"}')),
        "fail": pb.RPCResponse(error=pb.Error(code=1000, message="as you wished")),
        "kick": pb.RPCResponse(disconnect=pb.Disconnect(code=4000, reason="bye")),
        "nope": pb.RPCResponse(error=pb.Error(code=404, message="no such method")),
    }
    for method, expected in answers.items():
        answer = supervisor.ask("rpc", rpc(method, {"a": 1, "b": 2}))
        assert pb.RPCResponse.FromString(answer.payload) == expected
    for data in (b'{"user":null}', b'{"user":42}', b"[1]", b'"x"', b"null", b""):
        answer = supervisor.ask("connect", pb.ConnectRequest(data=data).SerializeToString())
        assert pb.ConnectResponse.FromString(answer.payload).result.user == "guest"
    for numbers in ({}, [1, 2], {"a": 1}, {"a": True, "b": "2"}, None):
        answer = supervisor.ask("rpc", rpc("sum", numbers))
        assert pb.RPCResponse.FromString(answer.payload).error.message == "a and b must be numbers"
    unhandled = supervisor.ask("mappublish", b"")
    assert pb.MapPublishResponse.FromString(unhandled.payload).error.code == 108
    assert supervisor.ask("nonsense", b"").flags & frame.ERROR


def test_a_stop_ends_the_process(supervisor: Supervisor) -> None:
    supervisor.send(STOP)
    assert supervisor.process.wait(60) == 0


def test_output_of_handlers_goes_to_standard_error_and_the_worker_exits_when_its_input_ends(tmp_path: Path) -> None:
    running = script(tmp_path, "@app.on_rpc('*')\ndef f(r):\n    print('x'); os.write(1, b'raw\\n'); os.system('echo sh')")
    assert running.ask("rpc", rpc("f")).flags == 0
    _, errors = running.process.communicate(timeout=60)
    assert running.process.returncode == 0
    assert sorted(errors.split()) == [b"raw", b"sh", b"x"]


def test_an_exception_fails_only_its_own_request(tmp_path: Path) -> None:
    running = script(tmp_path, "@app.on_rpc('bad')\ndef f(r):\n    1 / 0\n@app.on_rpc('*')\nasync def g(r):\n    return None")
    failed = running.ask("rpc", rpc("bad"))
    assert failed.flags & frame.ERROR and failed.payload == b"ZeroDivisionError: division by zero"
    assert running.ask("rpc", rpc("good")).flags == 0
    running.close()


def test_a_wrong_answer_is_logged_in_one_line_and_the_worker_goes_on(tmp_path: Path) -> None:
    running = script(tmp_path, "@app.on_rpc('bad')\ndef f(r):\n    return 'text'\n@app.on_rpc('*')\ndef g(r):\n    pass")
    failed = running.ask("rpc", rpc("bad"))
    message = f"{tmp_path / 'app.py'}:3: the handler of rpc returned str, expected RpcResult, Error, Disconnect or None"
    assert (failed.flags, failed.payload.decode()) == (frame.ERROR, message)
    assert running.ask("rpc", rpc("good")).flags == 0
    _, errors = running.process.communicate(timeout=60)
    assert errors.decode() == message + "\n"


def test_a_missing_handler_is_logged_once(tmp_path: Path) -> None:
    running = script(tmp_path, "")
    for method in ("one\n", "two"):
        error = pb.RPCResponse.FromString(running.ask("rpc", rpc(method)).payload).error
        assert (error.code, error.message) == (108, "not available")
    assert pb.NotifyCacheEmptyResponse.FromString(running.ask("notifycacheempty", b"").payload).HasField("result")
    _, errors = running.process.communicate(timeout=60)
    lines = ['no handler for rpc method "one\\n" (logged once)', "no handler for notifycacheempty (logged once)"]
    assert errors.decode().splitlines() == lines


def test_a_worker_can_ask_to_be_replaced(tmp_path: Path) -> None:
    running = script(tmp_path, "@app.on_rpc('*')\ndef f(r):\n    raise causeway.Stop")
    context = b'{"type":["rpc"]}'
    running.send(frame.encode(context + rpc("x"), frame.PROTO, (len(context),)) + FENCE)
    answer = running.receive()
    assert (answer.options, answer.payload) == ((13,), b'{"stop":true}')
    assert running.process.wait(60) == 0
    running.close()


def test_large_requests_and_answers_arrive(supervisor: Supervisor) -> None:
    data = "x" * 3_000_000
    answer = pb.RPCResponse.FromString(supervisor.ask("rpc", rpc("echo", data)).payload)
    assert json.loads(answer.result.data) == data
