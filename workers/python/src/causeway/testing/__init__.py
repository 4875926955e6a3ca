"""Calls the handlers of an application without a server.

::

    client = TestClient(app)
    answer = client.connect({"name": "Ann"})
    assert answer.result == ConnectResult(user="42")
    assert client.rpc("orders.cancel", {"id": 7}).error == Error(403, "permission denied")

Events are encoded and decoded as on the way to a worker and back, so that what cannot be sent fails here, too.
"""

from .answers import Answer, AsyncStream, Stream
from .clients import AsyncTestClient, TestClient
from .rpc import TestRpc

__all__ = ["Answer", "AsyncStream", "AsyncTestClient", "Stream", "TestClient", "TestRpc"]
