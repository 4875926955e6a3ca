"""The handlers, without a server: python3 manage.py test."""

from causeway import Error
from causeway.testing import TestClient, TestRpc
from django.test import SimpleTestCase

from .realtime import app


class RealtimeTest(SimpleTestCase):
    """A user and the chat. Tests of handlers that use models are a TestCase."""

    # Around each handler, connections to databases that are too old are closed.
    databases = "__all__"

    def test_a_user_connects_and_is_greeted(self) -> None:
        """The name comes from the client."""
        client = TestClient(app)
        self.assertEqual(client.connect({"user": "ann"}).data, {"user": "ann"})
        self.assertEqual(client.rpc("hello").data, {"hello": "ann"})

    def test_there_is_one_channel(self) -> None:
        """Others are refused."""
        client = TestClient(app, user="ann")
        self.assertTrue(client.subscribe("chat").ok)
        self.assertEqual(client.subscribe("other").error, Error(403, "permission denied"))

    def test_a_message_is_published(self) -> None:
        """It goes to everyone in the chat."""
        client = TestClient(app, user="ann")
        with TestRpc() as rpc:
            self.assertEqual(client.rpc("say", {"text": "hi"}).data, "said")
            self.assertEqual(client.rpc("say", {"text": " "}).error, Error(400, "text is missing"))
        self.assertEqual(rpc.published("chat"), [{"from": "ann", "text": "hi"}])
