"""The services against every recorded exchange."""

from pathlib import Path
from typing import Any, Callable

import pytest
from rpc_server import VECTORS, Server

from causeway import (
    ApiError,
    GrpcError,
    PluginStatus,
    Rpc,
    RpcError,
    ServerError,
    WorkerState,
    api,
)

ROOT = Path(__file__).resolve().parents[3]
STATES = [
    WorkerState(29013, "ready", 0, 1795449638375621835, 14614528, 2.026431866726191, ""),
    WorkerState(29012, "ready", 0, 1795449638375204727, 14831616, 2.0262394058646764, ""),
]
DOWN = 'connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:59649: connect: connection refused"'

# Every recorded exchange: the call that causes it, and its result.
CALLS: dict[str, tuple[Callable[[Rpc], Any], Any]] = {
    "informer.List [JSON]": (lambda rpc: rpc.informer.list(), ["centrifuge"]),
    "informer.Workers centrifuge [JSON]": (lambda rpc: rpc.informer.workers(), STATES),
    "informer.Workers unknown plugin [JSON]": (lambda rpc: rpc.informer.workers("nope"), []),
    "informer.AddWorker [JSON]": (lambda rpc: rpc.informer.add_worker(), None),
    "informer.RemoveWorker last [JSON]": (lambda rpc: rpc.informer.remove_worker(), None),
    "informer.AddWorker unknown plugin [JSON]": (
        lambda rpc: rpc.informer.add_worker("nope"),
        ServerError("plugin nope does not support workers management"),
    ),
    "resetter.List [JSON]": (lambda rpc: rpc.resetter.list(), ["centrifuge"]),
    "resetter.Reset centrifuge [JSON]": (lambda rpc: rpc.resetter.reset(), None),
    "resetter.Reset unknown plugin [JSON]": (
        lambda rpc: rpc.resetter.reset("nope"),
        ServerError("resetter_rpc_reset:\n\tresetter_plugin_reset_by_name: no such plugin: nope"),
    ),
    "rpc.Version [JSON]": (lambda rpc: rpc.version(), "3"),
    "metrics.Declare counter [JSON]": (
        lambda rpc: rpc.metrics.declare("facts_c", "counter", help="help of facts_c"),
        None,
    ),
    "metrics.Declare counter with labels [JSON]": (
        lambda rpc: rpc.metrics.declare(
            "facts_cl", "counter", help="help of facts_cl", labels=["a", "b"], namespace="app", subsystem="sub"
        ),
        None,
    ),
    "metrics.Declare histogram [JSON]": (
        lambda rpc: rpc.metrics.declare("facts_h", "histogram", help="help of facts_h", buckets=[0.1, 0.5, 1]),
        None,
    ),
    "metrics.Declare summary with labels [JSON]": (
        lambda rpc: rpc.metrics.declare(
            "facts_sl", "summary", help="help of facts_sl", labels=["k"], objectives={0.5: 0.05, 0.9: 0.01}
        ),
        ServerError("json: cannot unmarshal object into Go struct field Collector.Objectives of type float64"),
    ),
    "metrics.Add facts_cl [JSON]": (lambda rpc: rpc.metrics.add("facts_cl", 2.5, ["x", "y"]), None),
    "metrics.Sub facts_g [JSON]": (lambda rpc: rpc.metrics.sub("facts_g", 2.5), None),
    "metrics.Set facts_gl [JSON]": (lambda rpc: rpc.metrics.set("facts_gl", 2.5, ["x"]), None),
    "metrics.Observe facts_h [JSON]": (lambda rpc: rpc.metrics.observe("facts_h", 2.5), None),
    "metrics.Add unknown name [JSON]": (
        lambda rpc: rpc.metrics.add("facts_nope", 1),
        ServerError("metrics_plugin_add: undefined collector facts_nope, try first Declare the desired collector"),
    ),
    "metrics.Unregister [JSON]": (lambda rpc: rpc.metrics.unregister("facts_gl"), None),
    "app.Error [JSON]": (lambda rpc: rpc.logger.error("hello from app"), None),
    "app.Warning [JSON]": (lambda rpc: rpc.logger.warning("hello from app"), None),
    "app.Info [JSON]": (lambda rpc: rpc.logger.info("hello from app"), None),
    "app.Debug [JSON]": (lambda rpc: rpc.logger.debug("hello from app"), None),
    "app.Log [JSON]": (lambda rpc: rpc.logger.log("hello from app\n"), None),
    "app.InfoWithContext [JSON]": (lambda rpc: rpc.logger.info("m", {"a": "b"}), None),
    "lock.Lock [JSON]": (lambda rpc: rpc.lock.lock("r5", id="a"), "a"),
    "status.Status centrifuge [JSON]": (lambda rpc: rpc.status.status(), PluginStatus(200, "")),
    "status.Ready centrifuge [JSON]": (lambda rpc: rpc.status.ready(), PluginStatus(200, "")),
    "centrifuge.Publish while no Centrifugo listens [PROTO]": (
        lambda rpc: rpc.centrifugo.publish("facts", {"n": 1}),
        GrpcError("Unavailable", DOWN),
    ),
    "centrifuge.Publish [PROTO]": (
        lambda rpc: rpc.centrifugo.publish("facts", b'{"n":1}'),
        api.PublishResult(offset=1, epoch="czCaNMVq"),
    ),
    "centrifuge.Publish unknown namespace [PROTO]": (
        lambda rpc: rpc.centrifugo.publish("zz:facts", {}),
        ApiError("unknown channel", 102),
    ),
    "centrifuge.Publish with tags and idempotency key [PROTO]": (
        lambda rpc: rpc.centrifugo.publish("facts", {"n": 2}, tags={"k": "v"}, idempotency_key="i1"),
        api.PublishResult(offset=2, epoch="czCaNMVq"),
    ),
    "centrifuge.Broadcast [PROTO]": (
        lambda rpc: rpc.centrifugo.broadcast(["facts", "other"], {"n": 3}),
        api.BroadcastResult(
            responses=[
                api.PublishResponse(result=api.PublishResult(offset=3, epoch="czCaNMVq")),
                api.PublishResponse(result=api.PublishResult(offset=1, epoch="CLZcJmZq")),
            ]
        ),
    ),
    "centrifuge.Presence [PROTO]": (
        lambda rpc: rpc.centrifugo.presence("facts").presence["5f9b6346-bff5-48a2-ac88-12b06b6c0943"],
        api.ClientInfo(user="42", client="5f9b6346-bff5-48a2-ac88-12b06b6c0943"),
    ),
    "centrifuge.Presence presence off [PROTO]": (
        lambda rpc: rpc.centrifugo.presence("bare:x"),
        ApiError("not available", 108),
    ),
    "centrifuge.PresenceStats [PROTO]": (
        lambda rpc: rpc.centrifugo.presence_stats("facts"),
        api.PresenceStatsResult(num_clients=1, num_users=1),
    ),
    "centrifuge.History [PROTO]": (
        lambda rpc: [(p.offset, p.data, dict(p.tags)) for p in rpc.centrifugo.history("facts", limit=10).publications],
        [(1, b'{"n":1}', {}), (2, b'{"n":2}', {"k": "v"}), (3, b'{"n":3}', {})],
    ),
    "centrifuge.History reverse limit 1 [PROTO]": (
        lambda rpc: [p.offset for p in rpc.centrifugo.history("facts", limit=1, reverse=True).publications],
        [3],
    ),
    "centrifuge.HistoryRemove [PROTO]": (lambda rpc: rpc.centrifugo.history_remove("facts"), None),
    "centrifuge.Channels pattern [PROTO]": (
        lambda rpc: {name: info.num_clients for name, info in rpc.centrifugo.channels("fac*").channels.items()},
        {"facts": 1},
    ),
    "centrifuge.Subscribe [PROTO]": (lambda rpc: rpc.centrifugo.subscribe("srv", "42"), None),
    "centrifuge.Unsubscribe [PROTO]": (lambda rpc: rpc.centrifugo.unsubscribe("srv", "42"), None),
    "centrifuge.Refresh [PROTO]": (lambda rpc: rpc.centrifugo.refresh("42", expire_at=1795453244), None),
    "centrifuge.Disconnect [PROTO]": (lambda rpc: rpc.centrifugo.disconnect("42"), None),
    "centrifuge.RPC [PROTO]": (
        lambda rpc: rpc.centrifugo.call("RPC", api.RPCRequest(method="nope", params=b"{}")),
        ApiError("not found", 104),
    ),
    "centrifuge.Connections [PROTO]": (
        lambda rpc: rpc.centrifugo.call("Connections", api.ConnectionsRequest(user="42")),
        GrpcError("Unimplemented", "method Connections not implemented"),
    ),
    "centrifuge.MapPublish [PROTO]": (
        lambda rpc: rpc.centrifugo.call("MapPublish", api.MapPublishRequest()),
        ServerError("rpc: can't find method centrifuge.MapPublish"),
    ),
    "unknown service [JSON]": (lambda rpc: rpc.call("nope.Do", "x"), ServerError("rpc: can't find service nope.Do")),
}


@pytest.mark.parametrize("name", VECTORS)
def test_every_recorded_exchange_is_reproduced(name: str) -> None:
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


def test_grpc_statuses_have_their_codes() -> None:
    assert GrpcError("Unavailable", "x").code == 14
    assert GrpcError("Unauthenticated", "x").code == 16
    assert GrpcError("Code(99)", "x").code == 2
