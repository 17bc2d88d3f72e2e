"""A service of WSGI that answers with the variables that were made of the request's fields. Usage: wsgi_peer.py serve PORT"""
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def application(environment, start):
    body = "".join(f"{name}={value}\n" for name, value in sorted(environment.items()) if name.startswith("HTTP_")).encode()
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


make_server("127.0.0.1", int(sys.argv[2]), application, handler_class=Quiet).serve_forever()
