"""Measures real bridges under the load that `fleet run` simulates: calls arrive at random and go to the bridges in turn.

Usage: measure.py CAUSEWAY BRIDGES WORKERS WORK UTILIZATION SECONDS

Each of the bridges has workers that take WORK seconds for a call. Prints the wait for a worker: how much longer calls took than that. Needs
the Python package grpcio.
"""

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time

import grpc

METHOD = "/centrifugal.centrifugo.proxy.CentrifugoProxy/RPC"
WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/workers/worker.py")


def start(causeway, workers):
    """A bridge, and its address."""
    folder = tempfile.TemporaryDirectory()
    with open(os.path.join(folder.name, ".rr.yaml"), "w") as file:
        file.write(
            f"version: '3'\nserver: {{command: 'python3 {WORKER}'}}\nlogs: {{level: error}}\n"
            f"centrifuge: {{proxy_address: 'tcp://127.0.0.1:0', pool: {{num_workers: {workers}}}}}\n"
        )
    bridge = subprocess.Popen(
        [causeway, "serve"], cwd=folder.name, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    bridge.folder = folder
    for line in bridge.stdout:
        if "address: " in line:
            return bridge, line.split("address: ")[1].strip()
    raise SystemExit("a bridge does not start")


def request(work):
    """An RPCRequest: the method is field 11, and the data field 12."""
    method = f"sleep:{work}".encode()
    return bytes([11 << 3 | 2, len(method)]) + method + bytes([12 << 3 | 2, 1]) + b"1"


async def load(addresses, work, rate, seconds):
    """How long each call took; None for one that failed."""
    channels = [grpc.aio.insecure_channel(address) for address in addresses]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    calls = [channel.unary_unary(METHOD) for channel in channels]
    message, took, tasks = request(work), [], []

    async def call(number):
        begin = time.perf_counter()
        try:
            await calls[number % len(calls)](message, timeout=10)
            took.append(time.perf_counter() - begin)
        except grpc.RpcError:
            took.append(None)

    arrives = time.perf_counter()
    for number in range(int(rate * seconds)):
        arrives += random.expovariate(rate)
        await asyncio.sleep(max(0, arrives - time.perf_counter()))
        tasks.append(asyncio.ensure_future(call(number)))
    await asyncio.gather(*tasks)
    return took


def main():
    causeway, bridges, workers, work, utilization, seconds = sys.argv[1:]
    bridges, workers, work, utilization, seconds = int(bridges), int(workers), float(work), float(utilization), float(seconds)
    started = [start(causeway, workers) for _ in range(bridges)]
    rate = utilization * bridges * workers / work
    try:
        took = asyncio.run(load([address for _, address in started], work, rate, seconds))
    finally:
        for bridge, _ in started:
            bridge.terminate()
        for bridge, _ in started:
            bridge.wait()
    waits = sorted(max(0, time - work) for time in took if time is not None)
    p50, p95, p99 = (waits[int(len(waits) * part)] * 1e3 for part in (0.5, 0.95, 0.99))
    mean = sum(waits) / len(waits) * 1e3
    print(
        f"{bridges} bridges x {workers} workers, {work * 1e3:.0f} ms, {rate:.0f} calls/s: {len(took)} calls, "
        f"{len(took) - len(waits)} failed; wait mean {mean:.1f} ms, p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms"
    )


main()
