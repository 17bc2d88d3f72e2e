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

    private static let asked = "location = /authz { internal; proxy_pass http://127.0.0.1:1/q; }"
    private static let guarded = "auth_request /authz; \(pass)"

    /// nginx guards the path, and what is written does not let it through to a service without asking.
    @Test(arguments: [
        ("location ~ ^/api { \(guarded) } location /api/public/ { \(pass) } location / { \(pass) }", "/api/public/x"),
        ("location ~ ^/api/ { \(guarded) } location ~ ^/api/public/ { \(pass) }", "/api/public/x"),
        ("location ~ \\.php$ { \(guarded) } location ~ ^/pub/ { \(pass) } location / { \(guarded) }", "/pub/x.php"),
        ("location ~ \\.sql$ { return 403; } location / { \(pass) }", "/x.sql"),
        ("location ~ \\.sql$ { if ($cookie_k != s) { return 403; } \(pass) } location / { \(pass) }", "/x.sql"),
        ("location ~ \\.sql$ { secure_link $arg_a; \(pass) } location / { \(pass) }", "/x.sql"),
        ("location /a+b/ { \(guarded) } location / { \(pass) }", "/a+b/x"),
        ("location \"/c d/\" { \(guarded) } location / { \(pass) }", "/c%20d/x"),
        ("location ~ ^/(a\\+b|c) { \(guarded) } location / { \(pass) }", "/a+b/x"),
        ("location /api/ { \(guarded) } location /api/* { \(pass) }", "/api/x"),
        ("location / { \(guarded) } location \"/u/{id}/\" { \(pass) }", "/u/5/x"),
        ("location /admin/ { deny all; } location /admin { \(pass) }", "/admin/x"),
        ("location /admin/ { auth_jwt x; \(pass) } location /admin { \(pass) }", "/admin/x"),
        ("location /a { \(guarded) } location ^~ /a/ { \(pass) }", "/a"),
        ("auth_request /authz; location / { auth_request off; try_files $uri @app; } location @app { \(pass) }", "/x"),
        ("location / { try_files $uri @app; } location @app { limit_except GET { deny all; } \(pass) }", "/x"),
        ("if ($scheme = http) { return 301 https://$host$request_uri; } location / { \(pass) }", "/x"),
        ("if ($http_x_forwarded_proto != https) { return 301 https://$host$request_uri; } location / { \(pass) }", "/x"),
        ("location /int/ { internal; location /int/sub/ { \(pass) } }", "/int/sub/x"),
        ("location /a/ { \(pass) location ~ ^/b/ { \(pass) } } location / { \(guarded) }", "/b/x"),
        ("location ~ ^/a|/secret { \(guarded) } location / { \(pass) }", "/x/secret/y"),
        ("location ~ ^/api/[^/]*$ { \(guarded) } location / { \(pass) }", "/api/"),
        ("location ~ ^/a./ { \(guarded) } location / { \(pass) }", "/ab/x"),
        ("location /a/b { \(pass) } location ~ ^/a/[^/]+$ { \(guarded) }", "/a/b"),
        ("location /u/ { deny all; } location ~ ^/u/\\d+/ { \(pass) }", "/u/abc/"),
        ("location /Admin/s/ { \(pass) } location ~* ^/admin/ { \(guarded) }", "/Admin/s/x"),
        ("location /Adm/ { \(pass) } location ~* ^/adm/ { \(guarded) }", "/Adm/x"),
        ("location /admin/ { \(pass) } location ~* ^/ADMIN/.*\\.php$ { \(guarded) }", "/admin/x.php"),
        ("location = /admin/ { \(pass) } location /admin { \(guarded) }", "/admin"),
        ("location ~ (/\\.|/private/) { deny all; } location / { \(pass) }", "/x/private/y"),
        ("location = /au { return 403; proxy_pass http://127.0.0.1:1; } location / { auth_request /au; \(pass) }", "/x"),
        ("location = /au { rewrite ^ /authz break; proxy_pass http://127.0.0.1:1; } location / { auth_request /au; \(pass) }", "/x"),
        ("rewrite ^/pub/(.*)$ /admin/$1 break; location /pub/ { \(pass) } location /admin/ { \(guarded) }", "/pub/x"),
        ("location ~ ^/admin/(users|roles)|^/secret/ { \(guarded) } location / { \(pass) }", "/secret/x"),
        ("location ^~ /app/ { \(pass) location ~* \\.(bak|sql)$ { deny all; } }", "/app/x.sql"),
        ("location ^~ /app/ { \(pass) location ~ /private/ { \(guarded) } }", "/app/private/x"),
        ("location ~ ^/files/[^.]+/edit$ { \(guarded) } location / { \(pass) }", "/files/a/b/edit"),
        ("location ~ ^/[^/]+/admin { \(guarded) } location /blog/ { \(pass) }", "/blog/admin"),
        ("location ~ ^/a/[^/]+/c { \(guarded) } location ~ ^/a/b/ { \(pass) }", "/a/b/c"),
        ("location ~* ^/admin/[^/]+/x { \(guarded) } location /Admin/b/ { \(pass) }", "/Admin/b/x"),
        ("location / { \(guarded) } location ~ ^/share/[A-Za-z0-9]+/ { \(pass) }", "/share/a-b/x"),
        ("location ~ ^/u/\\w+$ { \(pass) } location ~ ^/u/[^/]+$ { \(guarded) }", "/u/a-b"),
        ("location / { try_files /none @app; \(pass) } location @app { \(guarded) }", "/x"),
        ("location / { try_files $uri /g/$uri; \(pass) } location /g/ { \(guarded) }", "/x"),
        (
            "location = /au { internal; if ($request_uri ~ ^/admin) { return 403; } proxy_pass http://127.0.0.1:1; } location / { auth_request /au; \(pass) }",
            "/admin"
        ),
        (
            "location ~ ^/au { internal; proxy_pass http://127.0.0.1:1/a; } location /auth { proxy_pass http://127.0.0.1:1/b; } location /x { auth_request /auth; \(pass) }",
            "/none"
        ),
        ("location ~ \"^/u/\\d{0,3}$\" { \(guarded) } location / { \(pass) }", "/u/"),
        (
            "location /admin/ { set $role admin; auth_request /au; \(pass) } location = /au { internal; proxy_pass http://127.0.0.1:1; proxy_set_header X-Role $role; }",
            "/admin/x"
        ),
        ("listen 81 proxy_protocol; location / { allow 10.0.0.0/8; deny all; \(pass) }", "/x"),
        ("set_real_ip_from 127.0.0.1/8; location / { allow 127.0.0.0/8; deny all; \(pass) }", "/x"),
        ("location / { set_real_ip_from 10.0.0.0/8; allow 127.0.0.0/8; deny all; \(pass) }", "/x"),
        ("set_real_ip_from 10.0.0.0/8; real_ip_recursive on; location / { allow 127.0.0.0/8; deny all; \(pass) }", "/x"),
    ])
    func whatNginxGuardsIsServedToNobody(_ text: String, _ path: String) throws {
        let imported = try Importing.locations(text + " " + Self.asked)
        let route = try #require(Importing.serving(path, imported.text), "\(imported.text)")
        #expect(!Importing.openRoutes(imported).contains(route), "\(route)\n\(imported.text)")
        // Where networks are told in another way nothing is left of them.
        if text.contains("set_real_ip_from") || text.contains("proxy_protocol") {
            #expect(!imported.text.contains("from 1"), "\(imported.text)")
        }
        #expect(Importing.check(imported, besides: MemoryFiles([:])) == [], "\(imported.text)")
    }

    /// What is left to the services is what only denies.
    @Test func onlyDenialsAreLeftToTheServices() throws {
        func open(_ location: String) throws -> [String] {
            Importing.openRoutes(
                try Importing.text(
                    "server { listen 80; location / { \(Self.pass) } \(location) }", options: ImportOptions(dropsDenials: true)))
        }
        #expect(try open("location ~ \\.bak$ { deny all; }") == ["/**"] && open("location ~ \\.bak$ { return 404; }") == ["/**"])
        for other in ["return 302 /login;", "deny 10.0.0.1;", "satisfy any; deny all; auth_basic x;", "deny all; \(Self.pass)"] {
            #expect(try open("location ~ \\.bak$ { \(other) }") == [], "\(other)")
        }
    }

    /// Source of a program is not served as a file.
    @Test func whatAHandlerRunsIsNoFile() throws {
        let imported = try Importing.text(
            "server { listen 80; root /srv; location / { try_files $uri =404; } location ~ \\.php$ { fastcgi_pass 127.0.0.1:1; } }",
            options: ImportOptions(fileServer: "127.0.0.1:81"))
        #expect(Importing.openRoutes(imported) == [], "\(imported.text)")
    }

    @Test(arguments: [60, 300, 3_000]) func expressionsAreEvaluatedInTime(_ count: Int) throws {
        let path = String(repeating: "a", count: count)
        _ = try Importing.locations(
            "location ~ ^/a*a*a*a*$ { \(Self.pass) } location ~ ^/(a|aa)+$ { \(Self.pass) } location /\(path) { \(Self.pass) }")
    }

    @Test func optionsThatAreRefusedAreRefused() throws {
        let imported = try Importing.locations("if ($request_method = OPTIONS) { return 403; } location / { \(Self.pass) }")
        #expect(imported.text.contains("method GET HEAD POST PUT PATCH DELETE { }"), "\(imported.text)")
    }

    /// Methods that nginx refuses are refused.
    @Test(arguments: [
        "if ($request_method !~ ^(GET)$) { return 405; } location / { if ($request_method !~ ^(GET|POST)$) { return 405; } \(pass) }",
        "location / { if ($request_method !~ ^(GET)$) { return 405; } limit_except GET POST { deny all; } \(pass) }",
    ])
    func methodsAreThoseThatAllAllow(_ text: String) throws {
        let imported = try Importing.locations(text)
        let methods = imported.text.split(separator: "\n").filter { $0.contains("method GET") }
        #expect(!methods.contains { $0.contains("POST") } && (!methods.isEmpty || Importing.openRoutes(imported) == []), "\(imported.text)")
    }

    /// Which server is asked for which host.
    @Test func hostsBelongToTheServerThatNginxTakes() throws {
        func open(_ text: String) throws -> [String] { Importing.openRoutes(try Importing.text(text)) }
        // The default server is the one that says so.
        #expect(
            try open(
                "server { listen 80; server_name _; location / { \(Self.pass) } } server { listen 80 default_server; server_name _; location / { \(Self.guarded) } \(Self.asked) }"
            )
                == [])
        // One without a name that is not the default is never asked.
        #expect(
            try open(
                "server { listen 80; server_name a; location / { \(Self.guarded) } \(Self.asked) } server { listen 80; server_name _; location / { \(Self.pass) } }"
            ) == [])
        // Names that no route can have come before all other hosts.
        for name in ["~^admin\\.", "admin.*"] {
            #expect(
                try open(
                    "server { listen 80 default_server; location / { \(Self.pass) } } server { listen 80; server_name \(name); location / { \(Self.guarded) } \(Self.asked) }"
                )
                    == [])
        }
        // The first of two servers with one name has it.
        #expect(
            try Importing.text(
                "server { listen 80; server_name a; location / { return 403; } } server { listen 80; server_name a; location / { \(Self.pass) } } server { listen 80; server_name b; location / { \(Self.pass) } }"
            ).text.contains("host a {\n    # site.conf:1  location /\n    route /** { public; answer 403; }"))
        // What listens elsewhere is left out.
        #expect(
            try open(
                "server { listen 127.0.0.1:80; listen 127.0.0.1:81; server_name a; location / { \(Self.guarded) } location /x { \(Self.guarded) } \(Self.asked) } server { listen 127.0.0.1:81; server_name b; location / { \(Self.pass) } }"
            )
                == [])
    }

    @Test func aCommentMakesNoDump() throws {
        let imported = try Importing.text(
            "auth_request /authz;\n# configuration file of the office:\nserver { listen 80; location / { \(Self.pass) } \(Self.asked) }")
        #expect(Importing.openRoutes(imported) == [], "\(imported.text)")
    }

    @Test func logicOfMapsIsRefused() throws {
        let imported = try Importing.text(
            "map $cookie_s $be { default http://127.0.0.1:1; \"\" http://127.0.0.1:2; } server { listen 80; location / { proxy_pass $be; } }"
        )
        #expect(Importing.openRoutes(imported) == [])
        // What one server trusts, the others do not.
        let trusting = try Importing.text(
            "server { listen 80; server_name a; set_real_ip_from 127.0.0.1; location / { \(Self.pass) } } server { listen 80; server_name b; location / { allow 10.1.1.1; deny all; \(Self.pass) } }"
        )
        #expect(!trusting.text.contains("trusted_proxies"))
    }

    @Test func numbersWithoutBoundEndNothing() throws {
        let imported = try Importing.text(
            "limit_req_zone $remote_addr zone=z:1m rate=1r/s; server { listen 80; location / { limit_req zone=z burst=9223372036854775807; \(Self.pass) } }"
        )
        #expect(imported.text.contains("burst 1;") && imported.text.contains("delay 60000ms;"))
        let braces = String(repeating: "${", count: 50_000)
        _ = try Importing.locations("location / { add_header X \"\(braces)\"; \(Self.pass) }")
        let many = (0..<120).map { "location ~ ^/a\($0)/[a-h][a-h]$ { \(Self.pass) }" }.joined()
        #expect(try Importing.routes(Importing.locations(many).gateway).count <= 2_000)
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
