"""A small chat: one function for each event. `causeway serve` starts this file as its workers."""

import causeway
from causeway import ConnectRequest, ConnectResult, Error, RpcRequest, RpcResult, SubscribeRequest

app = causeway.App(codec="json")
rpc = causeway.Rpc()


@app.on_connect
def connect(request: ConnectRequest) -> ConnectResult:
    """Accept everyone under the name that the client sends. Check a cookie or a token here."""
    data = request.json if isinstance(request.json, dict) else {}
    user = str(data.get("user") or "guest")
    return ConnectResult(user=user, data={"user": user})


@app.on_subscribe
def join(request: SubscribeRequest) -> None:
    """Let users into the only channel."""
    if request.channel != "chat":
        raise Error(403, "permission denied")


@app.on_rpc("hello")
def hello(request: RpcRequest) -> RpcResult:
    """Greet the user."""
    return RpcResult(data={"hello": request.user})


@app.on_rpc("say")
def say(request: RpcRequest) -> RpcResult:
    """Publish a message to everyone in the chat."""
    data = request.json if isinstance(request.json, dict) else {}
    text = data.get("text")
    if not isinstance(text, str) or not text.strip():
        raise Error(400, "text is missing")
    rpc.call("centrifuge.Publish", {"channel": "chat", "data": {"from": request.user, "text": text}})
    return RpcResult(data="said")


if __name__ == "__main__":
    app.run()
