"""Calls the server with all of the Python package, one scene per run, and prints the results as JSON.

The PHP caller prints the same.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workers/python/src"))

import causeway
from causeway import api

rpc = causeway.Rpc.shared()


def bridge():
    informer, resetter = rpc.informer, rpc.resetter
    first = informer.workers()[0]
    seen = {
        "version": rpc.version(),
        "workers_in_config": rpc.config()["centrifuge"]["pool"]["num_workers"],
        "lists": [informer.list(), resetter.list(), informer.workers("nope")],
        "first": [first.status, first.executions, first.memory > 0, first.created > 0, "worker" in first.command],
    }
    informer.add_worker()
    deadline = time.monotonic() + 20
    while len(informer.workers()) != 2:
        assert time.monotonic() < deadline, "the second worker has not come"
    informer.remove_worker()
    informer.remove_worker()
    resetter.reset()
    seen["replaced"] = first.pid not in [worker.pid for worker in informer.workers() if worker.status == "ready"]
    seen["errors"] = [failure(lambda: informer.add_worker("nope")), failure(lambda: rpc.call("nope.Do"))]
    seen["status"] = [rpc.status.status().code, rpc.status.ready().code]
    return seen


def centrifugo():
    centrifugo = rpc.centrifugo
    published = centrifugo.publish("news", {"text": "grüß"}, tags={"k": "v"}, idempotency_key="i1")
    centrifugo.disconnect("42", code=4501, reason="bye", whitelist=["a"])
    centrifugo.subscribe("news", "42", data=[1], info={}, expire_at=7)
    return {
        "published": [published.offset, published.epoch],
        "new": type(centrifugo.call("MapStats", api.MapStatsRequest(channel="m"))).__name__,
        "errors": [
            failure(lambda: centrifugo.publish("nowhere:x", None)),
            failure(lambda: centrifugo.history("away", limit=1)),
        ],
    }


def away():
    return failure(lambda: rpc.centrifugo.info())


def lock():
    lock = rpc.lock
    random = lock.lock("random")
    seen = [
        len(random or ""),
        lock.lock("r", id="a", ttl=60),
        lock.lock("r", id="b"),
        lock.lock_read("r", id="c", wait=0.01),
        [lock.exists("r"), lock.exists("r", "a"), lock.exists("r", "b")],
        [lock.update_ttl("r", "a", 30), lock.update_ttl("r", "b", 30)],
        [lock.release("r", "b"), lock.release("r", "a"), lock.release("r", "a")],
        [lock.lock_read("r", id="c"), lock.lock_read("r", id="d"), lock.lock("r", id="e")],
        [lock.force_release("r"), lock.force_release("r"), lock.exists("r")],
        lock.lock("short", id="a", ttl=0.05),
        lock.lock("short", id="b", wait=20),
    ]
    return [*seen, failure(lambda: lock.lock("r", id=""))]


def metrics():
    metrics = rpc.metrics
    metrics.declare("calls", "counter", help="Calls", labels=["kind"], namespace="app", subsystem="sub")
    metrics.declare("calls", "counter", labels=["kind"])
    metrics.declare("level", "gauge")
    metrics.declare("seconds", "histogram", buckets=[0.1, 1])
    metrics.declare("sizes", "summary", objectives={0.5: 0.05})
    metrics.add("calls", 2.5, ["a"])
    metrics.set("level", 5)
    metrics.sub("level", 2)
    metrics.observe("seconds", 0.5)
    metrics.observe("sizes", 3)
    metrics.declare("gone", "gauge")
    metrics.unregister("gone")
    return failure(lambda: metrics.add("nope", 1))


def log_lines():
    logger = rpc.logger
    logger.error("from error", {"user": "42", "list": [1, 2]})
    logger.warning("from warning")
    logger.info("from info", {"a": "b"})
    logger.debug("from debug")
    logger.log("from log\n")


def failure(call):
    try:
        call()
    except causeway.RpcError as error:
        return [type(error).__name__.replace("Error", ""), error.code, error.message]


print(json.dumps(globals()[sys.argv[1]](), ensure_ascii=False), flush=True)
