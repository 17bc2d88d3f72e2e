"""Calls the catalogue through the gateway: python3 client.py PORT CERTIFICATE TOKEN. Ends with 1 if a call comes out wrong."""
import sys

import grpc

port, certificate, token = sys.argv[1:]
credentials = grpc.ssl_channel_credentials(open(certificate, "rb").read())
channel = grpc.secure_channel(f"localhost:{port}", credentials)
bearer = (("authorization", f"Bearer {token}"),)
wrong = 0


def call(what, expected, body):
    global wrong
    try:
        outcome = body()
    except grpc.RpcError as error:
        outcome = error.code().name
    ok = outcome == expected
    wrong += not ok
    print(f"{what:<55} {outcome!r}  {'ok' if ok else f'WRONG, wanted {expected!r}'}")


unary = lambda name, metadata=bearer: channel.unary_unary(f"/catalogue.Catalogue/{name}")(b"7", metadata=metadata, timeout=30)
call("a call with a token", b"item 7 for alice", lambda: unary("Get"))
call("a stream", [b"change 0 of 7", b"change 1 of 7", b"change 2 of 7"],
     lambda: list(channel.unary_stream("/catalogue.Catalogue/Watch")(b"7", metadata=bearer, timeout=30)))
call("a call without a token", "UNAUTHENTICATED", lambda: unary("Get", ()))
call("a call whose scope the token has not", "PERMISSION_DENIED", lambda: unary("Put"))
call("a method that no route has", "UNIMPLEMENTED", lambda: unary("Delete"))
sys.exit(1 if wrong else 0)
