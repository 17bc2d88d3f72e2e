"""An HTTP/2 server in clear, by h2, that does what is allowed and seldom met. Usage: http2_server.py serve PORT.

The path says what it does: /trailers answers with an empty body that has trailers; /few takes ten streams at once and is slow
to say so; /leave ends its first connection at the first request, of which it has done nothing.
"""
import socket
import sys
import threading
import time

import h2.config
import h2.connection
import h2.events
import h2.settings

first_leave = threading.Lock()


class Connection:
    def __init__(self, sock, port_number):
        self.socket = sock
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config=config)
        self.h2.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 10,
                                          h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65535})
        self.paths = {}
        self.bodies = {}
        self.lock = threading.Lock()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def serve(self):
        time.sleep(0.3)
        with self.lock:
            self.h2.initiate_connection()
            self.flush()
        while True:
            data = self.socket.recv(65536)
            if not data:
                return
            with self.lock:
                events = self.h2.receive_data(data)
                for event in events:
                    self.take(event)
                self.flush()

    def take(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.paths[event.stream_id] = dict(event.headers)[":path"]
            self.bodies[event.stream_id] = b""
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id] += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.answer(event.stream_id)

    def answer(self, stream):
        path = self.paths[stream]
        if path == "/leave" and first_leave.acquire(blocking=False):
            self.h2.close_connection(last_stream_id=0)
            self.flush()
            self.socket.shutdown(socket.SHUT_WR)
        elif path == "/trailers":
            self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc"), ("content-length", "0")])
            self.h2.send_headers(stream, [("grpc-status", "9"), ("grpc-message", "not now")], end_stream=True)
        elif path == "/few":
            threading.Timer(0.05, self.late, (stream,)).start()
        else:
            self.reply(stream)

    def late(self, stream):
        with self.lock:
            self.reply(stream)
            self.flush()

    def reply(self, stream):
        body = b"got " + self.bodies[stream]
        self.h2.send_headers(stream, [(":status", "200"), ("content-length", str(len(body)))])
        self.h2.send_data(stream, body, end_stream=True)


def serve(port):
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def run(connection):
            try:
                connection.serve()
            except (OSError, h2.exceptions.ProtocolError):
                pass
            finally:
                connection.socket.close()

        threading.Thread(target=run, args=(Connection(sock, port),), daemon=True).start()


if __name__ == "__main__":
    serve(int(sys.argv[2]))
