import Foundation
import TestSockets
import Testing

/// Where upstreams send their clients, as those have to ask for it.
@Suite(.serialized) struct RedirectTests {
    /// A server that puts the client's X-Want, with its own port for `@PORT@`, into the field that X-Field names.
    private func server() throws -> (server: ScriptedServer, seen: Box<String>) {
        let (seen, port) = (Box(""), Box(0))
        let server = try ScriptedServer { client, _ in
            while true {
                let text = client.read(until: "\r\n\r\n", silence: 5_000)
                guard !text.isEmpty else { return }
                seen.value = text
                func field(_ name: String) -> String {
                    text.components(separatedBy: "\r\n").first { $0.lowercased().hasPrefix(name) }.map {
                        String($0.dropFirst(name.count + 2))
                    } ?? ""
                }
                let value = field("x-want").replacingOccurrences(of: "@PORT@", with: "\(port.value)")
                client.send("HTTP/1.1 302 Found\r\n\(field("x-field")): \(value)\r\nContent-Length: 0\r\n\r\n")
            }
        }
        port.value = server.port
        return (server, seen)
    }

    @Test(arguments: HTTPVersions.all) func leadToTheOutside(version: String) throws {
        let (server, seen) = try server()
        let stage = try Stage(
            version: version,
            routes: """
                route /lib/** { upstream odd; public; strip_prefix /lib; }
                route /moved/** { upstream odd; public; strip_prefix /moved; add_prefix /inner; forward_host shop.internal; }
                route /raw/** { upstream odd; public; strip_prefix /raw; rewrite_redirects off; }
                route /** { upstream odd; public; }
                route /in { upstream app; auth sso; }
                """, general: "upstream odd { server 127.0.0.1:\(server.port); }")
        let outside = "https://shop.example:8443"
        func asked(_ path: String, _ field: String, _ want: String) throws -> String? {
            let answer = try stage.gateway.curl(
                path, ["-H", "Host: shop.example:8443", "-H", "X-Field: \(field)", "-H", "X-Want: \(want)"])
            return answer[field.lowercased()]
        }
        for (path, field, want, expected) in [
            ("/x", "Location", "http://127.0.0.1:@PORT@/lib/", "\(outside)/lib/"),
            ("/x", "Location", "http://shop.example:@PORT@/y?q=1#f", "\(outside)/y?q=1#f"),
            ("/x", "Location", "http://shop.example/y", "\(outside)/y"), ("/x", "Location", "http://SHOP.example:8443", "\(outside)"),
            ("/x", "Location", "https://elsewhere.example/y", "https://elsewhere.example/y"), ("/x", "Location", "/y", "/y"),
            ("/x", "Location", "https://shop.example:9443/y", "https://shop.example:9443/y"), ("/x", "Location", "y/../z", "y/../z"),
            ("/x", "Location", "//127.0.0.1:@PORT@/y", "\(outside)/y"),
            ("/x", "Content-Location", "http://127.0.0.1:@PORT@/y", "\(outside)/y"),
            ("/x", "Refresh", "5; url=http://127.0.0.1:@PORT@/y", "5; url=\(outside)/y"), ("/x", "Refresh", "5; URL='/y'", "5; URL='/y'"),
            ("/lib/a", "Location", "/sub/", "/lib/sub/"), ("/lib/a", "Location", "/lib/sub/", "/lib/sub/"),
            ("/lib/a", "Location", "/library", "/lib/library"),
            ("/lib/a", "Location", "http://127.0.0.1:@PORT@/sub/", "\(outside)/lib/sub/"),
            ("/lib/a", "Refresh", "0;url=\"/sub\"", "0;url=\"/lib/sub\""),
            ("/lib/a", "Set-Cookie", "a=1; Path=/; HttpOnly", "a=1; Path=/lib; HttpOnly"),
            ("/lib/a", "Set-Cookie", "a=/; path=/sub", "a=/; path=/lib/sub"),
            ("/x", "Set-Cookie", "a=1; Path=/y", "a=1; Path=/y"), ("/moved/a", "Location", "/inner/sub", "/moved/sub"),
            ("/moved/a", "Location", "/other", "/other"),
            ("/moved/a", "Location", "http://shop.internal/inner", "\(outside)/moved"),
            ("/raw/a", "Location", "http://127.0.0.1:@PORT@/y", "http://127.0.0.1:\(server.port)/y"), ("/raw/a", "Location", "/y", "/y"),
        ] {
            #expect(try asked(path, field, want) == expected, "\(path) \(field): \(want)")
        }
        // A server that sends on to https from plain HTTP is not sent back.
        _ = try asked("/lib/a", "Location", "/y")
        #expect(seen.value.contains("X-Forwarded-Prefix: /lib\r\n") || seen.value.contains("x-forwarded-prefix: /lib\r\n"))
        _ = try stage.gateway.curl("/x", ["-H", "X-Forwarded-Prefix: /evil", "-H", "X-Field: A", "-H", "X-Want: b"])
        #expect(!seen.value.lowercased().contains("x-forwarded-prefix"))
    }

    @Test func aClientOfPlainHTTPIsSentOnToHTTPS() throws {
        let (server, _) = try server()
        let port = Ports.free()
        let stage = try Stage(
            routes: "route /** { upstream odd; public; } route /in { upstream app; auth sso; }",
            general: "listen 127.0.0.1:\(port) { plaintext; } upstream odd { server 127.0.0.1:\(server.port); }")
        func asked(_ want: String) throws -> String? {
            try stage.gateway.curl(
                "/", ["-H", "Host: shop.example", "-H", "X-Field: Location", "-H", "X-Want: \(want)"], scheme: "http", port: port)[
                    "location"]
        }
        #expect(try asked("https://shop.example/y") == "https://shop.example/y")
        #expect(try asked("http://127.0.0.1:@PORT@/y") == "http://shop.example/y")
    }
}
