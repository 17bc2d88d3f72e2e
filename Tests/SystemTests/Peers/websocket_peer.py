"""Both ends of WebSocket, by websockets; and a client of RFC 8441, by h2.
Usage: websocket_peer.py serve PORT | SCENARIO PORT [name=value ...]; scenarios print JSON."""
import asyncio
import json
import ssl
import sys
import time

import h2.config
import h2.connection
import h2.events
import h2.settings
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve as serve_websockets

OPTIONS = dict(argument.split("=", 1) for argument in sys.argv[3:])
PORT = int(sys.argv[2])
PATH = OPTIONS.get("path", "/ws")
FIELDS = {"Cookie": f"access_token={OPTIONS['token']}"} if "token" in OPTIONS else {}


def context():
    made = ssl.create_default_context()
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


async def serve():
    """Echoes; `count N` sends N messages, `half` begins a frame and does not end it, `bye` closes."""
    async def handle(socket):
        closed = {}
        print("open", flush=True)
        try:
            await socket.send(json.dumps({"user": socket.request.headers.get("X-User-Id", ""),
                                          "cookie": socket.request.headers.get("Cookie", "")}))
            async for message in socket:
                if message == "bye":
                    await socket.close(4000, "as you wish")
                elif isinstance(message, str) and message.startswith("count "):
                    for number in range(int(message[6:])):
                        await socket.send("x" * 10_000 + str(number))
                elif message == "half":
                    socket.transport.write(bytes([0x81, 126, 0x10, 0x00]) + b"z" * 100)
                else:
                    await socket.send(message)
        except websockets.ConnectionClosed:
            pass
        closed["code"], closed["reason"] = socket.close_code, socket.close_reason
        print(json.dumps(closed), flush=True)
    async with serve_websockets(handle, "127.0.0.1", PORT):
        await asyncio.get_running_loop().create_future()


async def talk():
    """One conversation over HTTP/1.1."""
    outcome = {}
    try:
        socket = await connect(f"wss://localhost:{PORT}{PATH}", ssl=context(), additional_headers=FIELDS, host="127.0.0.1", max_size=None)
    except websockets.InvalidStatus as refusal:
        return {"status": refusal.response.status_code}
    outcome["hello"] = json.loads(await socket.recv())
    big = "y" * 300_000
    await socket.send(big)
    outcome["big"] = (await socket.recv()) == big
    await socket.send(b"\x00\xff")
    outcome["binary"] = (await socket.recv()) == b"\x00\xff"
    outcome["pong"] = (await asyncio.wait_for(await socket.ping(), 5)) >= 0
    await socket.send("count 200")
    received = [await socket.recv() for _ in range(200)]
    outcome["counted"] = all(message == "x" * 10_000 + str(number) for number, message in enumerate(received))
    await socket.send("bye")
    try:
        await socket.recv()
    except websockets.ConnectionClosed:
        pass
    outcome["code"], outcome["reason"] = socket.close_code, socket.close_reason
    return outcome


async def wait():
    """Opens, says what it is told to say, and waits for the end."""
    socket = await connect(f"wss://localhost:{PORT}{PATH}", ssl=context(), additional_headers=FIELDS, host="127.0.0.1")
    await socket.recv()
    if "say" in OPTIONS:
        await socket.send(OPTIONS["say"])
    began = time.monotonic()
    try:
        await asyncio.wait_for(socket.recv(), float(OPTIONS.get("seconds", "20")))
    except websockets.ConnectionClosed:
        pass
    except TimeoutError:
        return {"open": True}
    return {"code": socket.close_code, "reason": socket.close_reason, "seconds": time.monotonic() - began}


async def talk_http2():
    """Extended CONNECT: frames of WebSocket in DATA."""
    made = context()
    made.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT, ssl=made, server_hostname="localhost")
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    client.initiate_connection()
    outcome = {"headers": {}, "data": "", "ended": False, "reset": None}
    received = bytearray()

    async def pump(until, seconds=10):
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            writer.write(client.data_to_send())
            try:
                data = await asyncio.wait_for(reader.read(65536), max(0.05, end - time.monotonic()))
            except TimeoutError:
                break
            if not data:
                break
            for event in client.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    outcome["headers"] = dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    received.extend(event.data)
                    client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    outcome["ended"] = True
                elif isinstance(event, h2.events.StreamReset):
                    outcome["reset"] = int(event.error_code)
        writer.write(client.data_to_send())

    await pump(lambda: client.remote_settings.enable_connect_protocol == 1)
    outcome["offered"] = int(client.remote_settings.enable_connect_protocol)
    fields = [(":method", "CONNECT"), (":protocol", OPTIONS.get("protocol", "websocket")), (":scheme", "https"),
              (":authority", "localhost"), (":path", PATH), ("sec-websocket-version", "13")]
    fields += [(name.lower(), value) for name, value in FIELDS.items()]
    client.send_headers(1, fields)
    # Sent before the tunnel is open: held until then.
    client.send_data(1, bytes([0x81, 0x85, 0, 0, 0, 0]) + b"early")
    await pump(lambda: outcome["headers"])
    if outcome["headers"].get(":status") == "200":
        await pump(lambda: b"early" in received)
        outcome["hello"] = json.loads(received[2:2 + received[1]].decode()) if received[1] < 126 else None
        if OPTIONS.get("wait"):
            await pump(lambda: outcome["ended"], float(OPTIONS["wait"]))
        else:
            client.send_data(1, bytes([0x81, 0x83, 0, 0, 0, 0]) + b"bye")
            await pump(lambda: b"\x88" in received)
            client.send_data(1, bytes([0x88, 0x80, 0, 0, 0, 0]))
            await pump(lambda: outcome["ended"])
    outcome["early"] = b"early" in received
    place = received.rfind(b"\x88")
    outcome["code"] = int.from_bytes(received[place + 2:place + 4], "big") if place >= 0 else None
    writer.close()
    return outcome


if sys.argv[1] == "serve":
    asyncio.run(serve())
else:
    print(json.dumps(asyncio.run({"talk": talk, "wait": wait, "talk_http2": talk_http2}[sys.argv[1]]())))
