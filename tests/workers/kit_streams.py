"""The Python package with both kinds of streams: the channels of one are counted by their handler, those of the other are the server's. Notes
every event of a stream in the file `notes`. Handles one request at a time, unless it has the argument `many`.
"""

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workers/python/src"))

import causeway
from causeway import Publication, SubscribeResult

app = causeway.App()
is_many = sys.argv[1:] == ["many"]
rpc = causeway.AsyncRpc() if is_many else causeway.Rpc()


def note(request, **more):
    with open("notes", "a") as file:
        file.write(json.dumps({"type": request.header("type"), "channel": request.channel, **more}) + "\n")


def react(request):
    """What is to be done about a client's message: the method of `rpc.stream`, and its arguments."""
    note(request, data=request.json)
    if request.json == "restart":
        return None
    if request.json == "bye":
        return rpc.stream.close, [request.stream]
    return rpc.stream.publish, [request.stream, {"echo": request.json}]


if is_many:

    @app.on_subscribe_unidirectional
    async def count(request):
        note(request)
        yield SubscribeResult()
        for number in itertools.count():
            yield Publication({"n": number})
            await asyncio.sleep(0.05)

    @app.on_stream_publish
    async def echo(request):
        reaction = react(request)
        if reaction:
            await reaction[0](*reaction[1])

else:

    @app.on_subscribe_unidirectional
    def count(request):
        note(request)
        yield SubscribeResult()
        for number in itertools.count():
            yield Publication({"n": number})
            time.sleep(0.05)

    @app.on_stream_publish
    def echo(request):
        reaction = react(request)
        if reaction:
            reaction[0](*reaction[1])


@app.on_subscribe_bidirectional
def join(request):
    note(request)
    return SubscribeResult(data={"stream": request.stream})


@app.on_stream_end
def leave(request):
    note(request, reason=request.header("reason"))


app.run(**({"concurrency": 64} if is_many else {}))
