"""The guide and the README: their examples run, and their tables are complete."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from rpc_server import Peer, Server
from supervisor import ROOT, Supervisor

import causeway
from causeway import Event, api, frame, proxy
from causeway.testing import TestClient

GUIDE = (ROOT / "docs/guide/python.md").read_text()
README = (ROOT / "workers/python/README.md").read_text()


@pytest.fixture
def applications(tmp_path: Path) -> Iterator[Any]:
    """Run code as a worker."""
    running = []

    def start(code: str, *, concurrency: int = 0) -> Supervisor:
        if concurrency:
            claims = {"protocol": 2, "concurrency": concurrency, "name": f"causeway-worker {causeway.__version__}"}
            running.append(Supervisor.of_code(code, tmp_path, {"CAUSEWAY_PROTOCOLS": "1,2"}, claims))
        else:
            running.append(Supervisor.of_code(code, tmp_path))
        return running[-1]

    yield start
    for supervisor in running:
        supervisor.close()


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (ROOT / "docs/guide" / name).read_text()


def block(file: str) -> str:
    """Return the example of the guide that names its file."""
    (found,) = [block for block in blocks(GUIDE) if block.startswith(f"# {file}\n")]
    return found


def numbered(worker: Supervisor, number: int, event: Event, message: Any, stream: str = "") -> frame.Frame:
    """Send a request with a number, and return its answer."""
    context = f'{{"stream":["{stream}"],"type":["{event.value}"]}}'.encode()
    worker.send(frame.encode(context + message.SerializeToString(), frame.PROTO, (len(context), number)))
    return worker.receive()


def rows(pattern: str) -> list[list[list[str]]]:
    """Return the code in each cell of the rows that match a pattern."""
    lines = [line for line in GUIDE.splitlines() if re.match(pattern, line)]
    return [[re.findall(r"`([^`]+)`", cell) for cell in line[1:-1].split("|")] for line in lines]


def documented(title: str) -> list[str]:
    """Return the code in the first column of a table."""
    table = re.search(rf"^\| {title} \|.*\n.*\n((?:\|.*\n)+)", GUIDE, re.MULTILINE)
    assert table, title
    return [name for cell in re.findall(r"^\|([^|]+)", table[1], re.MULTILINE) for name in re.findall(r"`([^`]+)`", cell)]


def public(type_: type[Any]) -> list[str]:
    """Return the public properties and methods of a class and its private bases, in order."""
    bases = [base for base in reversed(type_.__mro__) if base is type_ or base.__name__.startswith("_")]
    return [name for base in bases for name in vars(base) if not name.startswith("_")]


def call(worker: Supervisor, method: str, data: bytes) -> bytes:
    answer = worker.ask("rpc", proxy.RPCRequest(method=method, user="42", data=data).SerializeToString())
    assert not answer.flags & frame.ERROR, answer.payload
    return proxy.RPCResponse.FromString(answer.payload).result.data


def test_the_application_of_the_guide_answers(applications: Any) -> None:
    worker = applications(blocks(GUIDE)[0])
    connect = proxy.ConnectResponse.FromString(worker.ask("connect", b"").payload)
    assert (connect.result.user, connect.result.data) == ("42", b'{"hello":"world"}')
    request = proxy.SubscribeRequest(user="42", channel="inbox:42")
    subscribe = proxy.SubscribeResponse.FromString(worker.ask("subscribe", request.SerializeToString()).payload)
    assert subscribe.result.expire_at > time.time()
    request.user = "43"
    subscribe = proxy.SubscribeResponse.FromString(worker.ask("subscribe", request.SerializeToString()).payload)
    assert subscribe.error.code == 403
    assert call(worker, "sum", b"[1,2,3]") == b"6"


@pytest.mark.parametrize("index", [0, 1])
def test_the_applications_of_the_readme_answer_and_publish(
    applications: Any, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        expected = api.PublishRequest(channel="news", data=b'{"from":"42","text":"hello"}')
        assert request.payload == b"centrifuge.Publish" + expected.SerializeToString()
        peer.answer(request, b"")

    with Server(part) as server:
        monkeypatch.setenv("RR_RPC", server.address)
        assert call(applications(blocks(README)[index]), "announce", b'"hello"') == b'"done"'


def test_the_calls_of_the_guide_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def part(peer: Peer) -> None:
        failed = api.PresenceStatsResponse(error=api.Error(code=108, message="not available"))
        for result in (b"", b"", failed.SerializeToString(), b"{}", b'{"ok":true}'):
            request = peer.receive()
            seen.append(request.payload)
            peer.answer(request, result)

    with Server(part) as server:
        monkeypatch.setenv("RR_RPC", server.address)
        names: dict[str, Any] = {}
        (calls,) = [block for block in blocks(GUIDE) if block.startswith("import causeway\n\nrpc = causeway.Rpc()")]
        exec(calls, names)
        names["rpc"].close()
    published = api.PublishRequest(channel="news", data=b'{"text":"hello"}', tags={"kind": "greeting"})
    assert seen[0] == b"centrifuge.Publish" + published.SerializeToString()
    disconnected = api.DisconnectRequest(user="42", disconnect=api.Disconnect(code=4501, reason="bye"))
    assert seen[1] == b"centrifuge.Disconnect" + disconnected.SerializeToString()
    context = b'{"message":"not available","log_attrs":[{"key":"code","value":"108"}]}'
    assert seen[3] == b"app.WarningWithContext" + context
    lock = b'lock.Lock{"resource":"report","id":"%b","ttl":60000000,"wait":500000}'
    assert seen[4] == lock % names["lock_id"].encode()


def test_the_concurrent_application_of_the_guide_answers_and_publishes(
    applications: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        expected = api.PublishRequest(channel="news", data=b'{"from":"42","text":"hello"}')
        assert request.payload == b"centrifuge.Publish" + expected.SerializeToString()
        peer.answer(request, b"")

    with Server(part) as server:
        monkeypatch.setenv("RR_RPC", server.address)
        worker = applications(block("concurrent.py"), concurrency=64)
        connect = proxy.ConnectResponse.FromString(numbered(worker, 1, Event.CONNECT, proxy.ConnectRequest()).payload)
        assert connect.result.user == "42"
        for number, (method, data) in enumerate({"announce": b'"done"', "report": b'"written"'}.items(), 2):
            request = proxy.RPCRequest(method=method, user="42", data=b'"hello"')
            answer = numbered(worker, number, Event.RPC, request)
            assert proxy.RPCResponse.FromString(answer.payload).result.data == data
        worker.close()


def test_an_application_of_the_guide_opens_what_it_needs_before_the_first_request(applications: Any) -> None:
    worker = applications(block("served.py"), concurrency=64)
    connect = proxy.ConnectResponse.FromString(numbered(worker, 1, Event.CONNECT, proxy.ConnectRequest()).payload)
    assert connect.result.data == b'"Ann"'
    _, errors = worker.process.communicate(timeout=60)
    assert (worker.process.returncode, errors) == (0, b"")


def test_the_streams_of_the_guide_are_sent_and_published_to(applications: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        assert request.payload.startswith(b'stream.List{"channel":"news"')
        peer.answer(request, b'{"streams":[{"id":"s1"}],"total":1}')
        request = peer.receive()
        assert request.payload.startswith(b"stream.Publish\n\x02s1") and b'{"from":"42","text":"hello"}' in request.payload
        peer.answer(request, b"")

    with Server(part) as server:
        monkeypatch.setenv("RR_RPC", server.address)
        worker = applications(block("streams.py"), concurrency=64)
        first = numbered(worker, 1, Event.SUBSCRIBE_UNIDIRECTIONAL, proxy.SubscribeRequest())
        messages = [first, *(worker.receive() for _ in range(3))]
        received = [proxy.StreamSubscribeResponse.FromString(message.payload).publication.data for message in messages]
        assert received == [b"", b'{"second":0}', b'{"second":1}', b'{"second":2}']
        assert worker.receive().stream == frame.STREAM | frame.STOP
        joined = numbered(worker, 2, Event.SUBSCRIBE_BIDIRECTIONAL, proxy.SubscribeRequest(user="42"), "s1")
        assert proxy.SubscribeResponse.FromString(joined.payload).HasField("result")
        said = proxy.PublishRequest(channel="news", user="42", data=b'"hello"')
        for number, event, message in ((3, Event.STREAM_PUBLISH, said), (4, Event.STREAM_END, proxy.SubscribeRequest())):
            answer = numbered(worker, number, event, message, "s1")
            assert event.response.FromString(answer.payload).HasField("result")
        worker.close()


def test_the_application_of_the_guide_passes_the_tests_of_the_guide(tmp_path: Path) -> None:
    for name in ("kit.py", "test_kit.py"):
        (tmp_path / name).write_text(block(name))
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'workers/python/src'}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr


def test_the_handlers_for_frameworks_are_those_of_the_examples() -> None:
    examples = ROOT / "workers/python/examples"
    for name, path in (("shop/realtime.py", "django_shop/shop/realtime.py"), ("realtime.py", "fastapi_shop/realtime.py")):
        assert f"# {name}\n{(examples / path).read_text()}" in blocks(page("python-frameworks.md"))


def test_the_settings_for_django_are_those_of_the_example() -> None:
    (settings,) = [block for block in blocks(page("python-frameworks.md")) if block.startswith("# settings.py\n")]
    documented: dict[str, Any] = {}
    exec(settings, documented)
    example = (ROOT / "workers/python/examples/django_shop/project/settings.py").read_text()
    for name in [*documented["INSTALLED_APPS"][1:], documented["CAUSEWAY_APP"]]:
        assert f'"{name}"' in example


def test_the_token_of_the_guide_goes_with_the_write() -> None:
    def part(peer: Peer) -> None:
        request = peer.receive()
        assert request.payload.startswith(b'lock.LockFenced{"resource":"report",') and request.payload.endswith(
            b'"ttl":60000000,"wait":5000000}'
        )
        peer.answer(request, b'{"ok":true,"token":1790000000000000}')

    class Database:
        def execute(self, statement: str, values: tuple[Any, ...]) -> int:
            assert statement.count("%s") == len(values)
            return int(values[1]) if values[1] == values[2] else 0

    with Server(part) as server:
        names: dict[str, Any] = {"rpc": causeway.Rpc(server.address), "database": Database(), "text": "done"}
        (write,) = blocks(page("locks.md"))
        exec(write, names)
        names["rpc"].close()
    assert names["done"] == 1790000000000000


def test_every_example_of_the_guides_is_run_by_a_test() -> None:
    """One that is new needs a test, and a place here."""
    known = {
        "guide/json.md": ["# app.py"],  # tests/it/json.rs
        "guide/locks.md": ['lock = rpc.lock.lock_fenced("report", ttl=60, wait=5)'],
        "guide/python-frameworks.md": ["# settings.py", "# shop/realtime.py", "# realtime.py"],
        "guide/python.md": [
            *("# app.py", "# kit.py", "# test_kit.py", "# concurrent.py", "# served.py", "# streams.py"),
            "import causeway",
        ],
    }
    docs = ROOT / "docs"
    found = {str(path.relative_to(docs)): blocks(path.read_text()) for path in docs.rglob("*.md")}
    assert {name: [block.partition("\n")[0] for block in of_page] for name, of_page in found.items() if of_page} == known
    assert len(blocks(README)) == 2


def test_every_promise_names_tests_that_exist() -> None:
    promises = (ROOT / "tests/PROMISES.md").read_text().partition("## The packages for PHP and Python")[2]
    for pattern, language, definition in (
        ("test_[a-z0-9_]+", "python", "def {}("),
        ("test[A-Z][A-Za-z0-9]+", "php", "function {}("),
    ):
        tests = "".join(path.read_text() for path in (ROOT / "workers" / language / "tests").glob("*.p*"))
        names = re.findall(f"`({pattern})`", promises)
        assert len(names) > 20
        assert [name for name in names if definition.format(name) not in tests] == []


def test_every_argument_of_the_test_client_is_in_the_table() -> None:
    (arguments,) = re.findall(r"^\| `TestClient\(([^)]*)\)`", GUIDE, re.MULTILINE)
    assert arguments.split(", ") == list(inspect.signature(TestClient).parameters)


def test_every_event_is_in_the_table_with_its_fields() -> None:
    table = rows(r"\| .* \| `on_")
    assert len(table) == len(Event)
    for event, (_, handler, request, result) in zip(Event, table):
        assert handler == [f"on_{event.name.lower()}"]
        assert hasattr(causeway.App, handler[0])
        assert public(event.request) == request
        assert [field.name for field in fields(event.result)] == result  # type: ignore[arg-type]
    requests = [name.split("(")[0] for name in documented("Field of requests")]
    assert sorted(requests) == sorted([*public(causeway.Request), "message"])
    assert sorted(documented("Field of results")) == sorted({name for row in table for name in row[3]})


def test_every_service_is_in_the_table_with_its_methods() -> None:
    table = rows(r"\| `(centrifugo|informer|resetter|metrics|logger|lock|status|stream)` \| `")
    assert len(table) == 8
    for (service,), methods in table:
        names = [name.split("(")[0] for name in methods if re.match(r"\w+(\(|$)", name)]
        found = inspect.getmembers(getattr(causeway.Rpc(), service), inspect.ismethod)
        assert sorted(names) == sorted(name for name, _ in found if not name.startswith("_"))
