"""A service that checks tokens for a proxy that asks it: python3 jwt_service.py PORT SECRET_FILE. HS256, as many have written it themselves."""
import base64, hashlib, hmac, http.server, json, sys, time

SECRET = open(sys.argv[2], "rb").read().rstrip(b"\n")


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims(authorization):
    """The claims of a good token; None for any other."""
    try:
        head, body, signature = authorization.removeprefix("Bearer ").split(".")
        expected = hmac.new(SECRET, f"{head}.{body}".encode(), hashlib.sha256).digest()
        claims = json.loads(decoded(body))
        good = json.loads(decoded(head))["alg"] == "HS256" and hmac.compare_digest(expected, decoded(signature))
        return claims if good and claims["exp"] > time.time() else None
    except (ValueError, KeyError, TypeError):
        return None


class Verifier(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        found = claims(self.headers.get("Authorization", ""))
        self.send_response(200 if found else 401)
        if found:
            self.send_header("X-Sub", found["sub"])
        self.send_header("Content-Length", "0")
        self.end_headers()


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Verifier).serve_forever()
