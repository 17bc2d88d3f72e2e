import Import
import TestSupport
import Testing

/// Single constructs and what they become.
@Suite struct ConversionTests {
    private static let pass = "proxy_pass http://127.0.0.1:8080;"

    @Test(arguments: [
        ("location /a/ { proxy_pass http://127.0.0.1:1/; }", ["strip_prefix /a;"]),
        ("location /a/ { proxy_pass http://127.0.0.1:1/b/; }", ["strip_prefix /a;", "add_prefix /b;"]),
        ("location / { proxy_pass http://127.0.0.1:1/b/; }", ["add_prefix /b;"]),
        ("location = /a { proxy_pass http://127.0.0.1:1/b; }", ["strip_prefix /a;", "add_prefix /b;"]),
        ("location /a/ { proxy_pass http://127.0.0.1:1/b; }", ["answer 501"]),
        ("location /a/ { rewrite ^/a/(.*)$ /$1 break; \(pass) }", ["strip_prefix /a;"]),
        ("location /a/ { rewrite ^/a(/.*)$ $1 break; \(pass) }", ["strip_prefix /a;"]),
        ("location /a/ { rewrite ^/a/(.*)$ /b/$1 last; \(pass) }", ["answer 501"]),
        ("location / { grpc_pass grpc://127.0.0.1:50051; }", ["protocol h2;"]),
        ("location / { proxy_pass http://unix:/run/app.sock:/; }", ["server unix:/run/app.sock;", "forward_host localhost;"]),
        ("set $b http://127.0.0.1:7; location / { proxy_pass $b; }", ["server 127.0.0.1:7;"]),
        ("set $h 127.0.0.1; set $p 7; location / { proxy_pass http://$h:$p$request_uri; }", ["server 127.0.0.1:7;"]),
        ("location / { proxy_set_header X-Url $scheme://$host$request_uri; \(pass) }", ["set_header X-Url $request.url;"]),
        ("location / { proxy_set_header X-Url ${scheme}x; \(pass) }", ["set_header X-Url $(request.scheme)x;"]),
        (
            "location / { proxy_set_header X-A ''; proxy_set_header X-B $ssl_cipher; \(pass) }",
            ["remove_header X-A;", "remove_header X-B;"]
        ),
        ("location / { proxy_set_header X-A a$$; \(pass) }", ["set_header X-A a$$$$;"]),
        ("location / { add_header X-A \"a;b\" always; \(pass) }", ["add_response_header X-A \"a;b\" always;"]),
        ("add_header X-A 1; location / { add_header X-B 2; \(pass) }", ["add_response_header X-B 2;"]),
        ("location / { return 301 https://other.example$request_uri; }", ["answer 301 https://other.example$request.uri;"]),
        ("location / { return 302 /a?b=$arg_c; }", ["answer 302 /a?b=$query.c;"]),
        ("location / { default_type text/html; return 200 \"<b>\\\"ok\\\"</b>\"; }", ["answer 200 \"<b>\\\"ok\\\"</b>\" text/html;"]),
        ("location / { return 444; }", ["answer 403;"]),
        (
            "location / { limit_except GET { allow 10.0.0.0/8; deny all; } \(pass) }",
            ["method GET HEAD { }", "method POST PUT PATCH DELETE OPTIONS { from 10.0.0.0/8; }"]
        ),
        (
            "location / { client_max_body_size 0; proxy_connect_timeout 500ms; proxy_read_timeout 1h30m; \(pass) }",
            ["max_body_size unlimited;", "connect_timeout 500ms;", "stream_timeout 90m;"]
        ),
        ("location ~ ^/(a|b)/(c|d)$ { \(pass) }", ["route /a/c {", "route /a/d {", "route /b/c {", "route /b/d {"]),
        ("location ~ ^/v[12]/ { \(pass) }", ["route /v1/** {", "route /v2/** {"]),
        ("location ~* ^/Docs/ { \(pass) }", ["route /Docs/** {", "case_insensitive;"]),
        ("location ~ ^/u/[^/]+/x(/.*)?$ { \(pass) }", ["route /u/*/x/** {"]),
        ("location ~ /\\.(git|ht) { deny all; } location / { \(pass) }", ["route /.git/** { public; answer 403; }"]),
        ("location /a/ { auth_basic off; \(pass) location /a/b/ { \(pass) } }", ["route /a/b/** {"]),
        (
            "location / { satisfy any; allow 10.0.0.0/8; deny all; auth_request /q; \(pass) } location = /q { internal; proxy_pass http://127.0.0.1:1/q; }",
            ["network trusted-network 10.0.0.0/8;", "auth any trusted-network q;"]
        ),
        ("location / { root /var/www; try_files $uri @app; } location @app { \(pass) }", ["upstream service-8080;"]),
        (
            "location / { proxy_hide_header X-A; expires 1h; \(pass) }",
            ["remove_response_header X-A;", "set_response_header Cache-Control max-age=3600;"]
        ),
    ])
    func becomes(_ nginx: String, _ lines: [String]) throws {
        let imported = try Importing.locations(nginx)
        for line in lines { #expect(imported.text.contains(line), "\(line)\n\(imported.text)") }
        #expect(Importing.check(imported, besides: MemoryFiles([:])) == [], "\(imported.text)")
    }

    /// Vouch's own example: what it says with a refusal goes into the URL in nginx; and an expression that comes first keeps its routes.
    @Test func whatStandsBeforeAnExpressionIsNotClosedForIt() throws {
        let imported = try Importing.locations(
            """
            auth_request /q; auth_request_set $err $upstream_http_x_err; error_page 401 = @in;
            location @in { return 302 https://in.example/login?url=$scheme://$http_host$request_uri&error=$err; }
            location ~ ^/(login|static)/ { auth_request off; \(Self.pass) }
            location / { \(Self.pass) }
            location ~* \\.(png|css)$ { \(Self.pass) expires 7d; }
            location = /q { internal; proxy_pass http://127.0.0.1:1/q; }
            """)
        #expect(imported.text.contains("https://in.example/login?url=$request.url&error="), "\(imported.text)")
        #expect(
            Importing.openRoutes(imported).sorted() == ["/login/**", "/static/**"] && !imported.text.contains("answer 501"),
            "\(imported.text)")
        #expect(Importing.check(imported, besides: MemoryFiles([:])) == [])
    }

    /// Files first and then the service, behind a session: the named location has no demand of its own, and gets none of nginx's away.
    @Test func aNamedLocationIsBehindTheOneThatNamesIt() throws {
        let imported = try Importing.locations(
            """
            root /var/www; location / { auth_request /q; auth_request_set $uid $upstream_http_x_user; try_files $uri @app; }
            location @app { proxy_set_header X-User-Id $uid; \(Self.pass) }
            location = /q { internal; proxy_pass http://127.0.0.1:1/q; }
            """)
        let route = try #require(Importing.route("/**", imported)).text()
        #expect(route.contains("auth q;") && route.contains("set_header X-User-Id $claim.uid;"), "\(imported.text)")
        #expect(Importing.check(imported, besides: MemoryFiles([:])) == [])
    }

    @Test func variablesThatNobodySetsAreEmpty() throws {
        let imported = try Importing.locations(
            """
            location / { auth_request /q; error_page 401 = @in; \(Self.pass) }
            location @in { return 302 https://in.example?a=$scheme://$http_host$request_uri&b=$later; }
            location = /q { internal; proxy_pass http://127.0.0.1:1/q; auth_request_set $later $upstream_http_x; }
            """)
        #expect(
            imported.text.contains("sign_in \"https://in.example/?a=$request.url&b=\";")
                || imported.text.contains("sign_in https://in.example/?a=$request.url&b=;"), "\(imported.text)")
    }

    @Test func filesGoToAServerThatIsNamed() throws {
        let imported = try Importing.text(
            "server { listen 80; location /static/ { alias /srv/; auth_request /q; } location = /q { internal; proxy_pass http://127.0.0.1:1; } }",
            options: ImportOptions(fileServer: "127.0.0.1:8081"))
        #expect(
            imported.text.contains("upstream files { server 127.0.0.1:8081; }") && imported.text.contains("auth q;"), "\(imported.text)")
        #expect(imported.record.refusals == 0)
    }

    @Test func everyLineHasItsOutcome() throws {
        let imported = try Importing.locations(
            "gzip on; ssl_ciphers X; location / { js_content a.b; } location /b { proxy_pass http://127.0.0.1:1; }")
        let text = imported.record.text
        for line in [
            "gzip on\n    NOTE", "ssl_ciphers X\n    NOTE", "js_content a.b\n    REFUSED  njs is not run", "location /\n    REFUSED",
            "proxy_pass http://127.0.0.1:1\n    converted",
        ] {
            #expect(text.contains(line), "\(line)\n\(text)")
        }
        #expect(text.contains("site.conf:1  "))
    }
}
