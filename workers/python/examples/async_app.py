"""The chat of app.py, with many requests at a time in one process, and streams."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Union

# In a clone of the repository, the package is beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import causeway
from causeway import Disconnect, Error, Publication, SubscribeResult

app = causeway.App()

# Connects with the first call, to rpc.listen of .rr.yaml, which is in the environment variable RR_RPC.
rpc = causeway.AsyncRpc()


@app.on_connect
async def connect(request: causeway.ConnectRequest) -> causeway.ConnectResult:
    """Accept all clients that do not ask to be denied."""
    data = request.json if isinstance(request.json, dict) else {}
    if data.get("deny") is True:
        raise Disconnect(4001, "denied")
    user = data.get("user")
    user = user if isinstance(user, str) else "guest"
    return causeway.ConnectResult(user=user, data={"hello": user}, channels=["news"])


@app.on_refresh
async def refresh(request: causeway.RefreshRequest) -> causeway.RefreshResult:
    """Extend every connection by a minute."""
    return causeway.RefreshResult(expire_at=int(time.time()) + 60)


@app.on_subscribe
async def subscribe(request: causeway.SubscribeRequest) -> SubscribeResult:
    """Keep private channels private."""
    if request.channel.startswith("private"):
        raise Error(403, "permission denied")
    return SubscribeResult()


@app.on_publish
async def publish(request: causeway.PublishRequest) -> causeway.PublishResult:
    """Let publications pass, except to the read-only channel."""
    if request.channel == "readonly":
        raise Error(403, "permission denied")
    return causeway.PublishResult(data=request.data)


@app.on_sub_refresh
async def sub_refresh(request: causeway.SubRefreshRequest) -> causeway.SubRefreshResult:
    """Extend every subscription by a minute."""
    return causeway.SubRefreshResult(expire_at=int(time.time()) + 60)


@app.on_subscribe_unidirectional
async def clock(request: causeway.SubscribeStreamRequest) -> AsyncIterator[Union[SubscribeResult, Publication]]:
    """Send the time until the client leaves."""
    yield SubscribeResult(data={"channel": request.channel})
    while True:
        yield Publication({"time": int(time.time())})
        await asyncio.sleep(1)


@app.on_subscribe_bidirectional
async def mirror(request: causeway.SubscribeStreamRequest) -> AsyncIterator[Union[SubscribeResult, Publication]]:
    """Return what the client publishes, until it leaves."""
    yield SubscribeResult(data={"channel": request.channel})
    async for message in request.messages:
        yield Publication({"echo": message.json})


@app.on_rpc("echo")
async def echo(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Return what the client sent."""
    return causeway.RpcResult(data=request.data)


@app.on_rpc("wait")
async def wait(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Do what most handlers do most of the time: wait for something else, here for the milliseconds that the client names."""
    await asyncio.sleep(float(request.json or 0) / 1000)
    return causeway.RpcResult(data="waited")


@app.on_rpc("sum")
def add(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Add two numbers, on a thread: as slowly as you like."""
    data = request.json if isinstance(request.json, dict) else {}
    numbers: list[Any] = [data.get("a"), data.get("b")]
    if any(type(number) not in (int, float) for number in numbers):
        raise Error(400, "a and b must be numbers")
    return causeway.RpcResult(data={"sum": sum(numbers)})


@app.on_rpc("whoami")
async def whoami(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Return the user's id."""
    return causeway.RpcResult(data={"user": request.user})


@app.on_rpc("announce")
async def announce(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Publish to all subscribers of a channel."""
    published = await rpc.centrifugo.publish("news", {"from": request.user, "text": request.json})
    return causeway.RpcResult(data={"offset": published.offset})


@app.on_rpc("fail")
async def fail(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Answer with an error."""
    raise Error(1000, "as you wished")


@app.on_rpc("kick")
async def kick(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Disconnect the client."""
    raise Disconnect(4000, "bye")


@app.on_rpc("*")
async def unknown(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Answer all other calls."""
    raise Error(404, "no such method")


if __name__ == "__main__":
    app.run(concurrency=64)
