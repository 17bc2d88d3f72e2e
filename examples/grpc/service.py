"""A catalogue: python3 service.py PORT. Messages are plain bytes, so that no compiler of protocol buffers is needed."""
import sys, time
from concurrent import futures

import grpc


def get(request, context):
    user = dict(context.invocation_metadata()).get("x-user-id", "nobody")
    return b"item " + request + b" for " + user.encode()


def watch(request, context):
    for number in range(3):
        yield b"change %d of " % number + request


server = grpc.server(futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers(
    (
        grpc.method_handlers_generic_handler(
            "catalogue.Catalogue",
            {
                "Get": grpc.unary_unary_rpc_method_handler(get),
                "Watch": grpc.unary_stream_rpc_method_handler(watch),
                "Put": grpc.unary_unary_rpc_method_handler(lambda request, context: b"put"),
            },
        ),
    )
)
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
