"""What happens in real time: handlers of Centrifugo's events, with the dependencies of the pages."""

from typing import Annotated

from fastapi import Depends
from main import Orders, api, current_user, orders

from causeway import ConnectRequest, ConnectResult, Error, RpcRequest, RpcResult, SubscribeRequest, SubscribeResult
from causeway.contrib.fastapi import App

app = App(api)


@app.on_connect
async def connect(request: ConnectRequest, user: Annotated[str, Depends(current_user)]) -> ConnectResult:
    """Accept who has a token: Centrifugo forwards the header `Authorization`."""
    return ConnectResult(user=user)


@app.on_subscribe("orders:*")
async def follow(request: SubscribeRequest, orders: Annotated[Orders, Depends(orders)]) -> SubscribeResult:
    """Let users follow their own orders."""
    id = request.channel.removeprefix("orders:")
    if not id.isdecimal():
        raise Error(404, "no such order")
    return SubscribeResult(data=await orders.of_user(int(id), request.user))


@app.on_rpc("orders.list")
async def list_orders(request: RpcRequest, orders: Annotated[Orders, Depends(orders)]) -> RpcResult:
    """List the user's orders."""
    return RpcResult(data=await orders.list(request.user))


if __name__ == "__main__":
    app.run()
