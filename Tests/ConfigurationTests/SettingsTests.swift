import Authentication
import ConfigFile
import Foundation
import Configuration
import Processes
import Routing
import TestSupport
import Testing

let keySet =
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"kid\":\"a\"}]}"
private let good = """
    listen 127.0.0.1:1 { plaintext; }
    issuer sso { url https://sso; keys /k.json; audience a; algorithms EdDSA; scope_match usso; }
    limit few { rate 5/minute; key $claim.sub; }
    upstream app { server 127.0.0.1:2; }

    """

private func errors(_ text: String) -> [String] {
    let diagnostics = Diagnostics()
    _ = Settings(
        "f",
        files: MemoryFiles([
            "f": text, "/k.json": keySet, "/s": "0123456789abcdef0123456789abcdef\n", "/short": "0123456789abcdef0123456789abcde\n",
        ]), environment: [:], processors: 2, diagnostics)
    return diagnostics.messages
}

private func warnings(_ text: String) -> (errors: [String], warnings: [String]) {
    let diagnostics = Diagnostics()
    _ = Settings("f", files: MemoryFiles(["f": text, "/k.json": keySet]), environment: [:], processors: 2, diagnostics)
    return (diagnostics.messages, diagnostics.warnings)
}

@Suite struct SettingsTests {
    @Test(arguments: [
        ("location / { proxy_pass http://a; }", "in nginx location; here: route /PATH/** { … }"),
        ("server { listen 80; }", "in nginx server; here: listen ADDRESS { … }"), ("http { }", "this is a configuration of nginx"),
        ("route / { upstream app; public; proxy_set_header X a; }", "in nginx proxy_set_header; here: set_header NAME VALUE;"),
        ("route / { upstream app; public; add_header X a; }", "here: add_response_header NAME VALUE [always];"),
        ("route / { upstream app; public; websocket; }", "here: upgrade websocket; in the route"),
        ("route / { upstream app; public; grpc on; }", "with protocol h2 in it"),
        ("route / { upstream app; public; auth_request /x; }", "here: authorizer NAME { server …; path …; }, and auth NAME;"),
        ("route / { upstream app; public; set_header X $remote_addr; }", "in nginx $remote_addr; here: $client.ip"),
        ("route / { upstream app; public; set_header X $http_x_y; }", "in nginx $http_x_y; here: $header.x-y"),
        ("route / { upstream app; public; set_header X $cookie_a; }", "here: $cookie.a"),
        ("route / { upstream app; public; set_header X $scheme://$host$request_uri; }", "here: $request.scheme"),
        ("route / { upstream app; auth sso; require $arg_x = 1; }", "here: $query.x"),
        ("route / { upstream app; auth sso; error_page 401 = @login; }", "here: sign_in URL;"),
        ("upstream two { server a:1; answer_timeout 20d; stream_timeout 400d; }", "from 1ms to 365d"),
    ]) func wordsOfNginxAreAnsweredWithOurs(text: String, expected: String) {
        let found = errors(good + text + " route /** { upstream app; auth sso; limit few; }")
        #expect(found.contains { $0.contains(expected) }, "\(found)")
        #expect(found.count { $0.contains("20d") } == 0)
    }

    @Test func filesAreLookedForBesideTheFileThatNamesThem() {
        let text = good.replacing("/k.json", with: "keys/k.json") + "include more/r.conf;"
        let files = MemoryFiles([
            "conf/f": text, "conf/keys/k.json": keySet, "conf/more/p.html": "x",
            "conf/more/r.conf": "route /** { upstream app; auth sso; limit few; error_page 401 p.html; }",
        ])
        let diagnostics = Diagnostics()
        let settings = Settings("conf/f", files: files, environment: [:], processors: 2, diagnostics)
        #expect(diagnostics.messages == [] && settings.issuers.first?.keys == .file("conf/keys/k.json"))
    }

    @Test(
        arguments: [
            ("srv _http._tcp.app.test;", nil), ("srv _http._tcp.app.test. { resolver 127.0.0.1:8600 ::1; }", nil),
            ("srv _HTTP._tcp.app.test; ejection off; balance p2c;", nil),
            ("srv app.test;", "'app.test' is not the name of a service"), ("srv _http._tcp;", "is not the name of a service"),
            ("srv _http._tcp.a..b;", "is not the name of a service"), ("srv;", "srv has one name"),
            ("srv _http._tcp.app.test { resolver dns.test; }", "'dns.test' is not the address of a resolver"),
            ("srv _http._tcp.app.test { resolver 1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.4; }", "no more than 3 resolvers are asked"),
            ("srv _http._tcp.app.test; server 127.0.0.1:3;", "stand in the file or in the DNS, not in both"),
            ("srv _http._tcp.app.test; tls;", "the names of these servers come from the DNS, which vouches for none of them"),
            ("srv _http._tcp.app.test; tls { server_name app.test; }", nil),
            ("server 127.0.0.1:3; health_check grpc { }", "a check of grpc speaks HTTP/2"),
            ("server 127.0.0.1:3; protocol h2; health_check grpc shop.Orders { path /x; }", "so it has no path"),
            ("server 127.0.0.1:3; protocol h2; health_check grpc shop.Orders { host a; header X-A b; }", nil),
            ("server 127.0.0.1:3; health_check { header 'a b' c; }", "'a b' is not the name of a field"),
        ] as [(String, String?)]) func serversOfAService(text: String, expected: String?)
    {
        let found = errors(
            good
                + "upstream other { \(text) } route /** { upstream app; auth sso; limit few; } route /o { upstream other; auth sso; limit few; }"
        )
        if let expected { #expect(found.contains { $0.contains(expected) }, "\(found)") } else { #expect(found == []) }
    }

    @Test func aGoodFileHasNoErrors() { #expect(errors(good + "route /** { upstream app; auth sso; limit few; }") == []) }

    @Test(arguments: [
        ("route /a { upstream app; }", "says neither auth nor public"),
        ("route /a { upstream app; auth sso; public; }", "public or asks for a credential, not both"),
        ("route /a { upstream app; public; scope read:x; }", "a public route has no scope"),
        ("route /a { upstream app; auth sso; scope fly:x; }", "'fly' is not an action"),
        ("route /a { upstream ap; auth sso; limit few; }", "did you mean 'app'?"),
        ("route /a { upstream app; auth sso; limit fwe; }", "there is no limit 'fwe'"),
        ("route /a/{id} { upstream app; auth sso; require $claim.x = $path.idd; }", "did you mean $path.id?"),
        ("route /a { upstream app; auth sso; method GET { require $claim.x = $path.no; } }", "has no {no}"),
        ("route /a { upstream app; public; limit few; }", "a public route has no $claim.sub"),
        ("route /a { upstream app; auth sso; }\nroute /a { upstream app; public; }", "matches the same requests"),
        ("route /a { upstream app; auth sso; method get { } }", "did you mean GET?"),
        ("route /a { upstream app; auth sso; method \"GE T\" { } }", "is not a method"),
        ("route /a { upstream app; auth sso; scope \"read:x\ty\"; }", "visible ASCII"),
        ("route /a/{w} { upstream app; auth sso; require $claim.x != \"$path.w\"; }", "stands alone and without quotes"),
        ("route /a/{w} { upstream app; auth sso; require $claim.x = p-$path.w; }", "stands alone and without quotes"),
        ("issuer s2 { url https://s; keys /k.json; audience a; algorithms EdDSA; leeway 900ms; }", "in whole seconds"),
        ("route /a { upstream app; auth sso; method TRACE { } }", "is never forwarded"),
        ("route /a { upstream app; auth sso; upgrade h2c; }", "never passed on"),
        ("route /a { upstream app; auth sso; upgrade websocket WebSocket; }", "stands twice"),
        (
            "upstream two { server a:1; protocol h2; } route /a { upstream two; auth sso; upgrade websocket; }",
            "needs an upstream of HTTP/1.1"
        ),
        ("upstream two { server a:1; protocol h2; proxy_protocol v2; } route /a { upstream two; public; }", "can name only one"),
        ("upstream two { server a:1; protocol h3; } route /a { upstream two; public; }", "'h3'"),
        ("route /a { upstream app; public; on_expiry keep; }", "no credential that could expire"),
        ("route /a { upstream app; auth sso; on_expiry never; }", "'never'"),
        ("listen 127.0.0.1:9 { plaintext; proxy_protocol 10.0.0.1/8; }", "is not a network"),
        ("route /a { upstream app; auth sso; set_header Host x; }", "the gateway itself sets or strips Host"),
        ("route /a { upstream app; auth sso; set_header X-A $nonsense; }", "there is no variable $nonsense"),
        ("route /a { upstream app; auth sso; strip_prefix /b; }", "does not begin with this prefix"),
        ("issuer two { url https://two; keys http://two/jwks; audience a; algorithms EdDSA; }", "keys come over https"),
        (
            "issuer two { url https://two; keys /k.json; audience a; algorithms HS256; }",
            "HS256 is for a shared secret, and this issuer has keys"
        ),
        ("issuer two { url https://two; secret /s; audience a; algorithms ES256; }", "ES256 is for keys, and this issuer has a secret"),
        (
            "issuer two { url https://two; secret /s; keys /k.json; audience a; algorithms HS256; }",
            "an issuer has keys or a secret, not both"
        ),
        ("issuer two { url https://two; secret /short; audience a; algorithms HS256; }", "/short holds no secret of at least 32 bytes"),
        ("issuer two { url https://two; secret /none; audience a; algorithms HS256; }", "cannot read /none"),
        ("issuer two { url https://two; secret /s base65; audience a; algorithms HS256; }", "'base65' is not understood here"),
        ("issuer two { url https://two; keys /k.json; algorithms EdDSA; }", "has no audience"),
        ("issuer two { url https://sso; keys /k.json; audience a; algorithms EdDSA; }", "two issuers have the url"),
        ("issuer two { url https://two; keys /none.json; audience a; algorithms EdDSA; }", "cannot read /none.json"),
        ("limit x { rate 5; key $client.ip; }", "'5' is not a rate"),
        ("limit x { rate 5/minute; key $client.ip; store redis1; }", "there is no redis 'redis1'"),
        ("limit x { rate 5/minute; key $client.ip; when_store_fails open; }", "is for limits kept in Redis"),
        ("limit x { rate 5/minute; key $client.ip; lease 2; }", "lease is for limits kept in Redis"),
        ("redis main { address 127.0.0.1:1; } limit x { rate 5/minute; key $client.ip; store main; lease 6; }", "more than the 5"),
        ("redis r { address a:1; address b:2; }", "'address' stands twice in a redis"),
        ("redis r { address a:1; cluster b:2; }", "a redis has address or cluster, not both"),
        ("redis r { cluster a:1 a:1; }", "a:1 stands there twice"),
        ("limit l { rate 1/d; burst 2000; key $client.ip; }", "is not whole again for years"),
        ("limit l { quota 5/month; rate 1/s; key $client.ip; }", "a limit has a quota or a rate, not both"),
        ("limit l { quota 5/fortnight; key $client.ip; }", "'5/fortnight' is not a quota"),
        ("limit l { quota 5/month { timezone Mars/Base; } key $client.ip; }", "the system knows no time zone 'Mars/Base'"),
        ("limit l { quota 5/day { starts 3; } key $client.ip; }", "starts is for months and weeks"),
        ("limit l { rate 5/m; window fixed; burst 2; key $client.ip; }", "a window has no burst"),
        ("limit l { rate 5/100ms; window fixed; key $client.ip; }", "a window of less than a second"),
        ("limit l { rate 5000000/m; window sliding; key $client.ip; }", "a sliding window counts up to"),
        ("limit l { rate $claim.a { default 5/m; redis main x; } key $client.ip; }", "there is no redis 'main'"),
        ("limit l { rate $claim.a { big 100/m; default 4/m; } key $claim.sub; reserve 20%; }", "of so few nothing can be reserved"),
        ("limit l { rate 5/m; window fixed; key $client.ip; delay 1s; }", "a delay is of a rate"),
        ("limit l { rate 5/m; key $client.ip; delay 2m; }", "2m"),
        ("limit l { rate 5/m; key $client.ip; reserve 100%; }", "'100%' is no part"),
        ("limit l { rate 4/m; key $client.ip; reserve 20%; }", "of so few nothing can be reserved"),
        ("limit l { lockout 4/m { status 401; } key $client.ip; reserve 20%; }", "a lockout has no reserve"),
        ("limit l { rate 5/m; key $client.ip; } route /r { upstream app; public; limit l { critical; } }", "reserves nothing"),
        ("limit l { rate 5/m; key $client.ip; together $client.ip; }", "together is for limits kept in Redis"),
        (
            "redis r { address 127.0.0.1:1; } limit l { rate 5/m; key $client.ip; store r; together $header.x; }",
            "what limits stand together by is a part of their keys"
        ),
        ("limit l { rate 5/m; key $client.ip; allow $header.x y; }", "'$header.x' is no claim"),
        ("limit l { rate 5/m; key $client.ip; allow nowhere; }", "'nowhere' is not a network"),
        ("limit l { rate 5/m; key $client.ip; allow $claim.role; }", "which values are allowed?"),
        ("redis r { shards a:1; }", "write shards HOST:PORT HOST:PORT …"),
        ("redis r { cluster a:1; database 2; }", "a cluster has one database"),
        ("limit l { rate 5/m; key $limits.exceeded; }", "$limits.exceeded stands in set_header alone"),
        ("redis r { cluster a:1; rehash_after 5s; }", "rehash_after is for shards"),
        ("redis r { sentinel a:1 { tls; } }", "a sentinel needs the master's name"),
        ("redis r { address a:1; password x; password_file y; }", "there are a password and a password_file"),
        ("redis r { address a:1; password_file /none; }", "cannot read /none"),
        ("listen 127.0.0.1:9 { redirect http; }", "'redirect' cannot be 'http'"),
        ("listen 127.0.0.1:9 { redirect https 0; }", "'0' is not a port"),
        ("issuer two { url https://two; keys /k.json; audience a; algorithms EdDSA; max_stale 1h; }", "a file is never stale"),
        ("issuer two { url https://two; keys https://a/b; audience a; algorithms EdDSA; proxy a:1; }", "'a:1' is not a proxy"),
        ("issuer two { url https://two; keys /k.json; audience a; algorithms EdDSA; token_types 'a b'; }", "'a b' is not a type"),
        ("token { cookie a; csrf_origins https://a/b; }", "'https://a/b' is not an origin"),
        ("token { cookie a; csrf maybe; }", "'csrf' cannot be 'maybe'"),
        ("route /a { upstream app; auth sso; set_header X-A $claim.b separator; }", "the form of this value is not understood"),
        ("route /a { upstream app; auth sso; set_header X-User_Id a; set_header x-user-id b; }", "is set twice"),
        ("route /a { upstream app; auth sso; set_header X_Forwarded_For a; }", "the gateway itself sets or strips"),
        ("route /a { host 'a,b'; upstream app; auth sso; }", "is not a host name"),
        ("listen 127.0.0.1:9 { }", "neither tls nor redirect"), ("listen 127.0.0.1:1 { plaintext; }", "is listened on twice"),
        ("listen 127.0.0.1:9 { plaintext; protocols h2; }", "HTTP/2 needs a listener with tls"),
        ("trusted_proxies 10.0.0.1/8;", "is not a network"), ("worker 2;", "did you mean 'workers'?"),
        ("client_limits { streams 0; }", "a number from 1 to"), ("client_limits { resets 10; }", "'10' is not a rate"),
        ("client_limits { connections 5; connections 6; }", "connections"), ("client_limits { strems 5; }", "did you mean 'streams'?"),
        ("client_limits 5 { }", "client_limits"), ("client_limits { memory 1m; }", "memory is at least 16m"),
        ("client_limits { head_size 1m; }", "head_size is from 1k to 64k"), ("client_limits { upload_rate 5; }", "'5' is not a rate"),
        ("client_limits { download_rate 5/10ms; }", "no more often than once in a second"),
        ("route /a { upstream app; auth sso; upgrade websocket; method POST { } }", "an upgrade comes with GET"),
        ("route /v { public; upstream app; require_content_type json; }", "'json' is not a media type"),
        ("route /v { public; upstream app; max_fields 0; }", "1 to 10000"),
        ("session { }", "'session' is not available yet"),
        ("workers auto 4;", "'workers' has 2 arguments"), ("issuer { }", "'issuer' has 0 arguments"),
    ])
    func complains(more: String, expected: String) {
        let found = errors(good + more + "\nroute /z/** { upstream app; auth sso; limit few; }")
        #expect(found.contains { $0.contains(expected) }, "\(found)")
    }

    @Test(arguments: [
        ("redis r { address 127.0.0.1:6379; }", "redis 'r' is used nowhere"),
        ("upstream spare { server 127.0.0.1:9; }", "upstream 'spare' is used nowhere"),
        (
            "limit slow { rate 1/s; delay 20s; key $client.ip; } route /s { upstream app; public; limit slow; }",
            "requests that slow has wait may be cut by a reload: they wait for up to 20000 ms, and the drain takes 30000"
        ),
        ("route /n { upstream app; auth sso; set_header X-R $claim.realm_access.roles; }", "write $claim./realm_access/roles"),
    ])
    func warns(more: String, expected: String) {
        let found = warnings(good + more + "\nroute /z/** { upstream app; auth sso; limit few; }")
        #expect(found.errors.isEmpty, "\(found.errors)")
        #expect(found.warnings.contains { $0.contains(expected) }, "\(found.warnings)")
    }

    /// What a tunnel alone is limited by is looked at like all that a route makes use of.
    @Test func aTunnelsLimitNamesAPartOfThePath() {
        let limit = "limit per_room { rate 5/s; key $path.room; }"
        let route = "upgrade websocket { limit per_room; } limit few; }"
        #expect(errors(good + limit + "route /z/{room} { upstream app; auth sso; " + route).isEmpty)
        #expect(errors(good + limit + "route /z/{hall} { upstream app; auth sso; " + route).contains { $0.contains("has no {room}") })
    }

    @Test func aBadFileNeverTraps() {
        for text in [
            "issuer { }\nissuer b { url https://b; keys /k.json; audience a; algorithms EdDSA; }\nroute /x { upstream app; auth b; }",
            "issuer a { }\nissuer a { url https://b; keys /k.json; audience a; algorithms EdDSA; }\nroute /x { upstream app; auth a; scope read:x; }",
            "route { }", "limit { }", "upstream;", "redis x;", "token x { } token;", "listen;",
        ] {
            #expect(!errors(text).isEmpty)
        }
    }

    @Test func privateKeysAreWipedAndNothingElse() {
        func wiped(_ text: String) -> String {
            let files = FileBundle(contents: ["/a": [UInt8](text.utf8)])
            files.wipePrivateKeys()
            let once = String(decoding: files.contents["/a"] ?? [], as: UTF8.self)
            files.wipePrivateKeys()
            #expect(String(decoding: files.contents["/a"] ?? [], as: UTF8.self) == once)
            return once
        }
        let certificate = "-----BEGIN CERTIFICATE-----\nxy==\n-----END CERTIFICATE-----\n"
        for kind in ["", "EC ", "RSA ", "ENCRYPTED "] {
            let (begin, end) = ("-----BEGIN \(kind)PRIVATE KEY-----", "-----END \(kind)PRIVATE KEY-----")
            #expect(wiped("# k\n\(begin)\nAbC=\r\nd\n\(end)\n\(certificate)") == "# k\n\(begin)\nAAAA\r\nA\n\(end)\n\(certificate)")
            // White space stays: OpenSSL cuts it off the ends of lines. The last line of a short one is not taken for a first.
            #expect(wiped("\(begin)\nAbC= \t\n\(end)\n\(certificate)") == "\(begin)\nAAAA \t\n\(end)\n\(certificate)")
            #expect(wiped("\(begin)\nb\n\(end)\n\(certificate)") == "\(begin)\nA\n\(end)\n\(certificate)")
            // A mark of the byte order before it, no end, two in a row.
            #expect(wiped("\u{FEFF}\(begin)\nsecret") == "\u{FEFF}\(begin)\nAAAAAA")
            #expect(!wiped("\(begin)\n\(begin)\nsecret\n\(end)\n").contains("secret"))
            #expect(wiped("\(certificate)\(begin)\nsecret\n\(end)") == "\(certificate)\(begin)\nAAAAAA\n\(end)")
        }
        for text in ["a PRIVATE KEY-----x", certificate, ""] { #expect(wiped(text) == text) }
        // Whatever stands there, it takes no long time.
        let marks = String(repeating: "PRIVATE KEY-----", count: 60_000)
        #expect(wiped(marks) == marks)
        #expect(!wiped(String(repeating: "-----BEGIN PRIVATE KEY-----\nsecret\n", count: 20_000)).contains("secret"))
    }

    @Test func theBundleComesBackAsItWas() throws {
        let bundle = FileBundle(contents: ["/a": [1, 2, 3], "/b": []])
        #expect(FileBundle(encoded: bundle.encoded) == bundle)
        for cut in 0..<bundle.encoded.count { #expect(FileBundle(encoded: Array(bundle.encoded[..<cut])) == nil) }
    }
}

private let htpasswd =
    "ann:$6$lLtuJx7wTxLlzHXL$KidlY06TJ/l2st1I9fPvpdodCyUxeh5gt.rX/.mQQ80/WHj3gMSNwVdlzpV5agQDii03OhsHFjrD.79163VWW0\n"

@Suite struct ExampleTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The files that the example names, made for the test.
    private func check(_ file: String) throws -> (Settings, [String]) {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let openssl = Process()
        openssl.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        openssl.arguments = [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "100", "-subj", "/CN=x",
            "-keyout", "k.pem",
            "-out", "c.pem",
        ]
        openssl.currentDirectoryURL = folder
        openssl.standardError = FileHandle.nullDevice
        try openssl.run()
        openssl.waitUntilExit()
        func read(_ url: URL) throws -> String { try String(contentsOf: url, encoding: .utf8) }
        let (certificate, key) = (try read(folder.appendingPathComponent("c.pem")), try read(folder.appendingPathComponent("k.pem")))
        let text = try read(Self.root.appendingPathComponent(file))
        var contents = ["f": text]
        for word in text.split(whereSeparator: { " ;\n".contains($0) }) where word.hasPrefix("/etc/") {
            contents[String(word)] =
                word.hasSuffix(".key")
                ? key
                : word.hasSuffix(".crt")
                    ? certificate : word.hasSuffix(".html") ? "<p>$status</p>" : word.hasSuffix(".htpasswd") ? htpasswd : keySet
        }
        let diagnostics = Diagnostics()
        let settings = Settings("f", files: MemoryFiles(contents), environment: ["REDIS_PASSWORD": "x"], processors: 2, diagnostics)
        return (settings, diagnostics.messages)
    }

    @Test func theExampleIsRight() throws {
        let (settings, errors) = try check("gateway.conf.example")
        #expect(errors == [])
        #expect(settings.routes.count == 11)
        // It shows every directive but those that read other files.
        let text = try String(contentsOf: Self.root.appendingPathComponent("gateway.conf.example"), encoding: .utf8)
        for directive in Settings.directives where !["include", "tests"].contains(directive) {
            #expect(text.contains("\n\(directive) ") || text.contains("\n\(directive);"), "no \(directive)")
        }
    }

    @Test func theMigratedFileIsRight() throws { #expect(try check("deploy/nginx/gateway.conf").1 == []) }

    @Test func everyDirectiveIsInTheReference() throws {
        let reference = try String(contentsOf: Self.root.appendingPathComponent("docs/configuration.md"), encoding: .utf8)
        for directive in Settings.directives { #expect(reference.contains("`\(directive)"), "no \(directive)") }
    }
}
