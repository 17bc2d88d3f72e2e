"""A client of TLS 1.3 that connects again and again, each time with the ticket of the connection before.

    resume.py PORT TIMES
"""
import json, socket, ssl, sys

port, times = int(sys.argv[1]), int(sys.argv[2])
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
session, told = None, {"versions": [], "reused": []}
for _ in range(times):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while client.recv(4096):
                pass
            told["versions"].append(client.version())
            told["reused"].append(client.session_reused)
            session = client.session
print(json.dumps(told))
