"""A browser's part: connects to Centrifugo's WebSocket, plays one scenario, and prints what it saw as JSON.

Usage: client.py PORT chat | deadlines CLIENTS CALLS | both_ways json|binary | streams ONE_WAY BOTH_WAYS | kit COUNTED TALK | project
"""

import asyncio
import base64
import json
import sys
import time

import centrifuge
import websockets


class Events(centrifuge.ClientEventHandler):
    """Remembers what Centrifugo pushes."""

    def __init__(self):
        self.connected = asyncio.get_running_loop().create_future()
        self.disconnected = asyncio.get_running_loop().create_future()
        self.publications = asyncio.Queue()

    async def on_connected(self, ctx):
        if not self.connected.done():
            self.connected.set_result(ctx.data)

    async def on_disconnected(self, ctx):
        self.has_ended(ctx)

    async def on_connecting(self, ctx):
        # Codes below 4500 let a client try again; the application's own begin at 4000.
        if ctx.code >= 4000:
            self.has_ended(ctx)

    def has_ended(self, ctx):
        if not self.disconnected.done():
            self.disconnected.set_result({"code": ctx.code, "reason": ctx.reason})

    async def on_publication(self, ctx):
        self.publications.put_nowait({"channel": ctx.channel, "data": ctx.pub.data})


class Subscription(centrifuge.SubscriptionEventHandler):
    """Remembers what is published to one channel, or why it may not be read."""

    def __init__(self):
        self.state = asyncio.get_running_loop().create_future()
        self.publications = asyncio.Queue()

    async def on_subscribed(self, ctx):
        if not self.state.done():
            self.state.set_result("subscribed")

    async def on_unsubscribed(self, ctx):
        if not self.state.done():
            self.state.set_result(ctx.code)

    async def on_error(self, ctx):
        if not self.state.done():
            self.state.set_result(ctx.code)

    async def on_publication(self, ctx):
        self.publications.put_nowait(ctx.pub.data)


def client(address, data, events):
    return centrifuge.Client(
        f"ws://{address}/connection/websocket", events=events, data=data, timeout=10, proxy=None
    )


async def outcome(call):
    """The data of a reply, or the code and message of its error."""
    try:
        reply = await call
        return getattr(reply, "data", None)
    except centrifuge.ReplyError as error:
        return {"code": error.code, "message": error.message}


async def close_code(address, data):
    """With which code and reason a connection is refused; the client library keeps that to itself and tries again."""
    async with websockets.connect(f"ws://{address}/connection/websocket", proxy=None) as socket:
        await socket.send(json.dumps({"id": 1, "connect": {"data": data}}))
        await socket.wait_closed()
        return {"code": socket.close_code, "reason": socket.close_reason}


async def chat(address):
    seen = {}
    seen["denied"] = await asyncio.wait_for(close_code(address, {"deny": True}), 10)

    events = Events()
    ann = client(address, {"user": "ann"}, events)
    await ann.connect()
    seen["connect"] = await asyncio.wait_for(events.connected, 10)
    for method, data in [("sum", {"a": 1, "b": 2}), ("whoami", None), ("fail", None), ("echo", ["ä", 1.5])]:
        seen[method] = await outcome(ann.rpc(method, data))

    for channel in ["room", "private:1"]:
        handler = Subscription()
        subscription = ann.new_subscription(channel, handler)
        await subscription.subscribe()
        seen[channel] = await asyncio.wait_for(handler.state, 10)
        if seen[channel] == "subscribed":
            await subscription.publish({"text": "hello"})
            seen["publication"] = await asyncio.wait_for(handler.publications.get(), 10)
    seen["readonly"] = await outcome(ann.publish("readonly", 1))

    # A worker publishes in turn, over RPC and Centrifugo's API.
    await ann.rpc("announce", "to all")
    seen["announced"] = await asyncio.wait_for(events.publications.get(), 10)

    kicked = asyncio.ensure_future(outcome(ann.rpc("kick", None)))
    seen["kicked"] = await asyncio.wait_for(events.disconnected, 10)
    kicked.cancel()
    return seen


async def deadlines(address, clients, calls):
    """Many calls at once that no worker answers before Centrifugo's deadline, and then one that is answered."""
    connected = []
    for number in range(clients):
        events = Events()
        one = client(address, {"user": str(number)}, events)
        await one.connect()
        await asyncio.wait_for(events.connected, 10)
        connected.append(one)
    lost = [outcome(one.rpc("hang", None, 30)) for one in connected for _ in range(calls)]
    ends = {}
    for end in await asyncio.gather(*lost):
        code = str(end.get("code") if isinstance(end, dict) else end)
        ends[code] = ends.get(code, 0) + 1
    # Workers that hang are given up after a second, and none is free before.
    after, deadline = None, time.monotonic() + 10
    while after != "here" and time.monotonic() < deadline:
        after = await outcome(connected[0].rpc("echo", "here"))
    return {"ends": ends, "after": after}


def remembers(name):
    async def remember(self, ctx):
        # Those of the client itself, which come before and after, have small codes.
        if getattr(ctx, "code", 1000) >= 100 and not self.event(name).done():
            self.event(name).set_result(ctx)

    return remember


class Record(centrifuge.ClientEventHandler, centrifuge.SubscriptionEventHandler):
    """Remembers the first of each kind of event, of a client or of a subscription."""

    def __init__(self):
        self.events = {}

    def event(self, name):
        return self.events.setdefault(name, asyncio.get_running_loop().create_future())

    async def first(self, name):
        return await asyncio.wait_for(asyncio.shield(self.event(name)), 20)

    on_connected = remembers("connected")
    on_connecting = remembers("connecting")
    on_disconnected = remembers("disconnected")
    on_subscribed = remembers("subscribed")
    on_subscribing = remembers("subscribing")
    on_unsubscribed = remembers("unsubscribed")
    on_publication = remembers("publication")


def shown(data):
    """Data as JSON: what is binary is base64."""
    return {"base64": base64.b64encode(data).decode()} if isinstance(data, bytes) else data


async def both_ways(address, kind):
    """Every event once, by a client that sends JSON or binary data: what it sees depends on the answers alone."""
    is_binary = kind == "binary"
    data = b"\x00\xff\x80data" if is_binary else {"text": "ä\u2028<&>\"\\", "numbers": [1, -2.5e3, 9007199254740993], "none": None}

    async def connect(name):
        record = Record()
        url = f"ws://{address}/connection/websocket"
        options = {"use_protobuf": is_binary, "version": "1.0", "timeout": 10, "proxy": None}
        one = centrifuge.Client(url, events=record, name=name, data=data, **options)
        await one.connect()
        return one, record

    one, record = await connect("test")
    seen = {"connect": shown((await record.first("connected")).data)}
    for method in ["result", "absent", "null", "empty", "odd", "error", "broken", "wrong"]:
        seen[method] = shown(await outcome(one.rpc(method, data)))

    denied = Record()
    await one.new_subscription("denied", denied).subscribe()
    error = await denied.first("unsubscribed")
    seen["denied"] = {"code": error.code, "reason": error.reason}
    room = Record()
    subscription = one.new_subscription("room", room, data=data)
    await subscription.subscribe()
    seen["room"] = shown((await room.first("subscribed")).data)
    await subscription.publish(data)
    publication = (await room.first("publication")).pub
    seen["publication"] = {
        "data": shown(publication.data),
        "tags": publication.tags,
        "info": shown(publication.info.chan_info),
        "user": [publication.info.user, shown(publication.info.conn_info)],
    }
    seen["readonly"] = shown(await outcome(one.publish("readonly", data)))

    # The answers to refreshes say that subscription and connection have expired.
    expiring = Record()
    await one.new_subscription("expiring", expiring).subscribe()
    other, refreshed = await connect("expiring")
    for name, end in [("subscription", expiring.first("subscribing")), ("connection", refreshed.first("connecting"))]:
        end = await end
        seen[name] = {"code": end.code, "reason": end.reason}
    await other.disconnect()

    lost = asyncio.ensure_future(outcome(one.rpc("kick", data)))
    end = await record.first("disconnected")
    seen["kick"] = {"code": end.code, "reason": end.reason}
    lost.cancel()
    return seen


class Stream(centrifuge.SubscriptionEventHandler):
    """Remembers everything that happens to one subscription, in order."""

    def __init__(self):
        self.events = asyncio.Queue()

    async def next(self):
        return await asyncio.wait_for(self.events.get(), 60)

    async def on_subscribing(self, ctx):
        self.events.put_nowait({"subscribing": ctx.code})

    async def on_subscribed(self, ctx):
        self.events.put_nowait("subscribed")

    async def on_unsubscribed(self, ctx):
        self.events.put_nowait({"unsubscribed": ctx.code})

    async def on_publication(self, ctx):
        self.events.put_nowait({"data": ctx.pub.data})


async def streams(address, one_way, both_ways):
    """Subscribes to two channels that are streams; the application publishes to them and ends them."""
    events = Events()
    one = client(address, None, events)
    await one.connect()
    await asyncio.wait_for(events.connected, 10)
    seen = {}
    handler = Stream()
    subscription = one.new_subscription(one_way, handler)
    await subscription.subscribe()
    # Subscribing, subscribed, a publication.
    seen["one_way"] = [await handler.next() for _ in range(3)]
    await subscription.unsubscribe()
    seen["one_way"].append(await handler.next())

    handler = Stream()
    subscription = one.new_subscription(both_ways, handler)
    await subscription.subscribe()
    seen["both_ways"] = [await handler.next() for _ in range(3)]
    await subscription.publish({"from": "the client"})
    # The bridge is started again: subscribing, subscribed, a publication; then the application ends the stream.
    seen["both_ways"] += [await handler.next() for _ in range(4)]
    return seen


class Count(Stream):
    """The same for a stream that counts: of each time, the first two numbers."""

    async def on_publication(self, ctx):
        if ctx.pub.data["n"] < 2:
            await super().on_publication(ctx)


async def kit(address, counted, talk):
    """Subscribes to a channel whose messages come from a handler, and to one whose client's publications are echoed; and has the
    application start again meanwhile."""
    events = Events()
    one = client(address, None, events)
    await one.connect()
    await asyncio.wait_for(events.connected, 10)
    count, echo = Count(), Stream()
    counting, talking = one.new_subscription(counted, count), one.new_subscription(talk, echo)
    await counting.subscribe()
    await talking.subscribe()
    seen = {"counted": [], "talk": []}

    async def see(times):
        seen["counted"] += [await count.next() for _ in range(times[0])]
        seen["talk"] += [await echo.next() for _ in range(times[1])]

    # Subscribing, subscribed, two numbers.
    await see([4, 2])
    await talking.publish({"from": "the client"})
    await see([0, 1])
    await talking.publish("restart")
    await see([4, 2])
    await talking.publish(["again"])
    await see([0, 1])
    await talking.publish("bye")
    await counting.unsubscribe()
    await see([1, 1])
    return seen


async def project(address):
    """The chat that `causeway init` writes."""
    events = Events()
    ann = client(address, {"user": "ann"}, events)
    await ann.connect()
    seen = {"connect": await asyncio.wait_for(events.connected, 10), "hello": await outcome(ann.rpc("hello", None))}
    chat, other = Subscription(), Subscription()
    for channel, handler in [("chat", chat), ("other", other)]:
        await ann.new_subscription(channel, handler).subscribe()
        seen[channel] = await asyncio.wait_for(handler.state, 10)
    seen["say"] = await outcome(ann.rpc("say", {"text": "hi"}))
    seen["publication"] = await asyncio.wait_for(chat.publications.get(), 10)
    return seen


async def main():
    address, scenario, *numbers = sys.argv[1:]
    if scenario == "chat":
        seen = await chat(address)
    elif scenario == "streams":
        seen = await streams(address, *numbers)
    elif scenario == "project":
        seen = await project(address)
    elif scenario == "kit":
        seen = await kit(address, *numbers)
    elif scenario == "both_ways":
        seen = await both_ways(address, *numbers)
    else:
        seen = await deadlines(address, *map(int, numbers))
    print(json.dumps(seen), flush=True)


asyncio.run(main())
