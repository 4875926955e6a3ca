"""What a Python team would write instead of a bridge: Centrifugo's proxy as a grpc.aio server."""

import asyncio
import sys

import grpc
from causeway._proto import proxy_pb2 as pb


async def rpc(request: pb.RPCRequest, context: grpc.aio.ServicerContext) -> pb.RPCResponse:
    """Return what was sent."""
    if request.method == "wait":
        await asyncio.sleep(0.05)
    return pb.RPCResponse(result=pb.RPCResult(data=request.data))


async def main(address: str) -> None:
    """Serve until killed."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20)])
    handler = grpc.unary_unary_rpc_method_handler(rpc, pb.RPCRequest.FromString, pb.RPCResponse.SerializeToString)
    service = "centrifugal.centrifugo.proxy.CentrifugoProxy"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"RPC": handler})])
    if server.add_insecure_port(address) == 0:
        sys.exit(f"address in use: {address}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
