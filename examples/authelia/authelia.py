"""What Authelia says to a proxy that asks it: python3 authelia.py PORT. A cookie authelia_session=NAME is NAME's session."""
import http.cookies, http.server, sys, urllib.parse

GROUPS = {"root": "admins,staff", "ann": "staff"}


class Authelia(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        target = self.headers.get("X-Original-URL", "")
        session = http.cookies.SimpleCookie(self.headers.get("Cookie", "")).get("authelia_session")
        user = session.value if session else None
        fields, status = {}, 200
        if user not in GROUPS:
            status = 401
            fields["Location"] = "https://auth.example.com/?rd=" + urllib.parse.quote(target, safe="")
        elif urllib.parse.urlsplit(target).path.startswith("/admin") and "admins" not in GROUPS[user]:
            status = 403
        else:
            fields = {"Remote-User": user, "Remote-Groups": GROUPS[user], "Remote-Email": user + "@example.com"}
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Authelia).serve_forever()
