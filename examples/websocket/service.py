"""A chat with itself: python3 service.py PORT. Says back what it is told, with the name of who says it (RFC 6455)."""
import base64, hashlib, socketserver, struct, sys


class Chat(socketserver.StreamRequestHandler):
    def handle(self):
        fields = {}
        self.rfile.readline()
        while (line := self.rfile.readline().strip()):
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        if b"sec-websocket-key" not in fields:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nchat")
            return
        accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        while (start := self.rfile.read(2)):
            length = start[1] & 127
            if length == 126:
                length = struct.unpack("!H", self.rfile.read(2))[0]
            mask = self.rfile.read(4)
            text = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self.rfile.read(length)))
            if start[0] & 15 != 1:
                return
            reply = fields.get(b"x-user-id", b"nobody") + b": " + text
            self.wfile.write(bytes([0x81, len(reply)]) + reply)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Chat).serve_forever()
