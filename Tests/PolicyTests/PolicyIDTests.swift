import ConfigFile
import Configuration
import Foundation
import Policy
import TestSupport
import Testing

/// What changes the name of a policy, and what does not.
@Suite struct PolicyIDTests {
    private static let file = """
        listen 127.0.0.1:1 { plaintext; }
        token { cookie session; header Authorization; csrf_origins https://a.example https://b.example; }
        issuer sso { url https://sso.example.com; keys /k.json; audience a b; algorithms EdDSA ES256; require kind in x y; }
        issuer other { url https://other.example.com; keys /k.json; audience any; algorithms EdDSA; }
        limit few { rate 5/second; key $claim.sub; }
        limit few2 { rate 5/second; key $claim.sub; }
        upstream app { server 127.0.0.1:2; server 127.0.0.1:3; }
        route /orders/{id} { upstream app; auth sso other; scope read:a read:b; scope any c d; require $claim.sub = $path.id; limit few;
            cors { origin https://a.example https://b.example; headers A B; } set_header X-User $claim.sub; set_header X-Id $path.id; }
        route /x { upstream app; auth sso; limit few; }
        route /y { upstream app; auth sso; limit few2; }
        route /** { upstream app; public; }
        """

    private func id(_ text: String) throws -> String {
        let keys = TokenSigner().keySet
        let diagnostics = Diagnostics()
        let settings = Settings("f", files: MemoryFiles(["f": text, "/k.json": keys]), environment: [:], processors: 1, diagnostics)
        try #require(diagnostics.isEmpty, "\(diagnostics.messages)")
        return settings.policyID
    }

    @Test func orderCommentsAndNamesChangeNothing() throws {
        let own = try id(Self.file)
        #expect(own.count == 12 && own.utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) })
        for (old, new) in [
            ("listen 127.0.0.1:1", "# a comment\nworkers 3;\nlisten 127.0.0.1:9"), ("audience a b", "audience b a"),
            ("algorithms EdDSA ES256", "algorithms ES256 EdDSA"), ("in x y", "in y x"), ("read:a read:b", "read:b read:a"),
            ("auth sso other", "auth other sso"), ("any c d", "any d c"),
            ("set_header X-User $claim.sub; set_header X-Id $path.id;", "set_header X-Id $path.id; set_header X-User $claim.sub;"),
            ("server 127.0.0.1:2; server 127.0.0.1:3;", "server 127.0.0.1:3; server 127.0.0.1:2;"), ("{id}", "{number}"),
            ("https://a.example https://b.example;", "https://b.example https://a.example;"),
            ("scope read:a read:b;", "scope read:a read:b; scope read:a read:b;"),
        ] {
            var text = Self.file.replacingOccurrences(of: old, with: new)
            if new == "{number}" { text = text.replacingOccurrences(of: "$path.id", with: "$path.number") }
            #expect(text != Self.file)
            #expect(try id(text) == own, "\(new)")
        }
        let renamed = Self.file.replacing(/\b(sso|few|few2|app)\b(?!\.example)/) { "new-\($0.1)" }
        #expect(try id(renamed) == own)
        let lines = Self.file.components(separatedBy: "\nroute ")
        #expect(try id("\(lines[0])\nroute \(lines[4])\nroute \(lines[2])\nroute \(lines[3])\nroute \(lines[1])") == own)
    }

    @Test func whatDecidesChangesIt() throws {
        let own = try id(Self.file)
        for (old, new) in [
            ("read:a read:b", "read:a"), ("any c d", "c d"), ("auth sso other", "auth sso"), ("audience a b", "audience a"),
            ("kind in x y", "kind = x"), ("public;", "auth sso;"), ("rate 5/second", "rate 6/second"), ("key $claim.sub", "key $client.ip"),
            ("127.0.0.1:3;", "127.0.0.1:4;"), ("$claim.sub = $path.id", "$claim.sub != $path.id"), ("route /**", "route /x/**"),
            ("cookie session", "cookie other"), ("headers A B", "headers A"), ("X-User $claim.sub", "X-User $claim.email"),
            ("route /orders", "trusted_proxies 10.0.0.0/8;\nroute /orders"), ("route /orders", "realm other;\nroute /orders"),
            ("limit few;", "limit few2;"), ("listen 127", "client_limits { requests 3; }\nlisten 127"),
            ("listen 127", "listen 127.0.0.1:8 { redirect https; }\nlisten 127"), ("X-User $claim.sub", "X-User \"10:$$claim.sub\""),
            ("127.0.0.1:3;", "127.0.0.1:3; tls { server_name a.example; }"),
            ("public;", "public; max_body_size 1k;"), ("header Authorization;", "header Authorization; csrf strict;"),
        ] {
            var text = Self.file.replacingOccurrences(of: old, with: new)
            // One of the two routes alone: then two count together that did not before.
            if new == "limit few2;" {
                text = Self.file.replacingOccurrences(
                    of: "/x { upstream app; auth sso; limit few;", with: "/x { upstream app; auth sso; limit few2;")
            }
            #expect(text != Self.file, "\(old)")
            #expect(try id(text) != own, "\(new)")
        }
    }
}

private let htpasswd =
    "ann:$6$lLtuJx7wTxLlzHXL$KidlY06TJ/l2st1I9fPvpdodCyUxeh5gt.rX/.mQQ80/WHj3gMSNwVdlzpV5agQDii03OhsHFjrD.79163VWW0\n"

/// The example's own tests hold, and cover most of what it demands.
@Suite struct ExampleTests {
    @Test func theExampleHoldsItsTests() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("gateway.conf.example"), encoding: .utf8)
        // What certificates hold has no part in it.
        let plain =
            text.replacing(/(?m)^listen .*\{$(.|\n)*?^\}$/, with: "").replacing(/tls \{ certificate[^}]*\}/, with: "plaintext;").replacing(
                /tls \{[^}]*\}/, with: "")
            + "\nlisten 127.0.0.1:1 { plaintext; }\n"
        let diagnostics = Diagnostics()
        let settings = Settings(
            "f", files: MemoryFiles(["f": plain, "/etc/portcullis/refused.html": "<p>", "/etc/portcullis/users.htpasswd": htpasswd]),
            environment: ["REDIS_PASSWORD": "x"],
            processors: 1, diagnostics)
        try #require(diagnostics.isEmpty, "\(diagnostics.messages)")
        let run = PolicyTestRun(settings, at: 1_800_000_000)
        #expect(run.results.count >= 10)
        #expect(run.failures.isEmpty, "\(run.text(withCoverage: true))")
    }
}
