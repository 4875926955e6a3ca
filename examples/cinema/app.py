"""The pool of Python: lets people in and counts down to the film, with many requests at a time in each process."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Union

# In a clone of the repository, the package is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workers/python/src"))

import causeway
from causeway import Disconnect, Error, Publication, SubscribeResult

import tokens
from screening import CHANNEL, Screening, Tick

rpc = causeway.AsyncRpc()


class Clock:
    """Ticks once a second, for all countdowns of this process."""

    def __init__(self) -> None:
        self._screening = Screening()
        self._next: asyncio.Future[Tick] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """End the holds whose time is over, publish that, and tick."""
        while True:
            try:
                tick = await asyncio.to_thread(self._screening.tick)
                self._next.set_result(tick)
                self._next = asyncio.get_running_loop().create_future()
                for seat in tick.freed:
                    await rpc.centrifugo.publish(CHANNEL, seat)
            except Exception as error:  # the database is locked, or Centrifugo is not there; the next tick may succeed
                print(f"a tick has failed: {error!r}", file=sys.stderr)
            await asyncio.sleep(1)

    async def next(self) -> Tick:
        """Wait for the next tick."""
        return await asyncio.shield(self._next)


@contextlib.asynccontextmanager
async def lifespan(app: causeway.App) -> AsyncIterator[None]:
    """Run the clock."""
    global clock
    clock = Clock()
    running = asyncio.create_task(clock.run())
    yield
    running.cancel()


app = causeway.App(lifespan=lifespan)
clock: Clock


@app.on_connect
async def connect(request: causeway.ConnectRequest) -> causeway.ConnectResult:
    """Let those in who have logged in on the website."""
    data = request.json
    try:
        user, name = tokens.verify(data["token"])
    except (KeyError, TypeError, ValueError) as error:
        raise Disconnect(4501, "log in first") from error
    # The name is shown to the others in presence, and PHP gets it with every RPC.
    return causeway.ConnectResult(user=user, info={"name": name}, meta={"name": name}, data={"worker": os.getpid()})


@app.on_subscribe(CHANNEL)
async def join(request: causeway.SubscribeRequest) -> SubscribeResult:
    """Send each change of a seat; to pages, which ask for it, also who comes and leaves."""
    is_page = request.json == {"people": True}
    return SubscribeResult(override={"force_push_join_leave": {"value": is_page}})


@app.on_subscribe
async def refuse(request: causeway.SubscribeRequest) -> SubscribeResult:
    """Keep all other channels closed."""
    raise Error(404, "no such screening")


@app.on_subscribe_unidirectional("countdown:1")
async def countdown(request: causeway.SubscribeStreamRequest) -> AsyncIterator[Union[SubscribeResult, Publication]]:
    """Count the seconds until the film begins."""
    yield SubscribeResult(data={"worker": os.getpid()})
    seconds = 1
    while seconds > 0:
        tick = await clock.next()
        seconds = tick.seconds
        yield Publication({"seconds": seconds, "version": tick.version})


if __name__ == "__main__":
    app.run(concurrency=512)
