"""Pages of a Chromium without a window, driven by the DevTools protocol over two pipes."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Optional

PATIENCE = 30.0
OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server"]
OPTIONS += ["--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--remote-debugging-pipe"]


class Browser:
    """The browser, and how to speak with it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.WriteTransport) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []

    async def call(self, method: str, params: dict[str, Any], session: Optional[str] = None) -> dict[str, Any]:
        """Send a command, and return its result."""
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        self._writer.write(json.dumps(message).encode() + b"\0")
        answer = await asyncio.wait_for(waiting, PATIENCE)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    async def read(self) -> None:
        """Pass answers on to those who wait for them, until the browser ends."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                message = json.loads((await self._reader.readuntil(b"\0"))[:-1])
                waiting = self._waiting.pop(message.get("id", 0), None)
                if waiting is None:
                    self.events.append(message)
                elif not waiting.done():
                    waiting.set_result(message)

    async def open(self, url: str) -> "Page":
        """Open a page, as another person: pages share neither storage nor cookies."""
        context = (await self.call("Target.createBrowserContext", {}))["browserContextId"]
        target = (await self.call("Target.createTarget", {"url": "about:blank", "browserContextId": context}))["targetId"]
        session = (await self.call("Target.attachToTarget", {"targetId": target, "flatten": True}))["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            await page.call(f"{domain}.enable", {})
        await page.resize(1280, 900)
        await page.call("Page.navigate", {"url": url})
        return page


class Page:
    """One page."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send a command to the page."""
        return await self._browser.call(method, params, self._session)

    async def value(self, expression: str) -> Any:
        """Return the value of an expression on the page."""
        params = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = await self.call("Runtime.evaluate", params)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true; it may fail while the page is loaded."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            with contextlib.suppress(RuntimeError):
                if await self.value(f"Boolean({expression})"):
                    return
            if asyncio.get_running_loop().time() > deadline:
                text = await self.value("document.body?.innerText")
                raise AssertionError(f"never: {expression}\n{text}\n{self.complaints()}")
            await asyncio.sleep(0.05)

    async def press(self, key: str, text: str = "") -> None:
        """Press a key."""
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        for kind in ("keyDown", "keyUp"):
            event: dict[str, Any] = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
            if text and kind == "keyDown":
                event["text"] = text
            await self.call("Input.dispatchKeyEvent", event)

    async def resize(self, width: int, height: int) -> None:
        """Set the size of its window, in pixels; a narrow one is that of a phone."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", metrics)

    async def prefer(self, scheme: str) -> None:
        """Set what the person prefers: light or dark."""
        await self.call("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    async def picture(self, path: Path, whole: bool = False) -> None:
        """Write a picture of the page."""
        answer = await self.call("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        path.write_bytes(base64.b64decode(answer["data"]))

    def _own(self) -> list[dict[str, Any]]:
        return [event for event in self._browser.events if event.get("sessionId") == self._session]

    def complaints(self) -> list[str]:
        """Return what went wrong on the page: exceptions, and what its policy has refused."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [json.dumps(event) for event in self._own() if event["method"] in kinds]

    def requests(self) -> list[str]:
        """Return the addresses of all requests of the page."""
        sent = [event["params"] for event in self._own() if event["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Optional[Browser]]:
    """Run a browser; None, and a line that says so, if there is none. In CI there has to be one."""
    name = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if name is None:
        assert "CI" not in os.environ, "there is no Chromium; scripts/setup.sh installs it"
        print("skipped: no pages are played, since there is no Chromium")
        yield None
        return
    profile = tempfile.mkdtemp(prefix="cinema-browser-")
    try:
        # It reads commands from descriptor 3, and writes to 4.
        shell = 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'
        pipe = asyncio.subprocess.PIPE
        arguments = ["-c", shell, name, *OPTIONS, f"--user-data-dir={profile}"]
        process = await asyncio.create_subprocess_exec("sh", *arguments, stdin=pipe, stdout=pipe, limit=64 << 20)
        assert process.stdin is not None and process.stdout is not None
        running = Browser(process.stdout, process.stdin.transport)
        reading = asyncio.create_task(running.read())
        try:
            yield running
        finally:
            with contextlib.suppress(Exception):
                await running.call("Browser.close", {})
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), 5)
            if process.returncode is None:
                process.kill()
                await process.wait()
            reading.cancel()
    finally:
        # The last processes of the browser may still write into it.
        shutil.rmtree(profile, ignore_errors=True)
