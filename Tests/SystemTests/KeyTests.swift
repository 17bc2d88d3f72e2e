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
        try stage.folder.write("signer.jwks.json", "{\"keys\":[]}")
        #expect(eventually { stage.gateway.log.contains("the last good ones stay") })
        #expect(try get(new) == 200)
        // A control process that comes later knows what this one knew.
        let control = stage.gateway.children("control")
        kill(control[0], SIGKILL)
        #expect(eventually { stage.gateway.children("control").count == 1 && stage.gateway.children("control") != control })
        #expect(eventually { stage.gateway.log.components(separatedBy: "the last good ones stay").count > 2 })
        #expect(try get(new) == 200)
        #expect(try get(old) == 401)
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
        let gateway = try Gateway(configuration("trusted_certificate \(folder.path)/sso.crt;"), in: folder)
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
        // A server that nobody vouches for is not believed, and without any keys the answer is 503.
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
}
