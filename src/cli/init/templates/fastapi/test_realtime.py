"""The handlers, without a server: pytest."""

import asyncio

from causeway import Error
from causeway.testing import AsyncTestClient, TestRpc

from realtime import app


def test_the_chat() -> None:
    """A user connects, joins the only channel, and says something to everyone in it."""

    async def main() -> None:
        async with AsyncTestClient(app) as client:
            assert (await client.connect({"user": "ann"})).data == {"user": "ann"}
            assert (await client.rpc("hello")).data == {"hello": "ann"}
            assert (await client.subscribe("chat")).ok
            assert (await client.subscribe("other")).error == Error(403, "permission denied")
            with TestRpc() as rpc:
                assert (await client.rpc("say", {"text": "hi"})).data == "said"
                refused = (await client.rpc("say", {"text": ""})).error
            assert refused is not None and refused.code == 107
            assert rpc.published("chat") == [{"from": "ann", "text": "hi"}]

    asyncio.run(main())
