"""Messages as JSON: the same events and results as with protobuf."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import pytest
from bridge import Bridge
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from supervisor import FENCE, ROOT, Supervisor
from test_app import WRONG_ANSWERS
from test_protocol2 import asynchronous
from test_streams import count

import causeway
from causeway import App, Error, Event, Payload, WorkerError, frame, proxy
from causeway.codec import by_name
from causeway.codec.shapes import EMPTY, MESSAGES

SOURCE = ROOT / "workers/python/src"


@pytest.fixture(autouse=True)
def server_with_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAUSEWAY_CODECS", "proto,json")


def ask(app: App, event: Event, request: Any = None, raw: Optional[bytes] = None) -> Any:
    """Return the response of an application to an event."""
    body = json.dumps(request).encode() if raw is None else raw
    answer = app.answer(Payload(b'{"type":["%b"]}' % event.value.encode(), b"" if request is None and raw is None else body))
    assert isinstance(answer, bytes)
    return json.loads(answer)


def kind(field: Any) -> Any:
    names = {value: name[5:].lower() for name, value in vars(FieldDescriptor).items() if name.startswith("TYPE_")}
    if field.message_type is None:
        base: Any = names[field.type]
    elif field.message_type.GetOptions().map_entry:
        return {"string": kind(field.message_type.fields_by_name["value"])}
    else:
        base = field.message_type.name
    repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == FieldDescriptor.LABEL_REPEATED
    return [base] if repeated else base


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_have_the_fields_that_protobuf_has(name: str) -> None:
    descriptor: Descriptor = getattr(proxy, name).DESCRIPTOR
    assert MESSAGES[name] == {field.name: kind(field) for field in descriptor.fields}


@pytest.mark.parametrize("event", Event)
def test_requests_have_the_same_attributes_with_both_codecs(event: Event) -> None:
    message = getattr(proxy, event.request._message)()
    fields: dict[str, Any] = {}
    for name, what in MESSAGES[event.request._message].items():
        if name == "b64data":
            continue
        if what == "bytes":
            setattr(message, name, b'{"a": [1.10, "\xc3\xbc"]}')
        elif what == "string":
            setattr(message, name, "text")
            fields[name] = "text"
        elif what == ["string"]:
            fields[name] = ["a", "b"]
            getattr(message, name).extend(["a", "b"])
        elif isinstance(what, dict):
            fields[name] = {"k": "v"}
            getattr(message, name).update({"k": "v"})
    if event is Event.NOTIFY_CHANNEL_STATE:
        message.events.add(time_ms=2**60, channel="c", type="occupied")
        fields["events"] = [{"time_ms": 2**60, "channel": "c", "type": "occupied"}]
    if event is Event.SHARED_POLL_REFRESH:
        message.items.add(key="k", version=2**63)
        fields["items"] = [{"key": "k", "version": 2**63}]
    members = [f'"{name}": {json.dumps(value)}' for name, value in fields.items()]
    members += [f' "{name}" : {{"a": [1.10, "ü"]}} ' for name in ("data", "meta") if name in MESSAGES[event.request._message]]
    body = ("{ " + " ,".join([*members, '"later":[{}]']) + "}").encode()
    context = b'{"a":["b"],"type":["x"],"stream":["s"]}'
    binary = event.request(message.SerializeToString(), context)
    text = event.request(body, context, by_name("json"))
    for name in dir(binary):
        if name.startswith("_") or name in ("message", "messages", "header", "items", "events"):
            continue
        assert getattr(text, name) == getattr(binary, name), name
    for name in ("items", "events"):
        for left, right in zip(getattr(text, name, ()), getattr(binary, name, ())):
            assert all(getattr(left, field) == getattr(right, field) for field in left.fields)
    for name in MESSAGES[event.request._message]:
        if name not in ("items", "events"):
            assert getattr(text.message, name) == getattr(binary.message, name), name
    empty = event.request(b"", b"", by_name("json"))
    bare = event.request(b"", b"")
    for name in dir(bare):
        if not name.startswith("_") and name not in ("message", "messages", "header"):
            assert getattr(empty, name) == getattr(bare, name), name


def test_data_is_as_the_client_sent_it() -> None:
    app = App(codec="json")
    seen: list[Any] = []
    app.on_rpc("*")(lambda request: seen.append((request.data, request.json)))
    for data in ("1.10", "null", '"\\u00fc}"', " [ 1 , {} ]", "123456789012345678901234567890"):
        ask(app, Event.RPC, raw=f'{{"method":"x","data":{data} ,"user":"42"}}'.encode())
        assert seen[-1] == (data.strip().encode(), json.loads(data))
    for raw in (b'{"meta":{"data":1},"data": [2] }', b'{"meta":{"data":1} , "data" : [2] }', b'{"data" :[2], "meta":{"data":1}}'):
        ask(app, Event.RPC, raw=raw)
        assert seen[-1] == (b"[2]", [2])
    ask(app, Event.RPC, {"b64data": base64.b64encode(b"[1]").decode()})
    assert seen[-1] == (b"[1]", [1])
    ask(app, Event.RPC, {})
    assert seen[-1] == (b"", None)


def test_results_are_encoded_like_those_of_an_http_proxy() -> None:
    app = App(codec="json")
    app.on_connect(
        lambda request: causeway.ConnectResult(
            user="42",
            data=0,
            info=b"\xff\x00",
            meta=b'{"plan": "pro"}',
            labels={"a": "ü"},
            channels=["x"],
            expire_at=2**40,
            subs={
                "news": {"data": {"a": 1}, "override": {"presence": {"value": True}}},
                "raw": proxy.SubscribeOptions(expire_at=7),
            },
            caps=[{"match": "wildcard", "allow": ["pub"]}],
        )
    )
    app.on_rpc("none")(lambda request: None)
    app.on_rpc("null")(lambda request: causeway.RpcResult())
    app.on_rpc("error")(lambda request: Error(400, "no", temporary=True))
    app.on_rpc("disconnect")(lambda request: causeway.Disconnect(4000, "bye"))
    app.on_notify_cache_empty(lambda request: causeway.NotifyCacheEmptyResult(populated=True))
    assert ask(app, Event.CONNECT, {}) == {
        "result": {
            "user": "42",
            "data": 0,
            "channels": ["x"],
            "expire_at": 2**40,
            "b64info": "/wA=",
            "meta": {"plan": "pro"},
            "labels": {"a": "ü"},
            "subs": {"news": {"data": {"a": 1}, "override": {"presence": {"value": True}}}, "raw": {"expire_at": 7}},
            "caps": [{"match": "wildcard", "allow": ["pub"]}],
        }
    }
    assert ask(app, Event.RPC, {"method": "none"}) == {"result": {}}
    assert ask(app, Event.RPC, {"method": "null"}) == {"result": {}}
    assert ask(app, Event.RPC, {"method": "error"}) == {"error": {"code": 400, "message": "no", "temporary": True}}
    assert ask(app, Event.RPC, {"method": "disconnect"}) == {"disconnect": {"code": 4000, "reason": "bye"}}
    assert ask(app, Event.NOTIFY_CACHE_EMPTY) == {"result": {"populated": True}}
    assert ask(app, Event.PUBLISH) == {"error": {"code": 108, "message": "not available"}}


@pytest.mark.parametrize(
    ("value", "member"),
    [
        (b"[1.10]", '"data":[1.10]'),
        (b"", ""),
        (b"{", '"b64data":"ew=="'),
        (b"NaN", '"b64data":"TmFO"'),
        (b"\xff", '"b64data":"/w=="'),
        (b"[" * 491 + b"]" * 491, '"b64data":"W1tb'),
        (b"[" * 100_000, '"b64data":"W1tb'),
        (b'"' + b"x" * 70_000 + b'"', '"b64data":"Inh4'),
    ],
)
def test_bytes_are_embedded_if_they_are_json(value: bytes, member: str) -> None:
    app = App(codec="json")
    app.on_rpc("*")(lambda request: causeway.RpcResult(value))
    answer = app.answer(Payload(b'{"a":["b"],"type":["rpc"]}', b"{}"))
    assert isinstance(answer, bytes) and answer.decode().startswith('{"result":{' + member)


def test_what_the_server_cannot_send_as_json_is_decoded() -> None:
    app = App(codec="json")
    seen: list[Any] = []
    app.on_rpc("*")(lambda request: seen.append((request.data, request.message.meta, request.meta)))
    ask(app, Event.RPC, {"b64data": "/w==", "b64meta": base64.b64encode(b"[1]").decode()})
    assert seen == [(b"\xff", b"[1]", [1])]


def test_nested_messages_may_be_mappings_with_protobuf_too() -> None:
    app = App(codec="proto")
    item = {"key": "k", "data": {"a": 1}, "version": 3}
    override = {"presence": {"value": True}}
    app.on_shared_poll_refresh(lambda request: causeway.SharedPollRefreshResult(items=[item]))
    app.on_subscribe(lambda request: causeway.SubscribeResult(override=override))
    app.on_connect(lambda request: causeway.ConnectResult(subs={"news": {"data": [1]}}))

    def answer(event: Event) -> Any:
        return event.response.FromString(app.answer(Payload(b'{"type":["%b"]}' % event.value.encode(), b""))).result

    assert answer(Event.SHARED_POLL_REFRESH).items[0] == proxy.SharedPollRefreshResultItem(key="k", data=b'{"a":1}', version=3)
    assert answer(Event.SUBSCRIBE).override.presence.value
    assert answer(Event.CONNECT).subs["news"].data == b"[1]"


@pytest.mark.parametrize(("event", "handler", "message"), WRONG_ANSWERS)
def test_a_wrong_answer_fails_in_the_same_words(event: Event, handler: Any, message: str) -> None:
    app = App(codec="json")
    app.on(event)(handler)
    with pytest.raises(WorkerError) as raised:
        ask(app, event)
    place = f"{sys.modules['test_app'].__file__}:{handler.__code__.co_firstlineno}: "
    assert str(raised.value).startswith(f"{place}{message}")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"expire_at": 2**63}, "expire_at: 9223372036854775808 is out of the range of int64"),
        ({"expire_at": "soon"}, "expire_at: expected int64, found str"),
        ({"channels": "news"}, "channels: expected a list, found str"),
        ({"labels": ["a"]}, "labels: expected a mapping, found list"),
        ({"labels": {"a": 1}}, "labels: expected string, found int"),
        ({"subs": {"a": {"later": 1}}}, "subs: later: SubscribeOptions has no such field"),
        ({"subs": {"a": 7}}, "subs: expected a mapping or a message, found int"),
        ({"user": "\ud800"}, "'utf-8' codec can't encode"),
    ],
)
def test_values_that_do_not_fit_are_named(result: dict[str, Any], message: str) -> None:
    app = App(codec="json")
    app.on_connect(lambda request: causeway.ConnectResult(**result))
    with pytest.raises(WorkerError, match="cannot encode the answer to connect: " + message):
        ask(app, Event.CONNECT)


def test_what_is_not_a_json_object_fails_its_request() -> None:
    app = App(codec="json")
    app.on_rpc("*")(lambda request: None)
    app.on_rpc("x")(lambda request: None)
    for raw in (b"[]", b"{", b"\xff"):
        with pytest.raises(ValueError, match=r"JSON|Expecting|codec"):
            ask(app, Event.RPC, raw=raw)
    with pytest.raises(AttributeError, match="RPCRequest has no field later"):
        _ = causeway.RpcRequest(b"{}", b"", by_name("json")).message.later
    assert EMPTY["string"] == ""


@asynchronous
async def test_streams_are_json_too() -> None:
    app = App(codec="json")
    app.on_subscribe_unidirectional(count)
    async with Bridge(app) as bridge:
        assert bridge.greeting["codec"] == "json"
        await bridge.start(Event.SUBSCRIBE_UNIDIRECTIONAL, {"channel": "news"}, context={"stream": ["s1"]})
        messages = [json.loads((await bridge.receive()).payload) for _ in range(2)]
        assert messages == [
            {"subscribe_response": {"result": {"data": {"channel": "news", "stream": "s1"}}}},
            {"publication": {"data": {"index": 0}, "tags": {"kind": "count"}}},
        ]


ECHO = """import sys, causeway
app = causeway.App({})
@app.on_rpc('echo')
def f(r):
    return causeway.RpcResult({})
app.run({})
"""
WITHOUT = "any(name.split('.')[0] == 'google' and 'protobuf' in name for name in sys.modules)"


@pytest.mark.parametrize("concurrency", ["", "concurrency=2"])
def test_a_worker_with_json_imports_no_protobuf(tmp_path: Path, concurrency: str) -> None:
    environment = {"CAUSEWAY_CODECS": "proto,json"}
    claims: dict[str, Any] = {"codec": "json"}
    if concurrency:
        environment["CAUSEWAY_PROTOCOLS"] = "1,2"
        claims |= {"protocol": 2, "concurrency": 2, "name": f"causeway-worker {causeway.__version__}"}
    code = ECHO.format("codec='json'", f"[r.json, r.user, {WITHOUT}]", concurrency)
    worker = Supervisor.of_code(code, tmp_path, environment, claims)
    context = b'{"a":["b"],"type":["rpc"]}'
    options = (len(context), 1) if concurrency else (len(context),)
    worker.send(frame.encode(context + b'{"method":"echo","user":"42","data":{"a":1}}', frame.JSON, options))
    answer = worker.receive()
    assert json.loads(answer.payload) == {"result": {"data": [{"a": 1}, "42", False]}}
    worker.send(FENCE)
    worker.close()


def test_the_codec_is_json_where_protobuf_is_slow_and_the_server_offers_it(tmp_path: Path) -> None:
    code = "import causeway; print(causeway.App().codec.name)"
    chosen = {}
    for name, environment in {
        "fast": {"CAUSEWAY_CODECS": "proto,json"},
        "slow": {"CAUSEWAY_CODECS": "proto,json", "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"},
        "not offered": {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"},
    }.items():
        command = [sys.executable, "-c", code]
        run = subprocess.run(command, env={"PYTHONPATH": str(SOURCE), **environment}, capture_output=True, text=True, check=True)
        chosen[name] = run.stdout.strip()
    assert chosen == {"fast": "proto", "slow": "json", "not offered": "proto"}


def test_a_server_without_json_gets_protobuf_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CAUSEWAY_CODECS")
    assert App(codec="json").codec.name == "proto"
    assert capfd.readouterr().err == "this server does not offer the codec json: protobuf is used\n"
    with pytest.raises(ValueError, match='expected the codec "proto" or "json"'):
        _ = App(codec="xml").codec
