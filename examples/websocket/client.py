"""Opens a tunnel through the gateway: python3 client.py PORT TOKEN ORIGIN [WORD]. Prints the status, what comes back, and how it ends."""
import os, socket, ssl, sys

port, token, origin = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
client = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 30), server_hostname="localhost")
client.sendall(
    f"GET /chat/1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    f"Sec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==\r\nOrigin: {origin}\r\nCookie: access_token={token}\r\n\r\n".encode())
stream = client.makefile("rb")
print(stream.readline().split()[1].decode())
while stream.readline().strip():
    pass
if len(sys.argv) > 4:
    word, mask = sys.argv[4].encode(), os.urandom(4)
    client.sendall(bytes([0x81, 0x80 | len(word)]) + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(word)))
    for _ in range(2):
        start = stream.read(2)
        body = stream.read(start[1])
        if start[0] & 15 == 8:
            print(f"closed {int.from_bytes(body[:2], 'big')}: {body[2:].decode()}")
        else:
            print(body.decode())
