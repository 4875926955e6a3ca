"""A small chat: one function for each event. `causeway serve` starts this file as its workers."""

from causeway import ConnectRequest, ConnectResult, Error, RpcRequest, RpcResult, SubscribeRequest
from causeway.contrib.fastapi import App
from pydantic import BaseModel, Field

from main import api, rpc

app = App(api, codec="json")


class Message(BaseModel):
    """What a client says."""

    text: str = Field(min_length=1, max_length=500)


@app.on_connect
async def connect(request: ConnectRequest) -> ConnectResult:
    """Accept everyone under the name that the client sends. Depend on a cookie or a token here, as in an endpoint."""
    data = request.json if isinstance(request.json, dict) else {}
    user = str(data.get("user") or "guest")
    return ConnectResult(user=user, data={"user": user})


@app.on_subscribe
async def join(request: SubscribeRequest) -> None:
    """Let users into the only channel."""
    if request.channel != "chat":
        raise Error(403, "permission denied")


@app.on_rpc("hello")
async def hello(request: RpcRequest) -> RpcResult:
    """Greet the user."""
    return RpcResult(data={"hello": request.user})


@app.on_rpc("say")
async def say(request: RpcRequest, message: Message) -> RpcResult:
    """Publish a message to everyone in the chat. A message without text is error 107."""
    data = {"from": request.user, "text": message.text}
    await rpc.call("centrifuge.Publish", {"channel": "chat", "data": data})
    return RpcResult(data="said")


if __name__ == "__main__":
    app.run()
