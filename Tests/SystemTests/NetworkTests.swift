import Foundation
import TestSockets
import Testing

/// From where clients may come: `from`, and networks that are a credential.
@Suite(.serialized) struct NetworkTests {
    private let plain = Ports.free()

    private func stage() throws -> Stage {
        try Stage(
            routes: """
                route /** { upstream app; public; from 127.0.0.3; }
                route /in/** { upstream app; auth sso; from office; set_header X-User-Id $claim.sub; }
                route /any/** { upstream app; auth any office sso; set_header X-User-Id $claim.sub; }
                route /scoped/** { upstream app; auth any sso office; scope read:orders; }
                route /ws/** { upstream app; public; upgrade websocket { from office; } }
                route /methods/** { upstream app; public; method GET { } method POST { from office; } }
                """,
            general: """
                network office 127.0.0.2 10.0.0.0/8;
                trusted_proxies 127.0.0.9;
                listen 127.0.0.1:\(plain) { plaintext; }
                """)
    }

    private func ask(_ path: String, from host: UInt8, _ fields: String = "", method: String = "GET") throws -> String {
        let client = try RawClient(port: plain, from: host)
        client.send("\(method) \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\(fields)\r\n")
        return client.read()
    }

    @Test func clientsComeFromWhereTheyMay() throws {
        let stage = try stage()
        #expect(try ask("/", from: 3).hasPrefix("HTTP/1.1 200 "))
        let refused = try ask("/", from: 2)
        #expect(refused.hasPrefix("HTTP/1.1 403 ") && refused.contains("address_not_allowed"))
        // Before anybody is asked who they are.
        #expect(try ask("/in/a", from: 3).contains("address_not_allowed"))
        #expect(try ask("/in/a", from: 2).hasPrefix("HTTP/1.1 401 "))
        let token = "Authorization: Bearer \(try stage.signer.token(subject: "ann"))\r\n"
        #expect(try ask("/in/a", from: 2, token).contains("\"user\":\"ann\""))
        #expect(
            try ask("/methods/a", from: 3).hasPrefix("HTTP/1.1 200 ")
                && ask("/methods/a", from: 3, method: "POST").contains("address_not_allowed"))
        #expect(try ask("/methods/a", from: 2, method: "POST").hasPrefix("HTTP/1.1 200 "))
        let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        func open(from host: UInt8) throws -> String {
            let client = try RawClient(port: plain, from: host)
            client.send("GET /ws/a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\(upgrade)\r\n")
            return client.read(until: "}")
        }
        #expect(try open(from: 3).contains("address_not_allowed") && open(from: 2).hasPrefix("HTTP/1.1 200 "))
        #expect(try ask("/ws/a", from: 3).hasPrefix("HTTP/1.1 200 "))
        // Behind a proxy the address is the one that it tells, and nobody else may tell one.
        #expect(try ask("/", from: 9, "X-Forwarded-For: 127.0.0.3\r\n").hasPrefix("HTTP/1.1 200 "))
        #expect(try ask("/", from: 9, "X-Forwarded-For: 127.0.0.2\r\n").hasPrefix("HTTP/1.1 403 "))
        #expect(try ask("/", from: 2, "X-Forwarded-For: 127.0.0.3\r\n").hasPrefix("HTTP/1.1 403 "))
    }

    @Test func aNetworkIsACredential() throws {
        let stage = try stage()
        let inside = try ask("/any/a", from: 2)
        #expect(inside.hasPrefix("HTTP/1.1 200 ") && inside.contains("\"user\":\"\""))
        #expect(try ask("/any/a", from: 3).hasPrefix("HTTP/1.1 401 "))
        let token = "Authorization: Bearer \(try stage.signer.token(subject: "ann"))\r\n"
        #expect(try ask("/any/a", from: 3, token).contains("\"user\":\"ann\""))
        // It has no scopes, and a page of another site may not use it.
        #expect(try ask("/scoped/a", from: 2).contains("scope_missing") && ask("/scoped/a", from: 2, token).hasPrefix("HTTP/1.1 200 "))
        #expect(
            try ask("/any/a", from: 2, "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n", method: "POST").contains(
                "csrf_refused"))
    }

    /// What one neighbour has under way, and what a limit counts, is no other's.
    @Test func neighboursAreNotOneClient() throws {
        let stage = try Stage(
            routes: "route /** { upstream app; auth any office sso; limit few; }",
            general: """
                network office 127.0.0.0/8; limit few { rate 2/hour; key $claim.sub; } listen 127.0.0.1:\(plain) { plaintext; }
                """, workers: 1)
        for host in [UInt8(2), 3, 4] {
            for status in [200, 200, 429] { #expect(try ask("/a", from: host).hasPrefix("HTTP/1.1 \(status) "), "\(host)") }
        }
        _ = stage
    }

    @Test func explainAndTestsKnowThem() throws {
        let stage = try stage()
        let text = stage.configuration(
            """
            network office 127.0.0.2 10.0.0.0/8;
            route /in/** { upstream app; auth sso; from office; }
            route /any/** { upstream app; auth office sso; }
            test office {
                as ann { issuer sso; claim sub ann; }
                allow ann GET /in/a client 10.1.2.3;
                refuse ann GET /in/a 403 address_not_allowed client 11.1.2.3;
                allow nobody GET /any/a client 10.1.2.3;
                refuse nobody GET /any/a 401 client 11.1.2.3;
            }
            """)
        let file = try stage.folder.write(
            "tested.conf", text.replacingOccurrences(of: "@DIR@", with: stage.folder.path).replacingOccurrences(of: "@PORT@", with: "1"))
        let checked = try run(Executable.portcullis, ["check", "-c", file])
        #expect(checked.status == 0 && checked.text.contains("from office"), "\(checked.errors)")
        let explained = try run(Executable.portcullis, ["explain", "-c", file, "GET", "/in/a", "--client", "11.1.2.3"])
        #expect(
            explained.status == 1 && explained.text.contains("address_not_allowed") && explained.text.contains("It passes from office."))
        let who = try run(Executable.portcullis, ["explain", "-c", file, "--who", "GET", "/in/a"])
        #expect(who.status == 0 && who.text.contains("from office"), "\(who.text)")
        let inside = try run(Executable.portcullis, ["explain", "-c", file, "GET", "/any/a", "--client", "10.0.0.1"])
        #expect(inside.status == 0 && inside.text.contains("network office, no subject") && inside.text.contains("the client is 10.0.0.1"))
    }

    @Test(arguments: [
        ("network a 10.0.0.1/8; route / { upstream app; public; from a; }", "'10.0.0.1/8' is not a network"),
        ("route / { upstream app; public; from offic; } network office 10.0.0.0/8;", "did you mean 'office'?"),
        ("network sso 10.0.0.0/8; route / { upstream app; auth sso; }", "'sso' is another credential too"),
        ("network office 10.0.0.0/8; route / { upstream app; auth office; }", "write: public; from office;"),
        ("network office; route / { upstream app; public; }", "'network' has 1 arguments"),
    ]) func complains(text: String, expected: String) throws {
        let stage = try Stage()
        let output = try stage.check(stage.configuration("route /** { upstream app; public; } " + text))
        #expect(output.status == 1 && output.errors.contains(expected), "\(output.errors)")
    }
}
