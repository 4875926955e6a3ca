"""Runs the cinema: Causeway, Centrifugo and the website, until Ctrl-C. With --check, plays it without a person instead."""

import argparse
import asyncio
import contextlib
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ["WEB", "CENTRIFUGO", "PROXY", "API", "RPC", "STATUS"]


class CinemaError(Exception):
    """Why the cinema cannot be run."""


def addresses(is_check: bool) -> dict[str, str]:
    """Choose an address for each listener: from port 7000 on, else any free ones. A check has a loopback address of its own."""
    pid = os.getpid()
    host = f"127.{64 + (pid >> 16 & 63)}.{pid >> 8 & 255}.{pid & 255}" if is_check else "127.0.0.1"
    ports = range(7000, 7000 + len(NAMES))
    for choice in (ports, [0] * len(NAMES)):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            sockets = [stack.enter_context(socket.socket()) for _ in NAMES]
            for listener, port in zip(sockets, choice):
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((host, port))
            return {name: f"{host}:{listener.getsockname()[1]}" for name, listener in zip(NAMES, sockets)}
    raise CinemaError(f"no ports are free on {host}")


class Cinema:
    """The running processes."""

    def __init__(self, causeway: str, centrifugo: str, folder: Path, is_check: bool) -> None:
        self.causeway, self.centrifugo, self.folder = causeway, centrifugo, folder
        self.at = addresses(is_check)
        self.database = folder / "cinema.sqlite"
        self.variables = {f"CINEMA_{name}": address for name, address in self.at.items()}
        self.variables["CINEMA_DATABASE"] = str(self.database)
        self.variables["CINEMA_SECRET"] = secrets.token_hex(16)
        if is_check:
            self.variables["CINEMA_HOLD_SECONDS"] = os.environ.get("CINEMA_HOLD_SECONDS", "10")
        proxy, web = f"grpc://{self.at['PROXY']}", f"http://{self.at['WEB']}"
        host, port = self.at["CENTRIFUGO"].split(":")
        self.environment = {
            **os.environ,
            **self.variables,
            "PYTHON": sys.executable,
            # Each key of centrifugo.json has a variable that takes precedence.
            "CENTRIFUGO_HTTP_SERVER_ADDRESS": host,
            "CENTRIFUGO_HTTP_SERVER_PORT": port,
            "CENTRIFUGO_CLIENT_ALLOWED_ORIGINS": f"{web} {web.replace('127.0.0.1', 'localhost')}",
            "CENTRIFUGO_CLIENT_PROXY_CONNECT_ENDPOINT": proxy,
            "CENTRIFUGO_CHANNEL_PROXY_SUBSCRIBE_ENDPOINT": proxy,
            "CENTRIFUGO_CHANNEL_PROXY_SUBSCRIBE_STREAM_ENDPOINT": proxy,
            "CENTRIFUGO_RPC_PROXY_ENDPOINT": proxy,
            "CENTRIFUGO_GRPC_API_ADDRESS": host,
            "CENTRIFUGO_GRPC_API_PORT": self.at["API"].split(":")[1],
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all processes, each once those it needs are ready."""
        self._run("causeway", [self.causeway, "serve", "-c", str(HERE / ".rr.yaml")])
        self._wait("causeway", f"http://{self.at['STATUS']}/ready")
        self._run("centrifugo", [self.centrifugo, "-c", str(HERE / "centrifugo.json")])
        self._wait("centrifugo", f"http://{self.at['CENTRIFUGO']}/")
        self._run("website", ["php", "-q", "-S", self.at["WEB"], "-t", str(HERE / "public"), str(HERE / "web.php")])
        self._wait("website", f"http://{self.at['WEB']}/")

    def stop(self) -> None:
        """Stop all processes, the website first and Causeway last."""
        for process in reversed(self.processes.values()):
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def ended(self) -> str:
        """Return the name of a process that has ended, or nothing."""
        return next((name for name, process in self.processes.items() if process.poll() is not None), "")

    def _run(self, name: str, command: list[str]) -> None:
        # In a session of its own: Ctrl-C reaches only this program, which then stops the others in order.
        nothing = subprocess.DEVNULL
        quiet = nothing if name == "website" else None
        self.processes[name] = subprocess.Popen(
            command, env=self.environment, stdin=nothing, stdout=nothing, stderr=quiet, start_new_session=True
        )

    def _wait(self, name: str, url: str) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.ended():
                raise CinemaError(f"{self.ended()} did not start")
            with contextlib.suppress(OSError):
                try:
                    urllib.request.urlopen(url, timeout=5).close()
                    return
                except urllib.error.HTTPError as answer:
                    if answer.code == 404:
                        return
            time.sleep(0.05)
        raise CinemaError(f"{name} is not ready after a minute")

    def command(self, *words: str) -> list[str]:
        """Return the command line of Causeway for the running server."""
        return [self.causeway, *words, "-c", str(HERE / ".rr.yaml"), "-o", f"rpc.listen=tcp://{self.at['RPC']}"]

    def introduction(self) -> str:
        """Say where the cinema is, and how to play with it."""

        def causeway(*words: str) -> str:
            return f"{shlex.join([os.path.relpath(self.causeway), *words])} --address tcp://{self.at['RPC']}"

        bots = [os.path.relpath(sys.executable), os.path.relpath(HERE / "bots.py"), self.at["CENTRIFUGO"]]
        return f"""
The cinema is open:  http://{self.at["WEB"]}/
Open it in two windows or more; each is another person. The pools, live:  http://{self.at["STATUS"]}/

Play with it, in another terminal:
  watch the workers   {causeway("workers", "-i")}
  kill one            pkill -9 --oldest --parent {self.processes["causeway"].pid} php
  replace all         {causeway("reset")}
  add one             {causeway("rpc", "informer.AddWorker", '"centrifuge"')}
  200 people book     CINEMA_SECRET={self.variables["CINEMA_SECRET"]} {shlex.join(bots)}

Ctrl-C ends it.
"""


@contextlib.contextmanager
def running(causeway: str, centrifugo: str, is_check: bool) -> Iterator[Cinema]:
    """Run the cinema in a new folder, and stop everything afterwards."""
    # In memory, where there is such a folder: the disk of a busy machine may take seconds to write.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="cinema-", dir=memory) as folder:
        cinema = Cinema(causeway, centrifugo, Path(folder), is_check)
        try:
            cinema.start()
            yield cinema
        finally:
            cinema.stop()


def main() -> int:
    """Run the cinema or the check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--causeway", required=True, help="the binary")
    parser.add_argument("--centrifugo", required=True, help="the binary, of version 6")
    parser.add_argument("--check", action="store_true", help="play it without a person")
    parser.add_argument("--screenshots", metavar="DIR", help="with --check: write pictures of the page into this folder")
    arguments = parser.parse_args()
    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, signal.default_int_handler)
    try:
        with running(shutil.which(arguments.causeway) or arguments.causeway, arguments.centrifugo, arguments.check) as cinema:
            if arguments.check:
                from check import check

                return asyncio.run(check(cinema, arguments.screenshots))
            print(cinema.introduction(), flush=True)
            while not cinema.ended():
                time.sleep(0.5)
            raise CinemaError(f"{cinema.ended()} has ended")
    except KeyboardInterrupt:
        return 130 if arguments.check else 0
    except CinemaError as failure:
        print(f"cinema: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
