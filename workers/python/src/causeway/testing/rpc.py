"""Calls to Centrifugo and to the server, which no server gets."""

from __future__ import annotations

import json
from typing import Any, Optional
from unittest.mock import patch

from ..encoding import to_bytes
from ..frame import JSON, PROTO
from ..rpc.aio.client import Client as AsyncClient
from ..rpc.client import Client
from .decoding import fields_of

_CENTRIFUGO = "centrifuge."


class TestRpc:
    """In a ``with`` block, takes the calls of every ``Rpc`` and ``AsyncRpc``, and returns what the test says.

    ::

        with TestRpc() as rpc:
            client.rpc("announce", "hello")
        assert rpc.published("news") == ["hello"]
    """

    __test__ = False

    def __init__(self) -> None:
        self._calls: list[tuple[str, Any]] = []
        self._results: dict[str, Any] = {}
        self._patches: list[Any] = []

    def __enter__(self) -> TestRpc:
        def call(client: Any, method: str, argument: bytes, codec: int, timeout: Optional[float] = None) -> bytes:
            return self._call(method, argument, codec)

        async def call_async(client: Any, method: str, argument: bytes, codec: int, timeout: Optional[float] = None) -> bytes:
            return self._call(method, argument, codec)

        self._patches = [patch.object(Client, "call_bytes", call), patch.object(AsyncClient, "call_bytes", call_async)]
        for patched in self._patches:
            patched.start()
        return self

    def __exit__(self, *_: object) -> None:
        for patched in self._patches:
            patched.stop()

    def returns(self, method: str, result: Any) -> TestRpc:
        """Return this result from all calls of a method, such as ``lock.Lock`` or ``centrifuge.PresenceStats``.

        It is what the server returns: ``{"result": {"num_users": 7}}`` or a message of ``causeway.api`` for a method of
        Centrifugo, a value that JSON can represent for another; or an exception, which is raised. Without one, results are empty.
        """
        self._results[method] = result
        return self

    def calls(self, method: str) -> list[Any]:
        """Return the arguments of the calls of a method, in order; those of Centrifugo's are the fields that are set."""
        return [argument for called, argument in self._calls if called == method]

    def published(self, target: str) -> list[Any]:
        """Return the data that were published to a channel or to a stream, in order, also by broadcasts."""
        data = []
        for method, argument in self._calls:
            if method == "centrifuge.Publish":
                targets = [argument.get("channel")]
            elif method == "centrifuge.Broadcast":
                targets = argument.get("channels", [])
            else:
                targets = [argument.get("id")] if method == "stream.Publish" else []
            if target in targets:
                data.append((argument.get("publication") or argument).get("data"))
        return data

    def _call(self, method: str, argument: bytes, codec: int) -> bytes:
        self._calls.append((method, _decoded(method, argument, codec)))
        result = self._results.get(method)
        if isinstance(result, (BaseException, type)):
            raise result
        if result is None:
            return b"{}" if codec == JSON else b""
        if method.startswith(_CENTRIFUGO) and isinstance(result, dict):
            result = _kind(method, "Response")(**result)
        serialize = getattr(result, "SerializeToString", None)
        encoded: bytes = to_bytes(result) if serialize is None else serialize()
        return encoded


def _decoded(method: str, argument: bytes, codec: int) -> Any:
    if codec == JSON:
        return json.loads(argument)
    if codec != PROTO:
        return argument
    if method.startswith(_CENTRIFUGO):
        return fields_of(_kind(method, "Request").FromString(argument))
    from .._proto import rpc_pb2

    return fields_of(rpc_pb2.StreamPublishRequest.FromString(argument)) if method == "stream.Publish" else argument


def _kind(method: str, suffix: str) -> Any:
    from .._proto import api_pb2

    return getattr(api_pb2, method[len(_CENTRIFUGO) :] + suffix)
