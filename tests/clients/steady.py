"""Clients of several Centrifugos, each of which calls without a pause until standard input ends. Prints how the calls ended, as JSON.

Usage: steady.py METHOD CLIENTS ADDRESS... (clients of each address)
"""

import asyncio
import json
import sys

import centrifuge


class Connected(centrifuge.ClientEventHandler):
    def __init__(self):
        self.connected = asyncio.get_running_loop().create_future()

    async def on_connected(self, _ctx):
        if not self.connected.done():
            self.connected.set_result(None)


async def calls(method, address, name, ended):
    """The names of calls that were answered, and the errors of others."""
    events = Connected()
    url = f"ws://{address}/connection/websocket"
    client = centrifuge.Client(url, events=events, timeout=30, proxy=None)
    await client.connect()
    await asyncio.wait_for(events.connected, 30)
    answered, failed, number = [], {}, 0
    while not ended.is_set():
        call, number = f"{name}.{number}", number + 1
        try:
            reply = await client.rpc(method, call, 30)
            if reply.data == call:
                answered.append(call)
            else:
                failed[call] = f"answered with {reply.data!r}"
        except Exception as error:
            failed[call] = repr(error)
    await client.disconnect()
    return answered, failed


async def main():
    method, clients, *addresses = sys.argv[1:]
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: ended.set())
    names = [(address, f"{node}.{client}") for node, address in enumerate(addresses) for client in range(int(clients))]
    done = await asyncio.gather(*(calls(method, address, name, ended) for address, name in names))
    answered = [call for some, _ in done for call in some]
    failed = {call: error for _, some in done for call, error in some.items()}
    print(json.dumps({"answered": answered, "failed": failed}), flush=True)


asyncio.run(main())
