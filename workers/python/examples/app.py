"""Answers every event of a small chat; the PHP example answers the same."""

import sys
import time
from pathlib import Path

# From a plain clone, the package stands beside this file.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import causeway
from causeway import Disconnect, Error

app = causeway.App()


@app.connect
def connect(request: causeway.ConnectRequest) -> causeway.ConnectResult:
    """Let everybody in but those who say deny."""
    data = request.json or {}
    if data.get("deny"):
        raise Disconnect(4001, "denied")
    user = str(data.get("user", "guest"))
    return causeway.ConnectResult(user=user, data={"hello": user}, channels=["news"])


@app.refresh
def refresh(request: causeway.RefreshRequest) -> causeway.RefreshResult:
    """Prolong every connection by a minute."""
    return causeway.RefreshResult(expire_at=int(time.time()) + 60)


@app.subscribe
def subscribe(request: causeway.SubscribeRequest) -> causeway.SubscribeResult:
    """Keep private channels private."""
    if request.channel.startswith("private"):
        raise Error(403, "permission denied")
    return causeway.SubscribeResult()


@app.publish
def publish(request: causeway.PublishRequest) -> causeway.PublishResult:
    """Pass publications on, but not into the channel that is only read."""
    if request.channel == "readonly":
        raise Error(403, "permission denied")
    return causeway.PublishResult(data=request.data)


@app.sub_refresh
def sub_refresh(request: causeway.SubRefreshRequest) -> causeway.SubRefreshResult:
    """Prolong every subscription by a minute."""
    return causeway.SubRefreshResult(expire_at=int(time.time()) + 60)


@app.rpc("echo")
def echo(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Give back what was sent."""
    return causeway.RpcResult(data=request.data)


@app.rpc("sum")
def add(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Add two numbers."""
    return causeway.RpcResult(data={"sum": request.json["a"] + request.json["b"]})


@app.rpc("whoami")
def whoami(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Tell callers who they are."""
    return causeway.RpcResult(data={"user": request.user})


@app.rpc("announce")
def announce(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Publish to everybody, over rpc.listen of .rr.yaml, which the variable RR_RPC tells of."""
    published = causeway.Centrifugo().publish("news", {"from": request.user, "text": request.json})
    return causeway.RpcResult(data={"offset": published.offset})


@app.rpc("fail")
def fail(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Answer with an error."""
    raise Error(1000, "as you wished")


@app.rpc("kick")
def kick(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Disconnect the caller."""
    raise Disconnect(4000, "bye")


@app.rpc()
def unknown(request: causeway.RpcRequest) -> causeway.RpcResult:
    """Answer all other calls."""
    raise Error(404, "no such method")


if __name__ == "__main__":
    app.run()
