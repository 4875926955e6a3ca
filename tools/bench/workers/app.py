"""The handlers of the benchmark: coroutines in one process of protocol 2, functions in classic workers."""

import asyncio
import sys
import time

import causeway

app = causeway.App()


def run_classic() -> None:
    """Serve one request at a time."""

    @app.on_rpc("echo")
    def echo(request: causeway.RpcRequest) -> causeway.RpcResult:
        return causeway.RpcResult(data=request.data)

    @app.on_rpc("wait")
    def wait(request: causeway.RpcRequest) -> causeway.RpcResult:
        time.sleep(0.05)
        return causeway.RpcResult(data=request.data)

    app.run()


def run_concurrent(concurrency: int) -> None:
    """Serve many requests at a time."""

    @app.on_rpc("echo")
    async def echo(request: causeway.RpcRequest) -> causeway.RpcResult:
        return causeway.RpcResult(data=request.data)

    @app.on_rpc("wait")
    async def wait(request: causeway.RpcRequest) -> causeway.RpcResult:
        await asyncio.sleep(0.05)
        return causeway.RpcResult(data=request.data)

    app.run(concurrency=concurrency)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_concurrent(int(sys.argv[1]))
    else:
        run_classic()
