"""Which handler a request goes to."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

import causeway
from causeway import App, Error, Event, RpcResult
from causeway.patterns import Pattern
from causeway.testing import TestClient

# The same in PHP, and in src/pools/glob.rs.
MATCHES = [
    ("*", ["", "a", "a.b:c/d\n"], []),
    ("chat:*", ["chat:", "chat:1", "chat:a:b"], ["chat", "Chat:1", " chat:1"]),
    ("*.read", ["users.read", ".read", "a.b.read"], ["users.reads", "read"]),
    ("a*b*c", ["abc", "aXbYc", "abcbc", "abbc"], ["ab", "acb", "abcX"]),
    ("a*ab", ["aab", "aXab", "aabab"], ["ab", "aba"]),
    ("*aa*aa*", ["aaaa", "XaaYaaZ"], ["aaa", "aaXa"]),
    ("user:?", ["user:1", "user:ä"], ["user:", "user:12"]),
    ("?*", ["a", "ab"], [""]),
    ("**", ["", "a"], []),
    (r"a\*b", ["a*b"], ["aXb", r"a\*b"]),
    (r"\?\\", ["?\\"], ["a\\"]),
    ("[a-z]{1}.", ["[a-z]{1}."], ["b1x"]),
]


@pytest.mark.parametrize(("pattern", "matching", "others"), MATCHES)
def test_a_pattern_matches_the_whole_of_a_text(pattern: str, matching: list[str], others: list[str]) -> None:
    compiled = Pattern(pattern)
    assert [text for text in (*matching, *others) if compiled.matches(text)] == matching


def test_a_pattern_matches_what_a_search_without_shortcuts_finds() -> None:
    def matches(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(matches(pattern[1:], text[start:]) for start in range(len(text) + 1))
        return bool(text) and pattern[0] in ("?", text[0]) and matches(pattern[1:], text[1:])

    texts = ["".join(letters) for length in range(6) for letters in itertools.product("ab", repeat=length)]
    for length in range(1, 5):
        for letters in itertools.product("ab*?", repeat=length):
            pattern = "".join(letters)
            compiled = Pattern(pattern)
            assert [compiled.matches(text) for text in texts] == [matches(pattern, text) for text in texts], pattern


def test_no_client_makes_a_pattern_slow() -> None:
    pattern = Pattern("*a" * 30 + "b")
    started = time.monotonic()
    assert not pattern.matches("a" * 20_000)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("pattern", ["", "a\\"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r'^expected a pattern such as "chat:\*", found '):
        App().on_rpc(pattern)(lambda request: None)


ORDER = ["a.b.c", "a.b.?", "a.?.c", "a.b.*", "*.b.?", "a.?*", "a.*", "*.c", "?*", "*"]


@pytest.mark.parametrize("names", [ORDER, ORDER[::-1]])
def test_the_most_specific_pattern_wins(names: list[str]) -> None:
    app = App()
    for name in names:
        app.on_rpc(name)(lambda request, name=name: RpcResult(name))
    client = TestClient(app)
    expected = {
        "a.b.c": "a.b.c",
        "a.b.d": "a.b.?",
        "a.x.c": "a.?.c",
        "a.b.cc": "a.b.*",
        "x.b.c": "*.b.?",
        "a.x": "a.?*",
        "a.": "a.*",
        "x.c": "*.c",
        "x": "?*",
        "": "*",
    }
    for _ in range(2):
        assert {method: client.rpc(method).data for method in expected} == expected


def test_of_two_equally_specific_patterns_the_first_wins() -> None:
    for names in (["a*", "*b"], ["*b", "a*"]):
        app = App()
        for name in names:
            app.on_rpc(name)(lambda request, name=name: RpcResult(name))
        assert TestClient(app).rpc("ab").data == names[0]


SUBJECTS = [event for event in Event if event.subject == "channel"]


@pytest.mark.parametrize("event", SUBJECTS)
def test_every_event_with_a_channel_has_patterns(event: Event) -> None:
    app = App()
    seen: list[str] = []
    decorate: Any = getattr(app, f"on_{event.name.lower()}")
    decorate("chat:*")(lambda request: seen.append(f"pattern {request.channel}"))
    decorate(lambda request: seen.append(f"other {request.channel}"))
    client = TestClient(app)
    for channel in ("chat:1", "news"):
        client._open(event, channel=channel) if event.is_stream else client._send(event, channel=channel)
    assert seen == ["pattern chat:1", "other news"]


def test_events_with_neither_a_method_nor_a_channel_have_no_patterns() -> None:
    app = App()
    for event in (Event.CONNECT, Event.REFRESH, Event.NOTIFY_CHANNEL_STATE):
        with pytest.raises(ValueError, match=rf'^{event.value} has neither a method nor a channel for the pattern "a\*"$'):
            app.on(event, "a*")(lambda request: None)
        app.on(event, "*")(lambda request: None)


def test_a_second_handler_of_a_pattern_is_an_error_that_names_the_first() -> None:
    app = App()
    app.on_subscribe("chat:**")(lambda request: None)
    with pytest.raises(ValueError, match=r'^subscribe "chat:\*" has a handler already: .*test_patterns.py:\d+$'):
        app.on_subscribe("chat:*")(lambda request: None)
    app.on_subscribe(lambda request: None)
    with pytest.raises(ValueError, match=r"^subscribe has a handler already: "):
        app.on_subscribe("*")(lambda request: None)


def test_a_request_that_no_pattern_matches_is_answered_and_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    app = App()
    app.on_subscribe("chat:*")(lambda request: None)
    client = TestClient(app)
    for channel in ("news", "chat:1", "other"):
        assert client.subscribe(channel).ok == (channel == "chat:1")
    assert client.publish("news").error == Error(108, "not available")
    lines = ['no handler for subscribe channel "news" (logged once)', "no handler for publish (logged once)"]
    assert capsys.readouterr().err.splitlines() == lines


def test_the_channels_that_are_remembered_are_bounded() -> None:
    app = App()
    app.on_subscribe("chat:*")(lambda request: None)
    client = TestClient(app)
    for number in range(3000):
        assert client.subscribe(f"chat:{number}").ok
    routes = app._handlers._routes
    assert routes and len(routes[Event.SUBSCRIBE]._found) <= 1024


def test_a_long_channel_is_not_remembered() -> None:
    app = App()
    app.on_subscribe("chat:*")(lambda request: None)
    client = TestClient(app)
    for name in ("chat:" + "x" * 250, "chat:" + "x" * 251):
        assert client.subscribe(name).ok
    routes = app._handlers._routes
    assert routes and [len(name) for name in routes[Event.SUBSCRIBE]._found] == [255]


def test_handlers_that_are_registered_later_are_found() -> None:
    app = App()
    client = TestClient(app)
    app.on_rpc("a*")(lambda request: RpcResult(1))
    assert client.rpc("ab").data == 1
    app.on_rpc("ab")(lambda request: RpcResult(2))
    assert client.rpc("ab").data == 2


def test_decorators_with_patterns_keep_the_types_of_handlers() -> None:
    app = App()

    @app.on_subscribe("chat:*")
    def subscribe(request: causeway.SubscribeRequest) -> causeway.SubscribeResult:
        return causeway.SubscribeResult(data=request.channel)

    result: causeway.SubscribeResult = subscribe(causeway.SubscribeRequest(b"", b""))
    assert result.data == ""
