import Import
import TestSupport
import Testing

/// What is not understood never becomes public.
@Suite struct SafetyTests {
    private static let pass = "proxy_pass http://127.0.0.1:8080;"

    @Test(arguments: [
        "location / { access_by_lua_block { if x then return ngx.exit(403) end } \(pass) }",
        "location / { access_by_lua_file /x.lua; \(pass) }",
        "access_by_lua_file /x.lua; location / { \(pass) }",
        "location / { js_access main.check; \(pass) }",
        "location / { perl 'sub { }'; \(pass) }",
        "location / { auth_jwt realm; auth_jwt_key_file k; \(pass) }",
        "location / { auth_digest realm; \(pass) }",
        "location / { corp_sso on; \(pass) }",
        "corp_sso on; location / { \(pass) }",
        "location / { auth_request /nowhere-known; \(pass) } location = /x { }",
        "location / { auth_request /auth; \(pass) } location = /auth { content_by_lua_file x; }",
        "location / { auth_request /auth; \(pass) } location = /auth { internal; return 200; }",
        "location / { auth_request /auth; \(pass) } location = /auth { internal; if ($x) { return 403; } proxy_pass http://127.0.0.1:1; }",
        "location / { auth_request /auth; \(pass) } location = /auth { internal; proxy_pass http://$logic; }",
        "auth_request /auth; location / { \(pass) } location = /auth { internal; fastcgi_pass 127.0.0.1:1; }",
        "location / { auth_basic on; auth_basic_user_file missing; \(pass) }",
        "location / { auth_basic on; auth_basic_user_file md5; \(pass) }",
        "location / { auth_basic on; \(pass) }",
        "auth_basic on; auth_basic_user_file md5; location / { \(pass) }",
        "location / { auth_basic on; auth_basic_user_file good; auth_request /auth; \(pass) } location = /auth { internal; proxy_pass http://127.0.0.1:1; }",
        "location / { deny 10.0.0.1; allow all; \(pass) deny 10.0.0.2; }",
        "location / { allow unix:; deny all; \(pass) }",
        "location / { if ($http_x_key != secret) { return 403; } \(pass) }",
        "if ($http_x_key != secret) { return 403; } location / { \(pass) }",
        "location / { if ($cookie_session = '') { return 401; } \(pass) }",
        "location / { secure_link $arg_a; \(pass) }",
        "location / { valid_referers none; if ($invalid_referer) { return 403; } \(pass) }",
        "ssl_verify_client on; location / { \(pass) }",
        "location / { if ($a) { set $logic 1; } proxy_set_header X-User $logic; \(pass) }",
        "location / { proxy_set_header Cookie 'a=$cookie_b'; \(pass) }",
        "location / { limit_except GET { auth_basic on; auth_basic_user_file good; } \(pass) }",
        "location / { oidc_provider x; \(pass) }",
        "location / { modsecurity on; \(pass) }",
        // A regular expression guards what would come to the open location.
        "location / { \(pass) } location ~ secret { auth_request /auth; \(pass) } location = /auth { internal; proxy_pass http://127.0.0.1:1; }",
        "location / { \(pass) } location ~* \\.(pdf|doc)$ { auth_request /auth; \(pass) } location = /auth { internal; proxy_pass http://127.0.0.1:1; }",
        "location / { \(pass) } location ~ ^/.*/admin { deny all; }",
    ])
    func whatIsNotUnderstoodIsClosed(_ text: String) throws {
        let files = ["md5": "ann:$apr1$x$y\n", "good": "ann:$6$x$y\n"]
        let imported = try Importing.locations(text, files: files)
        #expect(Importing.openRoutes(imported) == [], "\(imported.text)")
        #expect(Importing.check(imported, besides: MemoryFiles(files)) == [], "\(imported.text)")
        #expect(imported.record.refusals > 0)
        // The reason stands in the file too.
        #expect(imported.text.contains("REFUSED") && imported.text.contains("answer 501"))
    }

    @Test(arguments: [
        ("location / { \(pass) } location ~ ^/secret/.*\\.pdf$ { auth_request /auth; \(pass) }", ["/**"], "/secret/**"),
        ("location / { \(pass) } location ~ ^/secret(?=x) { auth_request /auth; \(pass) }", [], "/**"),
        ("location / { \(pass) } location ~ ^/user/\\d+$ { auth_request /auth; \(pass) }", ["/**"], "/user/*"),
    ])
    func whatAnExpressionGuardsStaysGuarded(_ text: String, open: [String], closed: String) throws {
        let imported = try Importing.locations(text + "location = /auth { internal; proxy_pass http://127.0.0.1:1; }")
        #expect(Importing.openRoutes(imported) == open, "\(imported.text)")
        let route = try #require(Importing.route(closed, imported))
        #expect(
            (route.block ?? []).contains {
                $0.name == "auth" || $0.words == ["answer", "501", "this location of nginx is not imported yet"]
            })
        #expect(Importing.check(imported, besides: MemoryFiles([:])) == [])
    }

    /// Routes hold on every listener, so a server that only some can reach is not among them.
    @Test func aServerOnAnAddressOfItsOwnIsLeftOut() throws {
        let imported = try Importing.text(
            """
            server { listen 443 ssl; server_name a.example; ssl_certificate a.pem; ssl_certificate_key a.key; location / { \(Self.pass) } }
            server { listen 127.0.0.1:9000; location / { proxy_pass http://127.0.0.1:1; } }
            server { listen 9443 ssl; server_name b.example; ssl_certificate a.pem; ssl_certificate_key a.key; location / { \(Self.pass) } }
            """)
        #expect(Importing.routes(imported.gateway).count == 1 && imported.record.refusals == 2, "\(imported.text)")
    }

    /// A host whose server has no location for everything does not get the rest from the routes for every host.
    @Test func whatAHostDoesNotServeIsNotFoundElsewhere() throws {
        let imported = try Importing.text(
            """
            server { listen 80; server_name a.example; location /a/ { \(Self.pass) } }
            server { listen 80 default_server; location / { \(Self.pass) } }
            """)
        #expect(imported.text.contains("route /** { public; answer 404; }"), "\(imported.text)")
    }

    @Test func whatAnExpressionCoversIsNotServedByALongerPrefix() throws {
        let imported = try Importing.locations(
            """
            location ~ ^/api/ { auth_request /auth; \(Self.pass) }
            location /api/open/ { \(Self.pass) }
            location ^~ /api/free/ { \(Self.pass) }
            location = /auth { internal; proxy_pass http://127.0.0.1:1; }
            """)
        #expect(Importing.openRoutes(imported) == ["/api/free/**"], "\(imported.text)")
    }
}
