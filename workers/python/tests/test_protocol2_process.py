"""Many requests at a time, in a real process."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
from supervisor import ROOT, Supervisor

import causeway
from causeway import Event, frame, proxy

STOP = frame.encode(b'{"stop":true}', frame.CONTROL | frame.JSON)
START = "import asyncio, os, sys, threading, time, causeway\napp = causeway.App()\n"
ENVIRONMENT = {"CAUSEWAY_PROTOCOLS": "1,2", "CAUSEWAY_CODECS": "proto,json"}
CLAIMS = {"protocol": 2, "concurrency": 8, "name": f"causeway-worker {causeway.__version__}"}
Run = Callable[[str], Supervisor]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Run an application of a few lines with a concurrency of 8."""
    running: list[Supervisor] = []

    def start(text: str) -> Supervisor:
        code = START + text + "\napp.run(concurrency=8)\n"
        running.append(Supervisor.of_code(code, tmp_path, ENVIRONMENT, CLAIMS))
        return running[-1]

    yield start
    for supervisor in running:
        supervisor.close()


def call(worker: Supervisor, number: int, method: str = "x", data: Optional[bytes] = None) -> None:
    context = b'{"a":["b"],"type":["rpc"]}'
    body = proxy.RPCRequest(method=method, data=data).SerializeToString()
    worker.send(frame.encode(context + body, frame.PROTO, (len(context), number)))


def result(worker: Supervisor, number: int) -> Any:
    received = worker.receive()
    assert (received.flags, received.options) == (0, (0, number)), received
    return json.loads(proxy.RPCResponse.FromString(received.payload).result.data or b"null")


@pytest.mark.parametrize("relay", ["pipes", "tcp", "unix"])
def test_the_example_serves_every_relay(relay: str, tmp_path: Path) -> None:
    example = [sys.executable, str(ROOT / "workers/python/examples/async_app.py")]
    worker = Supervisor(example, relay, tmp_path, ENVIRONMENT, {**CLAIMS, "concurrency": 64})
    try:
        large = json.dumps("x" * 3_000_000).encode()
        for number, data in enumerate((b'"hello"', large), 1):
            call(worker, number, "echo", data)
            assert result(worker, number) == json.loads(data)
        worker.send(STOP)
        assert worker.process.wait(60) == 0
    finally:
        worker.close()


def test_output_goes_to_standard_error(run: Run) -> None:
    worker = run("@app.on_rpc('*')\nasync def f(r):\n    print('x'); os.write(1, b'raw\\n'); os.system('echo sh')")
    call(worker, 1)
    assert result(worker, 1) is None
    worker.send(STOP)
    _, errors = worker.process.communicate(timeout=60)
    assert (worker.process.returncode, sorted(errors.split())) == (0, [b"raw", b"sh", b"x"])


def test_the_end_of_the_input_cancels_handlers_and_ends_the_process(run: Run) -> None:
    code = """
@app.on_rpc('*')
async def f(r):
    try:
        print('begun', flush=True)
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        print('finally')
"""
    worker = run(code)
    call(worker, 1)
    assert worker.process.stderr and worker.process.stderr.readline() == b"begun\n"
    _, errors = worker.process.communicate(timeout=60)
    assert (worker.process.returncode, errors) == (0, b"finally\n")


def test_handlers_and_tasks_that_never_end_do_not_keep_the_process(run: Run) -> None:
    code = """
from causeway.protocol2 import ending
ending.PATIENCE = 0.1
async def forever():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
@app.on_rpc('task')
async def f(r):
    app.task = asyncio.ensure_future(forever())
    app.other = asyncio.ensure_future(asyncio.Event().wait())
@app.on_rpc('thread')
def g(r):
    print('begun', flush=True)
    threading.Event().wait()
"""
    worker = run(code)
    call(worker, 1, "task")
    assert result(worker, 1) is None
    call(worker, 2, "thread")
    assert worker.process.stderr and worker.process.stderr.readline() == b"begun\n"
    _, errors = worker.process.communicate(timeout=60)
    assert worker.process.returncode == 0
    assert errors.startswith(b"a task did not end after it was cancelled: <Task") and errors.count(b"forever") >= 1


def test_a_server_that_reads_no_more_ends_the_process(run: Run) -> None:
    worker = run("@app.on_rpc('*')\nasync def f(r):\n    return None")
    assert worker.process.stdout and worker.process.stdin
    worker.process.stdout.close()
    call(worker, 1)
    assert worker.process.wait(60) == 0
    worker.process.stdin.close()
    worker.process.stdout = worker.process.stdin = None


def test_a_signal_ends_the_process_in_the_middle_of_requests(run: Run) -> None:
    worker = run("@app.on_rpc('*')\nasync def f(r):\n    print('begun', flush=True); await asyncio.Event().wait()")
    call(worker, 1)
    assert worker.process.stderr and worker.process.stderr.readline() == b"begun\n"
    worker.process.terminate()
    assert worker.process.wait(60) == -signal.SIGTERM


def test_an_interrupt_cancels_handlers_and_ends_the_process(run: Run) -> None:
    code = """
@app.on_rpc('*')
async def f(r):
    try:
        print('begun', flush=True)
        await asyncio.Event().wait()
    finally:
        print('finally')
"""
    worker = run(code)
    call(worker, 1)
    assert worker.process.stderr and worker.process.stderr.readline() == b"begun\n"
    worker.process.send_signal(signal.SIGINT)
    assert worker.process.wait(60) == 0
    assert worker.process.stderr.readline() == b"finally\n"


@pytest.mark.parametrize("kind", ["async def", "def"])
def test_a_handler_can_exit_the_process(run: Run, kind: str) -> None:
    worker = run(f"@app.on_rpc('*')\n{kind} f(r):\n    sys.exit(7)")
    call(worker, 1)
    assert worker.process.wait(60) == 7


def test_a_forked_child_that_returns_from_a_handler_exits_and_answers_nothing(run: Run) -> None:
    code = """
@app.on_rpc('fork')
async def f(r):
    child = os.fork()
    if child == 0:
        return causeway.RpcResult('child')
    _, status = await asyncio.get_running_loop().run_in_executor(None, os.waitpid, child, 0)
    return causeway.RpcResult(status)
@app.on_rpc('*')
async def g(r):
    return causeway.RpcResult('alive')
"""
    worker = run(code)
    call(worker, 1, "fork")
    assert result(worker, 1) == 1 << 8
    call(worker, 2)
    assert result(worker, 2) == "alive"
    worker.send(STOP)
    _, errors = worker.process.communicate(timeout=60)
    # Python may warn of forks as well.
    assert b"a forked child returned from its handler into the event loop of its parent: it exits\n" in errors


def test_processes_and_pools_of_multiprocessing_work_in_handlers(run: Run) -> None:
    code = """
import multiprocessing
@app.on_rpc('*')
def f(r):
    context = multiprocessing.get_context('fork')
    queue = context.SimpleQueue()
    child = context.Process(target=queue.put, args=(6 * 7,))
    child.start(); child.join()
    return causeway.RpcResult(queue.get())
"""
    worker = run(code)
    for number in (1, 2):
        call(worker, number)
        assert result(worker, number) == 42


@pytest.mark.parametrize(("before", "after"), [((20, 3, 4), (80, 3, 4)), ((500, 3, 4), (500, 3, 4)), ((0, 3, 4), (0, 3, 4))])
def test_requests_in_hand_do_not_count_as_garbage(run: Run, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    code = f"""import gc
gc.set_threshold{before}
@app.on_rpc('*')
async def f(r):
    return causeway.RpcResult(list(gc.get_threshold()))"""
    worker = run(code)
    call(worker, 1)
    assert result(worker, 1) == list(after)


def test_where_the_server_has_one_request_at_a_time_the_log_says_so(tmp_path: Path) -> None:
    code = START + "@app.on_rpc('*')\nasync def f(r):\n    return causeway.RpcResult('one')\napp.run(concurrency=8)\n"
    worker = Supervisor.of_code(code, tmp_path)
    answer = worker.ask("rpc", b"")
    assert proxy.RPCResponse.FromString(answer.payload).result.data == b'"one"'
    _, errors = worker.process.communicate(timeout=60)
    assert errors == b"this worker handles one request at a time: the server does not offer protocol 2\n"
    worker.close()


SERVED = (
    START
    + """
app.opened = []
@app.on_rpc('async')
async def f(r):
    return causeway.RpcResult([app.opened, causeway.current_request().method, asyncio.get_running_loop() is app.loop])
@app.on_rpc('sync')
def g(r):
    return causeway.RpcResult([app.opened, causeway.current_request().method, True])
@app.on_rpc('never')
async def h(r):
    print('begun', flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print('ended with', app.opened)
async def main():
    app.loop = asyncio.get_running_loop()
    app.opened.append('open')
    await app.serve(concurrency=8)
    app.opened.clear()
    print('closed')
asyncio.run(main())
"""
)


def test_an_application_can_serve_on_its_own_event_loop(tmp_path: Path) -> None:
    worker = Supervisor.of_code(SERVED, tmp_path, ENVIRONMENT, CLAIMS)
    for number, method in ((1, "async"), (2, "sync")):
        call(worker, number, method)
        assert result(worker, number) == [["open"], method, True]
    call(worker, 3, "never")
    assert worker.process.stderr and worker.process.stderr.readline() == b"begun\n"
    _, errors = worker.process.communicate(timeout=60)
    assert (worker.process.returncode, errors) == (0, b"ended with ['open']\nclosed\n")


def test_an_application_can_serve_one_request_at_a_time_on_its_own_event_loop(tmp_path: Path) -> None:
    worker = Supervisor.of_code(SERVED, tmp_path)
    for method in ("async", "sync"):
        answer = worker.ask("rpc", proxy.RPCRequest(method=method).SerializeToString())
        expected = [["open"], method, True]
        assert json.loads(proxy.RPCResponse.FromString(answer.payload).result.data) == expected
    _, errors = worker.process.communicate(timeout=60)
    assert errors.splitlines()[1:] == [b"closed"]
    worker.close()


def test_without_a_concurrency_requests_are_handled_one_at_a_time(tmp_path: Path) -> None:
    code = START + "@app.on_rpc('*')\ndef f(r):\n    return causeway.RpcResult('one')\napp.run()\n"
    worker = Supervisor.of_code(code, tmp_path, ENVIRONMENT)
    assert Event.RPC.response.FromString(worker.ask("rpc", b"").payload).result.data == b'"one"'
    worker.close()


@pytest.mark.parametrize("arguments", ["concurrency=0", "concurrency=65536", "causeway.Worker(), concurrency=2"])
def test_an_impossible_concurrency_is_an_error(arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causeway, "Worker", object)
    with pytest.raises(ValueError, match="concurrency"):
        eval(f"causeway.App().run({arguments})", {"causeway": causeway})
