"""What oauth2-proxy says to a proxy that asks it: python3 oauth2_proxy.py PORT. A cookie _oauth2_proxy=NAME is NAME's session."""
import http.cookies, http.server, sys


class OAuth2Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        fields, status, body = {}, 202, b""
        session = http.cookies.SimpleCookie(self.headers.get("Cookie", "")).get("_oauth2_proxy")
        if not self.path.startswith("/oauth2/auth"):
            # The page that begins to sign in, at the identity provider.
            status, fields = 302, {"Location": "https://idp.example.com/authorize", "Set-Cookie": "_oauth2_proxy_csrf=1; Path=/"}
        elif not session:
            status, body = 401, b"Unauthorized\n"
        else:
            fields = {
                "X-Auth-Request-User": session.value, "X-Auth-Request-Email": session.value + "@example.com",
                "X-Auth-Request-Access-Token": "token-of-" + session.value, "Set-Cookie": "_oauth2_proxy=" + session.value + "; Path=/; HttpOnly",
            }
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), OAuth2Proxy).serve_forever()
