"""The handlers, without a server: pytest."""

import asyncio

from realtime import app

from causeway import Error
from causeway.testing import AsyncTestClient


def test_users_follow_their_own_orders() -> None:
    """A token tells who connects; other users' orders are not there."""

    async def main() -> None:
        async with AsyncTestClient(app) as client:
            assert (await client.connect()).error == Error(401, "Not authenticated")
            answer = await client.connect(headers={"Authorization": "Bearer ann"})
            assert answer.result and answer.result.user == "ann"
            assert (await client.subscribe("orders:7")).data == {"id": 7, "user": "ann", "state": "paid"}
            for channel in ("orders:8", "orders:x"):
                assert (await client.subscribe(channel)).error == Error(404, "no such order")
            assert (await client.rpc("orders.list")).data == [{"id": 7, "user": "ann", "state": "paid"}]

    asyncio.run(main())
