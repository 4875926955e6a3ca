"""What an application answers, without a worker around it."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Callable

import pytest

import causeway
from causeway import App, Disconnect, Error, Event, Payload, Result, WorkerError, proxy


def ask(app: App, event: Event, request: Any = None) -> Any:
    """Return the response of an application to an event."""
    body = request.SerializeToString() if request else b""
    return event.response.FromString(app.answer(Payload(b'{"type":["%b"]}' % event.value.encode(), body)))


def on(app: App, event: Event) -> Callable[[Any], Any]:
    """Return the decorator that an event has."""
    return app.on_rpc("*") if event is Event.RPC else getattr(app, f"on_{event.name.lower()}")


def message_fields(descriptor: Any) -> list[str]:
    """Return the fields of a message, without those for base64, which requests decode and results do not need."""
    return [name for name in descriptor.fields_by_name if not name.startswith("b64")]


@pytest.mark.parametrize("event", Event)
def test_every_event_has_a_handler_and_a_result(event: Event) -> None:
    app, seen = App(), []

    @on(app, event)
    def handle(request: causeway.Request) -> Result:
        seen.append(request)
        return event.result()

    assert ask(app, event).HasField("result")
    assert [type(request) for request in seen] == [event.request]


@pytest.mark.parametrize("event", Event)
def test_requests_and_results_have_all_fields_of_their_messages(event: Event) -> None:
    request = event.request(b"", b"")
    for name in message_fields(getattr(proxy, event.request._message).DESCRIPTOR):
        assert hasattr(request, name), name
    descriptor: Any = event.response.DESCRIPTOR
    message = descriptor.fields_by_name["result"].message_type
    expected = [] if event is Event.STREAM_END else message_fields(message)
    assert sorted(field.name for field in fields(event.result)) == sorted(expected)  # type: ignore[arg-type]


def test_a_method_has_precedence_over_the_handler_of_all_other_calls() -> None:
    app = App()
    app.on_rpc("*")(lambda request: causeway.RpcResult(f"other: {request.method}"))
    app.on_rpc("a")(lambda request: causeway.RpcResult("a"))
    for method, data in {"a": b'"a"', "b": b'"other: b"', "": b'"other: "', "*": b'"other: *"'}.items():
        assert ask(app, Event.RPC, proxy.RPCRequest(method=method)).result.data == data


def test_a_request_has_the_headers_that_were_forwarded() -> None:
    app, seen = App(), []

    @app.on_connect
    def connect(request: causeway.ConnectRequest) -> None:
        seen.append([request.header("X-User"), request.header("none"), request.header("none", "default"), request.headers])

    app.answer(Payload(b'{"x-user":["7","8"],"odd":[null,{},3],"type":["connect"]}', b""))
    assert seen == [["7", None, "default", {"x-user": ["7", "8"], "odd": ["3"], "type": ["connect"]}]]


def test_no_header_passes_for_the_type() -> None:
    app, seen = App(), []
    app.on_rpc("*")(lambda request: seen.append(request.headers))
    lie = ',"type":["connect"],'
    headers = {"a": [lie], lie: [lie, "b"], "type": ["rpc", "connect"], "z": [lie]}
    for separators in ((",", ":"), (", ", ": ")):
        app.answer(Payload(json.dumps(headers, separators=separators).encode(), b""))
    assert seen == [headers, headers]


def test_data_is_decoded_from_base64() -> None:
    app = App()
    app.on_rpc("*")(lambda request: causeway.RpcResult(request.data.decode().upper()))
    assert ask(app, Event.RPC, proxy.RPCRequest(b64data="aGVsbG8=")).result.data == b'"HELLO"'
    with pytest.raises(ValueError, match="base64"):
        ask(app, Event.RPC, proxy.RPCRequest(b64data="?"))


def test_fields_that_an_event_does_not_have_are_empty() -> None:
    app = App()

    @app.on_notify_channel_state
    def state(request: causeway.NotifyChannelStateRequest) -> Error:
        found = (request.client, request.user, request.data, request.json, request.meta, request.labels)
        assert found == ("", "", b"", None, None, {})
        return Error(7, request.events[0].channel, temporary=True)

    app.on_shared_poll_refresh(lambda request: Error(8, request.items[0].key))
    events = proxy.NotifyChannelStateRequest(events=[proxy.ChannelEvent(channel="room")])
    assert ask(app, Event.NOTIFY_CHANNEL_STATE, events).error == proxy.Error(code=7, message="room", temporary=True)
    items = proxy.SharedPollRefreshRequest(items=[proxy.SharedPollRefreshItem(key="k")])
    assert ask(app, Event.SHARED_POLL_REFRESH, items).error.message == "k"


def test_results_carry_nested_messages_and_json() -> None:
    app = App()
    app.on_connect(
        lambda request: causeway.ConnectResult(
            data=0,
            info=b'{"raw":1}',
            meta={"plan": "pro"},
            labels={"a": "b"},
            subs={"news": proxy.SubscribeOptions(expire_at=7)},
            caps=[proxy.ChannelsCapability(match="wildcard")],
        )
    )
    app.on_subscribe(
        lambda request: causeway.SubscribeResult(server_tags_filter=proxy.FilterNode(key="k"), allow=("pub",)),
    )
    app.on_map_publish(lambda request: causeway.MapPublishResult(stream_data=[], key_mode="m", version=3))
    connect = proxy.ConnectResult(data=b"0", info=b'{"raw":1}', meta=b'{"plan":"pro"}', labels={"a": "b"})
    connect.subs["news"].expire_at = 7
    connect.caps.add(match="wildcard")
    assert ask(app, Event.CONNECT).result == connect
    subscribe = proxy.SubscribeResult(server_tags_filter=proxy.FilterNode(key="k"), allow=["pub"])
    assert ask(app, Event.SUBSCRIBE).result == subscribe
    assert ask(app, Event.MAP_PUBLISH).result == proxy.MapPublishResult(stream_data=b"[]", key_mode="m", version=3)


def several_answers(request: Any) -> Iterator[Any]:
    yield causeway.SubscribeResult()
    yield Error(1, "second")


def refuse(request: Any) -> None:
    raise Disconnect(4000, "x")


def returned(event: str, found: str, expected: str, refusals: str = ", Error, Disconnect") -> str:
    return f"the handler of {event} returned {found}, expected {expected}{refusals} or None"


WRONG_ANSWERS: list[tuple[Event, Callable[[Any], Any], str]] = [
    (Event.CONNECT, lambda request: "yes", returned("connect", "str", "ConnectResult")),
    (Event.RPC, lambda request: {"a": 1}, returned("rpc", "dict", "RpcResult")),
    (Event.PUBLISH, lambda request: causeway.RpcResult(1), returned("publish", "RpcResult", "PublishResult")),
    (Event.SUBSCRIBE, several_answers, returned("subscribe", "generator", "SubscribeResult")),
    (Event.NOTIFY_CACHE_EMPTY, lambda request: 1, returned("notifycacheempty", "int", "NotifyCacheEmptyResult", "")),
    (
        Event.SHARED_POLL_REFRESH,
        lambda request: 1,
        returned("sharedpollrefresh", "int", "SharedPollRefreshResult", ", Error"),
    ),
    (Event.NOTIFY_CACHE_EMPTY, lambda request: Error(1, "x"), "Centrifugo takes no error in answer to notifycacheempty"),
    (Event.NOTIFY_CACHE_EMPTY, refuse, "Centrifugo takes no disconnect in answer to notifycacheempty"),
    (
        Event.NOTIFY_CHANNEL_STATE,
        lambda request: Disconnect(4000, "x"),
        "Centrifugo takes no disconnect in answer to notifychannelstate",
    ),
    (
        Event.PUBLISH,
        lambda request: causeway.PublishResult({1}),
        "cannot encode the answer to publish: data: Object of type set is not JSON serializable",
    ),
    (
        Event.RPC,
        lambda request: causeway.RpcResult({"price": float("nan")}),
        "cannot encode the answer to rpc: data: Out of range float values are not JSON compliant",
    ),
    (
        Event.CONNECT,
        lambda request: causeway.ConnectResult(user=42),  # type: ignore[arg-type]
        "cannot encode the answer to connect: user: ",
    ),
]


@pytest.mark.parametrize(("event", "handler", "message"), WRONG_ANSWERS)
def test_a_wrong_answer_fails_with_the_place_of_its_handler(event: Event, handler: Any, message: str) -> None:
    app = App()
    app.on(event)(handler)
    with pytest.raises(WorkerError) as raised:
        ask(app, event)
    assert str(raised.value).startswith(f"{__file__}:{handler.__code__.co_firstlineno}: {message}")


def test_the_place_of_any_callable_is_found() -> None:
    class Service:
        def __call__(self, request: Any) -> str:
            return "text"

        def method(self, request: Any) -> str:
            return "text"

    for handler in (Service(), Service().method):
        app = App()
        app.on_connect(handler)  # type: ignore[type-var]
        with pytest.raises(WorkerError, match=rf"^{Path(__file__)}:\d+: the handler of connect returned str"):
            ask(app, Event.CONNECT)


@pytest.mark.parametrize(
    ("context", "kind"), [(b'{"type":["nonsense"]}', "nonsense"), (b"", ""), (b"[]", ""), (b'{"type":[]}', "")]
)
def test_an_unknown_event_is_named(context: bytes, kind: str) -> None:
    with pytest.raises(WorkerError, match=f'^unknown event type "{kind}"$'):
        App().answer(Payload(context, b""))


def test_a_second_handler_of_an_event_is_an_error_that_names_the_first() -> None:
    app = App()
    app.on_connect(lambda request: None)
    app.on_rpc("sum")(lambda request: None)
    with pytest.raises(ValueError, match=rf"^connect has a handler already: {Path(__file__)}:\d+$"):
        app.on_connect(lambda request: None)
    with pytest.raises(ValueError, match=r'^RPC method "sum" has a handler already: '):
        app.on_rpc("sum")(lambda request: None)


def test_on_rpc_without_a_method_is_an_error() -> None:
    with pytest.raises(TypeError, match="takes the name of a method, or a pattern"):

        @App().on_rpc  # type: ignore[arg-type]
        def forgotten(request: causeway.RpcRequest) -> None: ...


def test_none_is_an_empty_result_and_zero_is_not() -> None:
    app = App()
    app.on_rpc("none")(lambda request: None)
    app.on_rpc("null")(lambda request: causeway.RpcResult())
    app.on_rpc("0")(lambda request: causeway.RpcResult(0))
    app.on_notify_cache_empty(lambda request: causeway.NotifyCacheEmptyResult(populated=True))
    for method, data in {"none": b"", "null": b"", "0": b"0"}.items():
        assert ask(app, Event.RPC, proxy.RPCRequest(method=method)).result.data == data
    assert ask(app, Event.NOTIFY_CACHE_EMPTY).result.populated


def test_handlers_can_be_called_as_they_were_defined() -> None:
    # mypy checks the types: decorators keep those of the handlers, and refuse answers that Centrifugo does not take.
    app = App()

    @app.on_connect
    async def connect(request: causeway.ConnectRequest) -> causeway.ConnectResult:
        return causeway.ConnectResult(user=request.name)

    @app.on_rpc("add")
    def add(request: causeway.RpcRequest) -> causeway.RpcResult:
        return causeway.RpcResult(data=1)

    @app.on_notify_cache_empty  # type: ignore[type-var]
    def empty(request: causeway.NotifyCacheEmptyRequest) -> Error:
        return Error(1, "x")

    @app.on_notify_channel_state  # type: ignore[type-var]
    def state(request: causeway.NotifyChannelStateRequest) -> Disconnect:
        return Disconnect(4000, "x")

    async def call() -> str:
        return (await connect(causeway.ConnectRequest(b"", b""))).user

    assert asyncio.run(call()) == ""
    assert add(causeway.RpcRequest(b"", b"")).data == 1


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Error(code=403, message="denied", temporary=True), "403: denied"),
        (Disconnect(code=4000, reason="bye"), "4000: bye"),
        (causeway.ServerError("no"), "no"),
        (causeway.ApiError("unknown channel", 102), "102: unknown channel"),
        (causeway.GrpcError("Unavailable", "away"), "Unavailable: away"),
        (causeway.RpcConnectionError("lost", may_have_run=True), "lost"),
        (causeway.RpcTimeoutError("late", may_have_run=False), "late"),
    ],
)
def test_exceptions_can_be_hashed_copied_and_pickled(error: Exception, text: str) -> None:
    assert len({error}) == 1
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert (str(twin), vars(twin)) == (text, vars(error))


def test_errors_and_disconnects_are_compared_by_value() -> None:
    assert Error(403, "denied") == Error(code=403, message="denied")
    assert Error(403, "denied") != Error(403, "denied", temporary=True)
    assert Disconnect(4000, "bye") != Disconnect(4000, "good bye")


def test_async_handlers_share_an_event_loop() -> None:
    app, loops = App(), []

    @app.on_connect
    async def connect(request: causeway.ConnectRequest) -> causeway.ConnectResult:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return causeway.ConnectResult(user="42")

    assert ask(app, Event.CONNECT).result.user == "42"
    assert ask(app, Event.CONNECT).result.user == "42"
    assert loops[0] is loops[1]


def test_a_cancelled_handler_fails_its_request_and_not_the_worker() -> None:
    app = App()

    @app.on_connect
    async def connect(request: causeway.ConnectRequest) -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="the handler was cancelled"):
        ask(app, Event.CONNECT)
