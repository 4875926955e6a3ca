"""Plays the cinema without a person: two pages book against each other, then 200 bots, while workers are killed and replaced."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import bots
import tokens
from browser import Browser, Page, browser

if TYPE_CHECKING:
    from demo import Cinema

BOTS = 200
# How long all bots together may take, also on a busy machine.
LIMIT = 120.0

# What the page shows of a seat, as its accessible name.
LABEL = "document.querySelector('[data-seat={}]').ariaLabel"
PRESS = "document.querySelector('[data-seat={}]').click()"


async def check(cinema: "Cinema", screenshots: Optional[str]) -> int:
    """Play all of it. Return the exit code; what is wrong is printed."""
    tokens.SECRET = cinema.variables["CINEMA_SECRET"].encode()
    begin = time.monotonic()

    def passed(what: str) -> None:
        print(f"ok {time.monotonic() - begin:5.1f} s  {what}", flush=True)

    before = await workers(cinema)
    async with browser() as chromium:
        pages = [] if chromium is None else await two_pages(cinema, chromium)
        if pages:
            without_hold = await against_each_other(*pages)
            passed("two pages book seats against each other")
            await by_keyboard(without_hold)
            passed("the page is used by keyboard, fits a phone, and every seat has a name")
            for page in pages:
                await page.until(f"{LABEL.format('D4')}.endsWith('free')")
            passed("a hold ends by itself")
        passed(await all_at_once(cinema, pages))
        await are_replaced(cinema, before)
        passed("a worker was killed, and all were replaced meanwhile")
        seats = sold(cinema)
        passed("no seat was sold twice")
        for page in pages:
            await shows(page, seats)
            assert not page.complaints(), page.complaints()
            own = (f"http://{cinema.at['WEB']}/", f"ws://{cinema.at['CENTRIFUGO']}/", "data:")
            foreign = [url for url in page.requests() if not url.startswith(own)]
            assert not foreign, foreign
        if pages:
            passed("both pages show what the database has")
        if pages and screenshots:
            await take(pages, Path(screenshots))
    return 0


async def two_pages(cinema: "Cinema", chromium: Browser) -> list[Page]:
    """Open the page as two people."""
    pages = [await chromium.open(f"http://{cinema.at['WEB']}/?name={name}") for name in ("Ann", "Bob")]
    for page in pages:
        await page.until("document.querySelector('#link').textContent === 'connected'")
        await page.until(f"{LABEL.format('A1')} !== null")
        for name in ("Ann", "Bob"):
            await page.until(f"document.querySelector('#people').innerText.includes('{name}')")
        await page.until("/^\\d+:\\d\\d$/.test(document.querySelector('#left').textContent)")
    return pages


async def against_each_other(ann: Page, bob: Page) -> Page:
    """Have two people want the same seats. One of them still holds one in the end; return the other's page."""
    await ann.value(PRESS.format("C5"))
    await ann.until(f"{LABEL.format('C5')}.endsWith('held by you')")
    await bob.until(f"{LABEL.format('C5')}.endsWith('held by Ann')")
    await bob.value(PRESS.format("C5"))
    await bob.until("document.querySelector('#notice').textContent.includes('C5 is held by Ann')")
    await ann.value("document.querySelector('#book-all').click()")
    for page, holder in ((ann, "you"), (bob, "Ann")):
        await page.until(f"{LABEL.format('C5')}.endsWith('booked by {holder}')")

    # At the same moment.
    await asyncio.gather(ann.value(PRESS.format("D4")), bob.value(PRESS.format("D4")))
    for page in (ann, bob):
        await page.until(f"{LABEL.format('D4')}.includes('held by')")
    labels = [await page.value(LABEL.format("D4")) for page in (ann, bob)]
    assert sum(label.endswith("held by you") for label in labels) == 1, labels
    # Nobody books it, so that it is free again later.

    await bob.value(PRESS.format("E9"))
    await bob.until(f"{LABEL.format('E9')}.endsWith('held by you')")
    await bob.value(PRESS.format("E9"))
    for page in (ann, bob):
        await page.until(f"{LABEL.format('E9')}.endsWith('free')")
    return bob if labels[0].endswith("held by you") else ann


async def by_keyboard(page: Page) -> None:
    """Hold a seat without a mouse, on a phone's width."""
    for width, height, scheme in ((390, 844, "dark"), (1280, 900, "light")):
        await page.resize(width, height)
        await page.prefer(scheme)
        assert await page.value("document.documentElement.scrollWidth") <= width, "the page is too wide"
    controls, name = (
        "[...document.querySelectorAll('button, a, input')]",
        "one.ariaLabel || one.textContent || one.labels?.length",
    )
    assert await page.value(f"{controls}.every((one) => {name})")
    await page.value("document.querySelector('[data-seat=E5]').focus()")
    for key in ("ArrowUp", "ArrowLeft", "ArrowDown", "ArrowDown"):
        await page.press(key)
    assert await page.value("document.activeElement.dataset.seat") == "F4"
    assert await page.value("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus is seen"
    await page.press("Enter", "\r")
    await page.until(f"{LABEL.format('F4')}.endsWith('held by you')")
    await page.until("document.querySelector('#book-all').textContent === 'Book F4'")
    await page.value("document.querySelector('#book-all').focus()")
    await page.press("Enter", "\r")
    await page.until(f"{LABEL.format('F4')}.endsWith('booked by you')")


async def all_at_once(cinema: "Cinema", pages: list[Page]) -> str:
    """Have the bots and both pages book, kill a worker of PHP and replace all workers meanwhile. Return how it went."""
    begin = time.monotonic()
    booking = asyncio.create_task(bots.book(cinema.at["CENTRIFUGO"], BOTS))
    disturbing = asyncio.create_task(disturb(cinema, booking, pages))
    outcomes = await asyncio.wait_for(booking, LIMIT)
    await disturbing
    wrong = [line for outcome in outcomes for line in [*outcome.wrong, *outcome.hangs, outcome.failure] if line]
    assert not wrong, "\n".join(wrong)
    mine = {outcome.booked: outcome.user for outcome in outcomes if outcome.booked is not None}
    assert len(mine) == sum(outcome.booked is not None for outcome in outcomes), "two bots say that they have the same seat"
    rows = query(cinema, "SELECT seat, user FROM seat WHERE user LIKE 'bot-%'")
    assert mine == dict(rows), (mine, rows)
    return bots.summary(outcomes, time.monotonic() - begin)


async def disturb(cinema: "Cinema", booking: "asyncio.Task[Any]", pages: list[Page]) -> None:
    """Kill a worker as soon as the bots book, and replace all workers; have the people book as well."""
    changes = "SELECT count(*) FROM ledger WHERE user LIKE 'bot-%'"
    while query(cinema, changes)[0][0] == 0 and not booking.done():
        await asyncio.sleep(0.02)
    first = (await workers(cinema))["centrifuge"][0]
    os.kill(first, signal.SIGKILL)
    for page, seat in zip(pages, ("H1", "H10")):
        await page.value(PRESS.format(seat))
        await page.until(f"!{LABEL.format(seat)}.endsWith('free')")
        await page.value("document.querySelector('#book-all').click()")
    reset = await asyncio.create_subprocess_exec(*cinema.command("reset"), stdout=subprocess.DEVNULL)
    assert await asyncio.wait_for(reset.wait(), LIMIT) == 0, "the reset has failed"


async def workers(cinema: "Cinema") -> dict[str, list[int]]:
    """Return the pids of the workers of each pool."""
    pids: dict[str, list[int]] = {}
    for pool in ("centrifuge", "centrifuge.python"):
        command = cinema.command("workers", pool, "--json")
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        output, _ = await process.communicate()
        pids[pool] = [worker["pid"] for worker in json.loads(output)["workers"]]
    return pids


async def are_replaced(cinema: "Cinema", before: dict[str, list[int]]) -> None:
    """Wait until the pools have as many workers as before, and none of those."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        after = await workers(cinema)
        if all(len(after[pool]) == len(before[pool]) and not set(after[pool]) & set(before[pool]) for pool in before):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"before {before}, after {after}")


def query(cinema: "Cinema", text: str) -> list[Any]:
    """Ask the database."""
    db = sqlite3.connect(f"file:{cinema.database}?mode=ro", uri=True, timeout=10)
    try:
        return db.execute(text).fetchall()
    finally:
        db.close()


def sold(cinema: "Cinema") -> list[Any]:
    """Replay the ledger: each change was allowed, and the seats are what it says. Return the seats."""
    holders: dict[str, tuple[str, str]] = {}
    for version, seat, action, user in query(cinema, "SELECT version, seat, action, user FROM ledger ORDER BY version"):
        state, holder = holders.get(seat, ("free", ""))
        # A hold that has ended may be taken over before it is swept.
        allowed = {
            "hold": state != "booked",
            "book": (state, holder) == ("held", user),
            "release": state != "free" and holder == user,
            "expire": (state, holder) == ("held", user),
        }
        assert allowed[action], f"change {version}: {action} of {seat} by {user}, which is {state} by {holder}"
        holders[seat] = {"hold": ("held", user), "book": ("booked", user)}.get(action, ("free", ""))
    seats = query(cinema, "SELECT seat, state, user, name, version FROM seat ORDER BY seat")
    assert [(state, user) for _, state, user, _, _ in seats] == [holders.get(seat[0], ("free", "")) for seat in seats]
    assert all(state == "booked" for _, state, _, _, _ in seats), seats
    return seats


async def shows(page: Page, seats: list[Any]) -> None:
    """Wait until the page shows these seats."""
    name = await page.value("JSON.parse(sessionStorage.getItem('cinema')).name")
    for seat, state, _, holder, _ in seats:
        holder = "you" if holder == name else holder
        await page.until(f"{LABEL.format(seat)}.endsWith({json.dumps(f'{state} by {holder}')})")


async def take(pages: list[Page], folder: Path) -> None:
    """Write pictures of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    for width, height, scheme in ((1280, 860, "light"), (1280, 860, "dark"), (390, 844, "light"), (390, 844, "dark")):
        await pages[0].resize(width, height)
        await pages[0].prefer(scheme)
        await asyncio.sleep(0.6)
        await pages[0].picture(folder / f"full-{width}-{scheme}.png", whole=width < 600)


if __name__ == "__main__":
    sys.exit("run demo.py --check")
