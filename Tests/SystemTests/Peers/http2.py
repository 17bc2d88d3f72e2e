"""An HTTP/2 client that does what a well-made one would not. Usage: http2.py SCENARIO PORT [ARGUMENT ...]; prints JSON.

The library h2 keeps the state; where a scenario needs frames that it would never send, they are made with hyperframe.
"""
import json
import socket
import ssl
import sys
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hpack
from hyperframe.frame import (ContinuationFrame, DataFrame, HeadersFrame, PingFrame, PriorityFrame, RstStreamFrame, SettingsFrame,
                              WindowUpdateFrame)


class Client:
    def __init__(self, port, window=None):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket = context.wrap_socket(raw, server_hostname="localhost")
        assert self.socket.selected_alpn_protocol() == "h2"
        config = h2.config.H2Configuration(client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False,
                                           validate_inbound_headers=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config=config)
        self.encoder = hpack.Encoder()
        self.streams = {}
        self.goaway = None
        self.closed = False
        self.credits = True
        self.partial = b""
        self.last_goaway_stream = None
        if window is not None:
            self.h2.local_settings = h2.settings.Settings(initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.raw(data)

    def raw(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            self.closed = True

    def stream(self, number):
        return self.streams.setdefault(number, {"headers": {}, "body": "", "trailers": {}, "reset": None, "ended": False, "interim": []})

    def head(self, path="/", method="GET", extra=(), authority="localhost"):
        return [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)] + list(extra)

    def request(self, fields, end=True):
        number = self.h2.get_next_available_stream_id()
        self.stream(number)
        self.h2.send_headers(number, fields, end_stream=end)
        self.flush()
        return number

    def raw_head(self, number, fields, end=True):
        """A head that h2 would refuse to send; h2 does not know of the stream."""
        block = self.encoder.encode(fields)
        pieces = [block[start:start + 16384] for start in range(0, len(block), 16384)] or [b""]
        frames = [HeadersFrame(number, pieces[0])] + [ContinuationFrame(number, piece) for piece in pieces[1:]]
        frames[-1].flags.add("END_HEADERS")
        if end:
            frames[0].flags.add("END_STREAM")
        return b"".join(frame.serialize() for frame in frames)

    def read_once(self, timeout=5.0):
        """Takes what comes; false at the end or after the timeout."""
        self.socket.settimeout(timeout)
        try:
            data = self.socket.recv(65536)
        except (TimeoutError, socket.timeout):
            return False
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return False
        for event in self.h2.receive_data(self.without_goaway(data)):
            self.take(event)
        self.flush()
        return True

    def without_goaway(self, data):
        """Takes GOAWAY frames out: h2 would give up the streams that are still under way."""
        self.partial += data
        rest = b""
        while len(self.partial) >= 9:
            length = 9 + int.from_bytes(self.partial[:3], "big")
            if len(self.partial) < length:
                break
            frame, self.partial = self.partial[:length], self.partial[length:]
            if frame[3] == 7:
                self.last_goaway_stream = int.from_bytes(frame[9:13], "big")
                self.goaway = int.from_bytes(frame[13:17], "big")
            else:
                rest += frame
        return rest

    def take(self, event):
        if isinstance(event, h2.events.ResponseReceived):
            self.stream(event.stream_id)["headers"] = dict(event.headers)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            self.stream(event.stream_id)["interim"].append(dict(event.headers))
        elif isinstance(event, h2.events.TrailersReceived):
            self.stream(event.stream_id)["trailers"] = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.stream(event.stream_id)["body"] += event.data.decode("latin-1")
            if self.credits and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.stream(event.stream_id)["ended"] = True
        elif isinstance(event, h2.events.StreamReset):
            self.stream(event.stream_id)["reset"] = int(event.error_code)

    def wait(self, number, seconds=10.0):
        """Until the stream is over."""
        end = time.monotonic() + seconds
        stream = self.stream(number)
        while not (stream["ended"] or stream["reset"] is not None) and not self.closed and time.monotonic() < end:
            self.read_once(0.2)
        return stream

    def wait_closed(self, seconds=10.0):
        end = time.monotonic() + seconds
        while not self.closed and time.monotonic() < end:
            try:
                self.read_once(0.2)
            except h2.exceptions.ProtocolError:
                pass
        return self.closed


def status(stream):
    return int(stream["headers"].get(":status", 0))


def heads(port, _):
    """Each odd head on a stream of its own, on one connection, and after each a good request."""
    odd = json.loads(sys.stdin.read() or "[]") if not sys.stdin.isatty() else []
    client = Client(port)
    results = []
    for fields in odd:
        # h2 numbers the streams; the frames are ours, with its own encoder, so that both tables agree.
        number = client.h2.get_next_available_stream_id()
        client.encoder = client.h2.encoder
        stream = client.stream(number)
        client.h2._begin_new_stream(number, h2.connection.AllowedStreamIDs.ODD)
        client.raw(client.raw_head(number, [tuple(field) for field in fields]))
        client.h2.streams[number].state_machine.process_input(h2.stream.StreamInputs.SEND_HEADERS)
        client.h2.streams[number].state_machine.process_input(h2.stream.StreamInputs.SEND_END_STREAM)
        client.wait(number, 5)
        if client.goaway is not None:
            results.append({"status": status(stream), "reset": stream["reset"], "good": 0, "goaway": client.goaway})
            break
        good = client.wait(client.request(client.head("/good")))
        results.append({"status": status(stream), "reset": stream["reset"], "good": status(good), "body": stream["body"]})
        if client.closed:
            break
    return {"results": results, "goaway": client.goaway}


def refused_head(port, arguments):
    """A head that is refused within itself, then so many seconds of silence, then a good request."""
    client = Client(port)
    refused = client.wait(client.request(client.head(extra=[("X-Upper", "1")])), 5)
    over = time.monotonic() + float(arguments[0])
    while time.monotonic() < over and not client.closed:
        client.read_once(0.1)
    good = {} if client.closed else client.wait(client.request(client.head("/good")))
    return {"reset": refused["reset"], "good": status(good) if good else 0, "goaway": client.goaway}


def cut_trailers(port, arguments):
    """So many connections, each of which ends in the middle of a request's trailers."""
    for _ in range(int(arguments[0])):
        client = Client(port)
        number = client.request(client.head(method="POST"), end=False)
        trailers = HeadersFrame(number, b"")
        trailers.flags.add("END_STREAM")
        client.raw(trailers.serialize())
        client.read_once(0.005)
        client.socket.close()
    return {"port": port}


def unended_head(port, arguments):
    """A head that is refused before its end, which never comes; says whether the connection ended within so many seconds."""
    client = Client(port)
    frame = HeadersFrame(1, client.encoder.encode(client.head(extra=[("X-Upper", "1")])))
    client.raw(frame.serialize())
    client.h2.receive_data = lambda data: []
    return {"closed": client.wait_closed(float(arguments[0])), "goaway": client.goaway}


def exchange(port, arguments):
    """One request: METHOD PATH, fields as name=value, `body=TEXT`, `trailer.NAME=VALUE`."""
    client = Client(port)
    method, path, *rest = arguments
    fields, body, trailers = [], None, []
    for item in rest:
        name, _, value = item.partition("=")
        if name == "body":
            body = value
        elif name.startswith("trailer."):
            trailers.append((name[8:], value))
        else:
            fields.append((name, value))
    number = client.request(client.head(path, method, fields), end=body is None and not trailers)
    if body is not None:
        client.h2.send_data(number, body.encode(), end_stream=not trailers)
    if trailers:
        client.h2.send_headers(number, trailers, end_stream=True)
    client.flush()
    return client.wait(number)


def short_body(port, _):
    """Bodies that are not as long as content-length says, and a good request on the same connection."""
    results = []
    client = Client(port)
    for length, body in ((10, b"short"), (3, b"too long")):
        number = client.request(client.head("/sink", "POST", [("content-length", str(length))]), end=False)
        client.h2.send_data(number, body, end_stream=True)
        client.flush()
        stream = client.wait(number, 5)
        results.append({"status": status(stream), "reset": stream["reset"]})
    good = client.wait(client.request(client.head("/good")))
    return {"results": results, "good": status(good), "goaway": client.goaway}


def slow_reader(port, arguments):
    """Asks for a path on many streams and gives no credit; says how much came."""
    path, count, seconds = arguments[0], int(arguments[1]), float(arguments[2])
    client = Client(port)
    client.credits = False
    numbers = [client.request(client.head(path)) for _ in range(count)]
    end = time.monotonic() + seconds
    while time.monotonic() < end and not client.closed:
        client.read_once(0.2)
    return {"bytes": sum(len(client.stream(number)["body"]) for number in numbers),
            "resets": [client.stream(number)["reset"] for number in numbers], "closed": client.closed}


def credit(port, arguments):
    """Uploads for so many seconds as far as credit goes; says how much that was."""
    client = Client(port)
    number = client.request(client.head(arguments[0], "POST"), end=False)
    sent, end = 0, time.monotonic() + float(arguments[1])
    while time.monotonic() < end and not client.closed:
        room = min(client.h2.local_flow_control_window(number), 16384)
        if room > 0:
            client.h2.send_data(number, b"x" * room)
            client.flush()
            sent += room
        else:
            client.read_once(0.1)
    return {"sent": sent}


def goaway(port, arguments):
    """Opens a slow stream, waits for GOAWAY, and tells how the stream ended."""
    client = Client(port)
    number = client.request(client.head(arguments[0]))
    print("asked", file=sys.stderr, flush=True)
    stream = client.wait(number, 20)
    client.wait_closed(20)
    return {"status": status(stream), "body": stream["body"], "goaway": client.goaway, "closed": client.closed}


class Flood:
    """One kind of frame, made 200 at a time."""

    def __init__(self, client, kind):
        self.client, self.make = client, getattr(self, kind)
        self.number = -1
        self.begun = False

    def batch(self):
        return b"".join(self.make() for _ in range(200))

    def next(self):
        self.number += 2
        return self.number

    def head(self, number, ends=True, extra=()):
        return self.client.raw_head(number, self.client.head("/flood", extra=extra), ends)

    def once(self, make):
        """What `make` gives for the first frame, and nothing after that."""
        begun, self.begun = self.begun, True
        return b"" if begun else make()

    def reset(self):
        number = self.next()
        return self.head(number) + RstStreamFrame(number, 8).serialize()

    def made_you_reset(self):
        # Credit beyond the most there can be has the server reset the stream.
        number = self.next()
        return self.head(number, False) + WindowUpdateFrame(number, window_increment=0x7FFFFFFF).serialize()

    def settings(self):
        return SettingsFrame(0).serialize()

    def ping(self):
        return PingFrame(0, b"12345678").serialize()

    def priority(self):
        return PriorityFrame(self.next(), stream_weight=5).serialize()

    def window_update(self):
        return WindowUpdateFrame(0, window_increment=1).serialize()

    def empty_data(self):
        return self.once(lambda: self.head(1, False)) + DataFrame(1, b"").serialize()

    def continuation(self):
        def first():
            return HeadersFrame(1, self.client.encoder.encode(self.client.head("/flood"))).serialize()
        return self.once(first) + ContinuationFrame(1, b"").serialize()

    def hpack_bomb(self):
        # An indexed field of one byte that unpacks to 4 KB, over and over.
        first = self.once(lambda: self.head(self.next(), extra=[("x-bomb", "b" * 3900)]))
        frame = HeadersFrame(self.next(), self.client.encoder.encode(self.client.head("/flood")) + b"\xbe" * 12000)
        frame.flags.add("END_HEADERS")
        frame.flags.add("END_STREAM")
        return first + frame.serialize()


def flood(port, arguments):
    """Sends one kind of frame as fast as it can, for so many seconds, on one connection after the other."""
    kind, seconds = arguments[0], float(arguments[1])
    end = time.monotonic() + seconds
    outcome = {"connections": 0, "ended": 0, "batches": 0, "goaways": {}}
    while time.monotonic() < end:
        client = Client(port)
        outcome["connections"] += 1
        client.read_once(1)
        frames = Flood(client, kind)
        while time.monotonic() < end and not client.closed:
            client.raw(frames.batch())
            outcome["batches"] += 1
            try:
                while client.read_once(0.0005):
                    pass
            except h2.exceptions.ProtocolError:
                pass
        if client.closed:
            outcome["ended"] += 1
            code = str(client.goaway)
            outcome["goaways"][code] = outcome["goaways"].get(code, 0) + 1
    return outcome


def crowd(port, arguments):
    """Many connections of HTTP/1.1 in clear that come on by a byte at a time; new ones for those that are ended. Slow readers are fewer and
    do not come again: what the system's buffers hold for each of them is megabytes, which are sent at full speed at first."""
    kind, seconds = arguments[0], float(arguments[1])
    first = {"slow_heads": b"GET /good HTTP/1.1\r\nHost: a\r\n", "slow_bodies": b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n",
             "slow_readers": b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n"}[kind]
    end = time.monotonic() + seconds
    clients, outcome = [], {"connections": 0, "ended": 0}
    while time.monotonic() < end:
        while len(clients) < (150 if kind == "slow_heads" else 40) and (kind != "slow_readers" or outcome["connections"] < 20):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(first)
            client.setblocking(False)
            clients.append(client)
            outcome["connections"] += 1
        kept = []
        for client in clients:
            try:
                if kind != "slow_readers":
                    client.send(b"x")
                if client.recv(500 if kind == "slow_readers" else 4096) == b"":
                    raise ConnectionError
                if kind != "slow_readers":
                    raise ConnectionError  # it has been refused
            except BlockingIOError:
                pass
            except OSError:
                client.close()
                outcome["ended"] += 1
                continue
            kept.append(client)
        clients = kept
        time.sleep(0.02)
    return outcome


def spin(_, arguments):
    """Keeps a processor busy."""
    end = time.monotonic() + float(arguments[0])
    count = 0
    while time.monotonic() < end:
        count += 1
    return {"count": count}


def latency(port, arguments):
    """Asks for one thing after the other on one connection; the answers' times in milliseconds."""
    end = time.monotonic() + float(arguments[0])
    client = Client(port)
    times, bad = [], 0
    while time.monotonic() < end and not client.closed:
        begun = time.monotonic()
        stream = client.stream(client.request(client.head("/good")))
        while not stream["ended"] and client.read_once():
            pass
        times.append((time.monotonic() - begun) * 1000)
        if status(stream) != 200:
            bad += 1
        time.sleep(0.001)
    times.sort()
    if not times:
        return {"count": 0, "bad": bad, "closed": client.closed}
    return {"count": len(times), "bad": bad, "p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]}


SCENARIOS = {name: value for name, value in globals().items() if callable(value) and getattr(value, "__module__", "") == "__main__"}

if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]](int(sys.argv[2]), sys.argv[3:])))
