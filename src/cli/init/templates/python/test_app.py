"""The handlers, without a server: pytest."""

from causeway import Error
from causeway.testing import TestClient, TestRpc

from app import app


def test_a_user_connects_and_is_greeted() -> None:
    """The name comes from the client."""
    client = TestClient(app)
    assert client.connect({"user": "ann"}).data == {"user": "ann"}
    assert client.rpc("hello").data == {"hello": "ann"}
    assert client.connect().data == {"user": "guest"}


def test_there_is_one_channel() -> None:
    """Others are refused."""
    client = TestClient(app, user="ann")
    assert client.subscribe("chat").ok
    assert client.subscribe("other").error == Error(403, "permission denied")


def test_a_message_is_published() -> None:
    """It goes to everyone in the chat."""
    client = TestClient(app, user="ann")
    with TestRpc() as rpc:
        assert client.rpc("say", {"text": "hi"}).data == "said"
        assert client.rpc("say", {"text": " "}).error == Error(400, "text is missing")
    assert rpc.published("chat") == [{"from": "ann", "text": "hi"}]
