import Foundation
import Glibc
import TestSockets
import Testing

@Suite(.serialized) struct KeyTests {
    @Test func aKeyFileIsReadAgainWhenItChanges() throws {
        let stage = try Stage()
        let next = try Credentials(in: stage.folder, name: "next")
        let (old, new) = (try stage.signer.token(), try next.token())
        func get(_ token: String) throws -> Int { try stage.gateway.curl("/", ["-H", "Authorization: Bearer \(token)"]).status }
        #expect(try get(old) == 200)
        #expect(try get(new) == 401)
        try stage.folder.write("signer.jwks.json", "{\"keys\":[\(try stage.signer.jwk()),\(try next.jwk())]}")
        #expect(eventually { (try? get(new)) == 200 })
        #expect(try get(old) == 200)
        try stage.folder.write("signer.jwks.json", "{\"keys\":[\(try next.jwk())]}")
        #expect(eventually { (try? get(old)) == 401 })
        // What is no key set changes nothing.
        try stage.folder.write("signer.jwks.json", "{\"keys\":")
        #expect(eventually { stage.gateway.log.contains("the last good ones stay") })
        #expect(try get(new) == 200)
        // A control process that comes later knows what this one knew.
        let control = stage.gateway.children("control")
        kill(control[0], SIGKILL)
        #expect(eventually { stage.gateway.children("control").count == 1 && stage.gateway.children("control") != control })
        #expect(eventually { stage.gateway.log.components(separatedBy: "the last good ones stay").count > 2 })
        #expect(try get(new) == 200)
        // What the file will say when it can be read again nobody knows.
        #expect(try get(old) == 503)
    }

    /// A set without a key that can be used says that none is to be used any more.
    @Test func aKeyThatIsWithdrawnLetsNobodyIn() throws {
        let stage = try Stage()
        let token = try stage.signer.token()
        func get() throws -> Answer { try stage.gateway.curl("/", ["-H", "Authorization: Bearer \(token)"]) }
        let good = try stage.signer.jwk()
        for withdrawn in ["", good.replacingOccurrences(of: "\"use\":\"sig\"", with: "\"use\":\"enc\"")] {
            try stage.folder.write("signer.jwks.json", "{\"keys\":[\(good)]}")
            #expect(eventually { (try? get().status) == 200 })
            try stage.folder.write("signer.jwks.json", "{\"keys\":[\(withdrawn)]}")
            #expect(eventually { (try? get().status) == 401 })
            #expect(eventually { stage.gateway.log.contains("issuer sso has no key that can be used") })
        }
        let refused = try get()
        #expect(refused.body.contains("its use is enc, not sig"), "\(refused.body)")
        let check = try run(Executable.portcullis, ["check", "-c", "\(stage.folder.path)/gateway.conf"])
        #expect(check.status == 1)
        #expect(check.errors.contains("has no key that can be used"))
        #expect(check.errors.contains("'signer': its use is enc, not sig"))
    }

    /// Which of several keys with one name is meant is found by the algorithm; the same key is one, however often it is listed.
    @Test func aKeyMayBeListedOncePerAlgorithm() throws {
        let stage = try Stage()
        let jwk = try stage.signer.jwk()
        let listed = [jwk, jwk.replacingOccurrences(of: "{", with: "{\"alg\":\"EdDSA\","), jwk].joined(separator: ",")
        try stage.folder.write("signer.jwks.json", "{\"keys\":[\(listed)]}")
        let token = try stage.signer.token()
        #expect(eventually { (try? stage.gateway.curl("/", ["-H", "Authorization: Bearer \(token)"]).status) == 200 })
        let other = try Credentials(in: stage.folder, name: "other")
        let same = try other.jwk().replacingOccurrences(of: "\"kid\":\"other\"", with: "\"kid\":\"signer\"")
        try stage.folder.write("signer.jwks.json", "{\"keys\":[\(jwk),\(same)]}")
        #expect(
            eventually {
                (try? stage.gateway.curl("/", ["-H", "Authorization: Bearer \(token)"]).body.contains("token_key_ambiguous")) == true
            })
    }

    @Test func keysAtAURLAreFetchedVerifiedRotatedAndKept() throws {
        let folder = TemporaryFolder()
        let (first, second) = (try Credentials(in: folder, name: "first"), try Credentials(in: folder, name: "second"))
        try Credentials.certificate(in: folder, name: "sso", names: ["localhost"])
        let port = Ports.free()
        func serve() throws -> Nginx {
            try Nginx(
                """
                server { listen 127.0.0.1:\(port) ssl; ssl_certificate \(folder.path)/sso.crt; ssl_certificate_key \(folder.path)/sso.key;
                  location = /jwks.json { root \(folder.path); add_header Cache-Control "max-age=300"; } }
                """, in: folder, name: "sso", ports: [port])
        }
        try folder.write("jwks.json", "{\"keys\":[\(try first.jwk())]}")
        var server: Nginx? = try serve()
        let backend = try Nginx(Nginx.echo(Ports.free()), in: folder, name: "unused", ports: [])
        _ = backend
        let appPort = Ports.free()
        let app = try Nginx(Nginx.echo(appPort), in: folder, name: "app", ports: [appPort])
        _ = app
        try Credentials.certificate(in: folder, name: "localhost", names: ["localhost"])
        func configuration(_ trusted: String) -> String {
            """
            workers 2;
            listen 127.0.0.1:@PORT@ { tls { certificate @DIR@/localhost.crt @DIR@/localhost.key; } }
            issuer sso { url https://sso.example.com; keys https://localhost:\(port)/jwks.json; \(trusted) audience api.example.com; algorithms EdDSA; }
            upstream app { server 127.0.0.1:\(appPort); }
            route /** { upstream app; auth sso; }

            """
        }
        // With its key before it, which is wiped where it has been read.
        let both = try folder.write("both.pem", folder.read("sso.key") + folder.read("sso.crt"))
        let gateway = try Gateway(configuration("trusted_certificate \(both);"), in: folder)
        func get(_ token: String) throws -> Int { try gateway.curl("/", ["-H", "Authorization: Bearer \(token)"]).status }
        let (old, new) = (try first.token(), try second.token())
        #expect(try get(old) == 200)
        // A key that is not known makes the set be fetched again, and the request waits for that.
        try folder.write("jwks.json", "{\"keys\":[\(try first.jwk()),\(try second.jwk())]}")
        #expect(eventually(within: 14) { (try? get(new)) == 200 })
        #expect(try get(old) == 200)
        // With the key server away everything goes on, over a reload too.
        server?.stop()
        server = nil
        #expect(gateway.reload())
        #expect(try get(old) == 200)
        #expect(try get(new) == 200)
        // A control process that is new has fetched nothing; it hears from the supervisor what the one before knew.
        let control = try #require(gateway.children("control").first)
        kill(control, SIGKILL)
        #expect(eventually { gateway.children("control").first.map { $0 != control } ?? false })
        #expect(gateway.reload())
        #expect(try get(old) == 200)
        #expect(try get(new) == 200)
        // So does a new executable.
        #expect(gateway.handOver())
        #expect(try get(new) == 200)
        // A server that nobody vouches for is not believed, and without any keys the response is 503.
        server = try serve()
        gateway.stop()
        let other = try Gateway(configuration(""), in: folder)
        #expect(try other.curl("/", ["-H", "Authorization: Bearer \(old)"]).status == 503)
        #expect(eventually { other.log.contains("certificate verify failed") })
        other.stop()
        // Away at the start: 503, and well again by itself within two seconds of the return.
        server?.stop()
        let late = try Gateway(configuration("trusted_certificate \(folder.path)/sso.crt;"), in: folder)
        #expect(try late.curl("/", ["-H", "Authorization: Bearer \(old)"]).status == 503)
        server = try serve()
        #expect(eventually(within: 2) { (try? late.curl("/", ["-H", "Authorization: Bearer \(old)"]).status) == 200 })
    }

    /// What a key server may do besides answering with a key set, and what becomes of requests meanwhile.
    @Test func theTroubleOfAKeyServerIsNamedAndIsNotTheClients() throws {
        let folder = TemporaryFolder()
        let (first, second) = (try Credentials(in: folder, name: "first"), try Credentials(in: folder, name: "second"))
        for name in ["sso", "localhost"] { try Credentials.certificate(in: folder, name: name, names: ["localhost"]) }
        let (port, appPort) = (Ports.free(), Ports.free())
        func serve(_ location: String) throws -> Nginx {
            try Nginx(
                """
                server { listen 127.0.0.1:\(port) ssl; ssl_certificate \(folder.path)/sso.crt; ssl_certificate_key \(folder.path)/sso.key; \(location) }
                """, in: folder, name: "sso", ports: [port])
        }
        try folder.write("jwks.json", "{\"keys\":[\(try first.jwk())]}")
        let app = try Nginx(Nginx.echo(appPort), in: folder, name: "app", ports: [appPort])
        func configuration(_ more: String) -> String {
            """
            workers 1;
            listen 127.0.0.1:@PORT@ { tls { certificate @DIR@/localhost.crt @DIR@/localhost.key; } }
            issuer sso { url https://sso.example.com; keys https://localhost:\(port)/jwks.json; trusted_certificate \(folder.path)/sso.crt; \(more)
                         audience api.example.com; algorithms EdDSA; }
            upstream app { server 127.0.0.1:\(appPort); }
            route /** { upstream app; auth sso; }

            """
        }
        let good = "location = /jwks.json { root \(folder.path); }"
        // A redirect is not followed, and says where it leads.
        var server = try serve("location / { return 302 https://elsewhere.example.com/keys; }")
        let gateway = try Gateway(configuration(""), in: folder)
        func get(_ token: String) throws -> Answer { try gateway.curl("/", ["-H", "Authorization: Bearer \(token)"]) }
        let (old, new) = (try first.token(), try second.token())
        #expect(try get(old).status == 503)
        #expect(eventually { gateway.log.contains("names https://elsewhere.example.com/keys") })
        server.stop()
        // It is asked for what is not compressed.
        server = try serve(
            "location / { if ($http_accept_encoding != identity) { return 400; } add_header Content-Encoding br; return 200 x; }")
        #expect(eventually { gateway.log.contains("in the coding br") })
        server.stop()
        server = try serve(good)
        #expect(eventually { (try? get(old).status) == 200 })
        // Where the fetch for an unknown key fails, nobody knows whether it is a good one.
        server.stop()
        let refused = try get(new)
        #expect(refused.status == 503)
        #expect(refused.body.contains("keys_unavailable"))
        #expect(refused["retry-after"] != nil)
        #expect(try get(old).status == 200)
        // A key that was replaced under its old name is found, too.
        let elsewhere = TemporaryFolder()
        let replaced = try Credentials(in: elsewhere, name: "first")
        let successor = try replaced.token()
        try folder.write("jwks.json", "{\"keys\":[\(try replaced.jwk())]}")
        server = try serve(good)
        #expect(eventually(within: 40) { (try? get(successor).status) == 200 })
        #expect(try get(old).status == 401)
        gateway.stop()
        server.stop()
        // Through a proxy that knows the server's name, which nobody else does.
        let connects = Box<[String]>([])
        try folder.write("jwks.json", "{\"keys\":[\(try first.jwk())]}")
        server = try serve(good)
        let proxy = try ConnectProxy(to: port, seen: connects)
        let through = try Gateway(configuration("proxy http://user:pass@127.0.0.1:\(proxy.port);"), in: folder)
        #expect(eventually { (try? through.curl("/", ["-H", "Authorization: Bearer \(old)"]).status) == 200 })
        #expect(
            connects.value.contains {
                $0.hasPrefix("CONNECT localhost:\(port) HTTP/1.1\r\n") && $0.contains("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n")
            })
        through.stop()
        let environment = ["HTTPS_PROXY": "http://127.0.0.1:\(proxy.port)", "NO_PROXY": "example.org"]
        connects.value = []
        let named = try Gateway(configuration(""), in: folder, environment: environment)
        #expect(eventually { (try? named.curl("/", ["-H", "Authorization: Bearer \(old)"]).status) == 200 })
        #expect(!connects.value.isEmpty)
        named.stop()
        server.stop()
        app.stop()
    }
}

/// A proxy that connects to one port of this host, whatever it is asked for.
private final class ConnectProxy: Sendable {
    let port: Int
    private let server: ScriptedServer

    init(to target: Int, seen: Box<[String]>) throws {
        server = try ScriptedServer { client, _ in
            let request = client.read(until: "\r\n\r\n")
            seen.change { $0.append(request) }
            guard let upstream = try? RawClient(port: target) else { return }
            client.send("HTTP/1.1 200 Connection established\r\n\r\n")
            client.splice(with: upstream)
        }
        port = server.port
    }
}
