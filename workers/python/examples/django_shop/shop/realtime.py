"""What happens in real time: handlers of Centrifugo's events, with Django's models and users."""

from django.contrib.auth.models import AbstractUser

from causeway import ConnectRequest, ConnectResult, Error, RpcRequest, RpcResult, SubscribeRequest, SubscribeResult
from causeway.contrib.django import App

from .models import Order

app = App()


@app.on_connect
def connect(request: ConnectRequest, user: AbstractUser) -> ConnectResult:
    """Accept who is logged in: Centrifugo forwards the cookie of the session."""
    return ConnectResult(user=str(user.pk), data={"name": user.get_username()})


@app.on_subscribe("orders:*")
def follow(request: SubscribeRequest, user: AbstractUser) -> SubscribeResult:
    """Let users follow their own orders. An order that does not exist is error 404."""
    order = Order.objects.get(pk=number(request.channel.removeprefix("orders:")))
    if order.user != user:
        raise Error(403, "permission denied")
    return SubscribeResult(data={"state": order.state})


@app.on_rpc("orders.list")
async def orders(request: RpcRequest, user: AbstractUser) -> RpcResult:
    """List the user's orders, with Django's asynchronous queries."""
    return RpcResult(data=[{"id": order.pk, "state": order.state} async for order in Order.objects.filter(user=user)])


@app.on_rpc("orders.cancel")
def cancel(request: RpcRequest, user: AbstractUser) -> RpcResult:
    """Cancel an order."""
    changed = Order.objects.filter(pk=number(request.json), user=user, state="paid").update(state="cancelled")
    return RpcResult(data={"cancelled": bool(changed)})


def number(sent: object) -> int:
    """Return the number of an order, which a client may have made up."""
    text = str(sent)
    if not text.isdecimal() or len(text) > 18:
        raise Error(404, "not found")
    return int(text)
