"""A chat that waits for other services: one process serves many requests at a time."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Union

# In a clone of the repository, the package is beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import causeway
from causeway import Disconnect, Error, Publication, SubscribeResult

app = causeway.App()


@app.on_connect
async def connect(request: causeway.ConnectRequest) -> causeway.ConnectResult:
    """Accept all clients that do not ask to be denied."""
    data = request.json if isinstance(request.json, dict) else {}
    if data.get("deny") is True:
        raise Disconnect(4001, "denied")
    return causeway.ConnectResult(user=str(data.get("user", "guest")), data={"hello": "world"})


@app.on_subscribe
async def subscribe(request: causeway.SubscribeRequest) -> SubscribeResult:
    """Keep private channels private."""
    if request.channel.startswith("private"):
        raise Error(403, "permission denied")
    return SubscribeResult()


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


@app.on_rpc("*")
async def unknown(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Answer all other calls."""
    raise Error(404, "no such method")


if __name__ == "__main__":
    app.run(concurrency=64)
