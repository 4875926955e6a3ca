"""200 people who all book a seat at once, each over a WebSocket of its own, and give it back after a while.

Usage: bots.py CENTRIFUGO'S-ADDRESS [NUMBER]
"""

import asyncio
import collections
import contextlib
import json
import os
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Optional

import websockets

import tokens

# How long a bot waits for an answer before it says that there is none.
PATIENCE = 30.0


@dataclass
class Outcome:
    """What one bot has seen."""

    user: str
    booked: Optional[str] = None
    codes: collections.Counter[int] = field(default_factory=collections.Counter)
    milliseconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # answers to other requests than its own
    hangs: list[str] = field(default_factory=list)  # requests that got no answer
    failure: Optional[str] = None  # why it has given up


class RefusedError(Exception):
    """An error that Centrifugo or a worker has answered with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Bot:
    """A client that speaks Centrifugo's JSON protocol."""

    def __init__(self, address: str, number: int) -> None:
        self.address, self.name = address, f"Bot {number}"
        self.outcome = Outcome(f"bot-{number}")
        self._number = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.seats: dict[str, dict[str, Any]] = {}

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        options: dict[str, Any] = {"proxy": None, "open_timeout": PATIENCE, "max_size": None}
        async with websockets.connect(f"ws://{self.address}/connection/websocket", **options) as self._socket:
            reading = asyncio.create_task(self._read())
            try:
                await self._command({"connect": {"data": {"token": tokens.sign(self.outcome.user, self.name)}}})
                yield
            finally:
                reading.cancel()

    async def run(self, start: asyncio.Event, ready: asyncio.Semaphore) -> Outcome:
        """Connect, wait for the start, and book a seat; give up when none is left."""
        try:
            async with self._connected():
                await self._command({"subscribe": {"channel": "screening:1"}})
                ready.release()
                await start.wait()
                await self._book()
        except (RefusedError, asyncio.TimeoutError) as error:
            self.outcome.failure = repr(error)
        return self.outcome

    async def give_back(self, seat: str) -> None:
        """Connect again, and give back a seat."""
        async with self._connected():
            await self._rpc("seat.release", seat=seat)

    async def _book(self) -> None:
        await self._load()
        while True:
            free = [name for name, seat in self.seats.items() if seat["state"] == "free"]
            if not free:
                if all(seat["state"] == "booked" for seat in self.seats.values()):
                    return
                # Those who hold a seat may lose it. And a publication may have been lost, with the worker that was to send it.
                await asyncio.sleep(1)
                await self._load()
                continue
            # The best seats first: so all want the same.
            name = random.choice(sorted(free, key=lambda name: self.seats[name]["rank"])[:8])
            try:
                self._see((await self._rpc("seat.hold", seat=name))["seat"])
                self._see((await self._rpc("seat.book", seat=name))["seat"])
            except RefusedError as refused:
                if refused.code == 409 and self.seats[name]["state"] == "free":
                    # Another one was faster, and the publication that says so is on its way.
                    self.seats[name]["state"] = "held"
                continue
            self.outcome.booked = name
            return

    async def _load(self) -> None:
        for seat in (await self._rpc("plan"))["seats"]:
            self._see(seat)

    def _see(self, seat: dict[str, Any]) -> None:
        known = self.seats.get(seat["seat"])
        if known is None or known["version"] < seat["version"]:
            row, number = seat["seat"][0], int(seat["seat"][1:])
            self.seats[seat["seat"]] = {**seat, "rank": abs(ord(row) - ord("F")) + abs(number - 5)}

    async def _rpc(self, method: str, **data: str) -> Any:
        """Call until a worker has answered: Centrifugo's errors of its own say that this request may be repeated."""
        for attempt in range(20):
            request = f"{self.outcome.user}/{self._number}"
            begin = time.perf_counter()
            try:
                reply = await self._command({"rpc": {"method": method, "data": {"request": request, **data}}})
            except RefusedError as refused:
                self.outcome.codes[refused.code] += 1
                if refused.code >= 400 or attempt == 19:
                    raise
                await asyncio.sleep(0.1)
                continue
            self.outcome.codes[0] += 1
            self.outcome.milliseconds.append(1000 * (time.perf_counter() - begin))
            answer = reply["rpc"]["data"]
            if answer["request"] != request or data.get("seat", "") != answer.get("seat", {}).get("seat", ""):
                self.outcome.wrong.append(f"{request} {method} {data}: {answer}")
            if method == "seat.book" and answer["seat"]["user"] != self.outcome.user:
                self.outcome.wrong.append(f"{request} {method}: another user's seat: {answer}")
            return answer
        raise AssertionError

    async def _command(self, command: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        number = self._number
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, **command}))
        try:
            reply: dict[str, Any] = await asyncio.wait_for(waiting, PATIENCE)
        except asyncio.TimeoutError:
            self.outcome.hangs.append(json.dumps(command))
            raise
        finally:
            del self._waiting[number]
        if "error" in reply:
            raise RefusedError(reply["error"]["code"], reply["error"]["message"])
        return reply

    async def _read(self) -> None:
        async for message in self._socket:
            for line in message.splitlines():
                reply = json.loads(line)
                if reply.get("id"):
                    self._waiting[reply["id"]].set_result(reply)
                elif "push" in reply:
                    publication = reply["push"].get("pub")
                    if publication:
                        self._see(publication["data"])
                else:
                    await self._socket.send("{}")  # the answer to a ping


async def book(address: str, number: int) -> list[Outcome]:
    """Have this many bots book a seat each, all beginning at the same time."""
    start, ready = asyncio.Event(), asyncio.Semaphore(0)
    bots = [asyncio.create_task(Bot(address, index).run(start, ready)) for index in range(number)]
    for _ in bots:
        await asyncio.wait_for(ready.acquire(), PATIENCE)
    start.set()
    return await asyncio.gather(*bots)


def summary(outcomes: list[Outcome], seconds: float) -> str:
    """Say in a few lines how it went."""
    codes: collections.Counter[int] = sum((outcome.codes for outcome in outcomes), collections.Counter())
    times = [time for outcome in outcomes for time in outcome.milliseconds] or [0.0]
    booked = sum(outcome.booked is not None for outcome in outcomes)
    p99 = sorted(times)[int(0.99 * (len(times) - 1))]
    return (
        f"{len(outcomes)} bots, {seconds:.1f} s: {booked} seats booked; {sum(codes.values())} requests: {codes[0]} done, "
        f"{codes[409]} too late, {sum(codes.values()) - codes[0] - codes[409]} others; "
        f"median {statistics.median(times):.1f} ms, p99 {p99:.1f} ms; "
        f"{sum(len(outcome.wrong) for outcome in outcomes)} wrong answers, "
        f"{sum(len(outcome.hangs) for outcome in outcomes)} without an answer"
    )


async def main() -> None:
    """Run as the command line says."""
    address, number = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
    begin = time.monotonic()
    outcomes = await book(address, number)
    print(summary(outcomes, time.monotonic() - begin), flush=True)
    await asyncio.sleep(15)
    returns = [Bot(address, index).give_back(outcome.booked) for index, outcome in enumerate(outcomes) if outcome.booked]
    await asyncio.gather(*returns)
    print("They have given their seats back.")


if __name__ == "__main__":
    if len(sys.argv) < 2 or "CINEMA_SECRET" not in os.environ:
        sys.exit(__doc__)
    asyncio.run(main())
