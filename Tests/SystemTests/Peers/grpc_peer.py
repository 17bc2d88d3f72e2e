"""Both ends of gRPC, by grpcio. Usage: grpc_peer.py serve PORT | call PORT CERTIFICATE [name=value ...]; `call` prints JSON.

Messages are bytes as they are, so that nothing has to be generated. The server has gRPC's own health service; test.Echo is not served from
SIGUSR1 on, and served again from SIGUSR2 on.
"""
import json
import signal
import sys
import threading
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def message_fields(data):
    """The fields of a protobuf message: numbers, and bytes."""
    fields, place = {}, 0

    def varint():
        nonlocal place
        value, shift = 0, 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(data):
        key = varint()
        value = varint()
        if key & 7 == 2:
            value, place = data[place:place + value], place + value
        fields[key >> 3] = value
    return fields


def retry_delay(details):
    """Seconds of the google.rpc.RetryInfo in a google.rpc.Status; None without one."""
    if details is None:
        return None
    info = message_fields(message_fields(details)[3])
    assert info[1] == b"type.googleapis.com/google.rpc.RetryInfo", info
    return message_fields(message_fields(info[2])[1])[1]


def serve(port):
    def unary(request, context):
        fields = dict(context.invocation_metadata())
        context.set_trailing_metadata((("x-sum", "42"),))
        return json.dumps({"text": request.decode(), "user": fields.get("x-user-id", ""), "te": fields.get("te", ""),
                           "authority": fields.get(":authority", "")}).encode()

    def down(request, context):
        for number in range(int(request)):
            yield b"x" * 1000 + str(number).encode()

    def up(requests, context):
        return str(sum(len(request) for request in requests)).encode()

    def both(requests, context):
        for request in requests:
            yield request[::-1]

    def deadline(request, context):
        return str(context.time_remaining()).encode()

    def fail(request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now")

    def forever(request, context):
        yield b"first"
        gone = threading.Event()
        context.add_callback(gone.set)
        gone.wait(60)

    unary_unary, unary_stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    handlers = {"Unary": unary_unary(unary), "Down": unary_stream(down), "Up": grpc.stream_unary_rpc_method_handler(up),
                "Both": grpc.stream_stream_rpc_method_handler(both), "Deadline": unary_unary(deadline), "Fail": unary_unary(fail),
                "Forever": unary_stream(forever)}
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    status = health_pb2.HealthCheckResponse
    servicer.set("test.Echo", status.SERVING)
    # Who starts the server may have blocked them.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1, signal.SIGUSR2])
    signal.signal(signal.SIGUSR1, lambda *_: servicer.set("test.Echo", status.NOT_SERVING))
    signal.signal(signal.SIGUSR2, lambda *_: servicer.set("test.Echo", status.SERVING))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    # Python runs handlers of signals only where it is not inside a wait without an end.
    while server.wait_for_termination(0.05):
        pass


def call(port, certificate, options):
    with open(certificate, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    channel = grpc.secure_channel(f"localhost:{port}", credentials, [("grpc.primary_user_agent", "test")])
    metadata = [("authorization", f"Bearer {options['token']}")] if "token" in options else []
    prefix = options.get("service", "/test.Echo/")

    def attempt(run):
        try:
            return run()
        except grpc.RpcError as error:
            metadata = dict(error.trailing_metadata() or ())
            return {"code": error.code().value[0], "details": error.details(), "retry": retry_delay(metadata.get("grpc-status-details-bin"))}

    def unary():
        answer, outcome = channel.unary_unary(prefix + "Unary").with_call(b"hello", metadata=metadata, timeout=20)
        return {"answer": json.loads(answer), "trailers": dict(outcome.trailing_metadata())}

    def both():
        turn = threading.Semaphore(1)
        received = []

        # Each message is sent only after the answer to the one before: nothing waits in between.
        def messages():
            for number in range(20):
                turn.acquire()
                yield f"message {number}".encode()
        for answer in channel.stream_stream(prefix + "Both")(messages(), metadata=metadata, timeout=20):
            received.append(answer.decode())
            turn.release()
        return received

    def forever():
        received = []
        try:
            for answer in channel.unary_stream(prefix + "Forever")(b"", metadata=metadata, timeout=40):
                received.append(answer.decode())
        except grpc.RpcError as error:
            return {"received": received, "code": error.code().value[0], "details": error.details()}
        return {"received": received}

    calls = {
        "unary": unary,
        "down": lambda: len([0 for _ in channel.unary_stream(prefix + "Down")(b"500", metadata=metadata, timeout=20)]),
        "up": lambda: int(channel.stream_unary(prefix + "Up")((b"y" * 1000 for _ in range(500)), metadata=metadata, timeout=20)),
        "both": both,
        "deadline": lambda: float(channel.unary_unary(prefix + "Deadline")(b"", metadata=metadata, timeout=7)),
        "fail": lambda: channel.unary_unary(prefix + "Fail")(b"", metadata=metadata, timeout=20),
        "forever": forever,
    }
    names = options.get("calls", "unary").split(",")
    print(json.dumps({name: attempt(calls[name]) for name in names}))
    channel.close()


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    call(int(sys.argv[2]), sys.argv[3], dict(argument.split("=", 1) for argument in sys.argv[4:]))
