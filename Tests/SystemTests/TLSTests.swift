import Foundation
import Glibc
import TestSockets
import Testing

@Suite(.serialized) struct TLSTests {
    private func connect(_ stage: Stage, _ arguments: [String]) throws -> String {
        let output = try run(Executable.openssl, ["s_client", "-connect", "127.0.0.1:\(stage.gateway.port)"] + arguments, input: "")
        return output.text + output.errors
    }

    private func stage(_ more: String = "", listener: String = "") throws -> (Stage, Int) {
        let folder = TemporaryFolder()
        let port = Ports.free()
        for (name, names) in [("one", ["one.example"]), ("wild", ["*.wild.example"]), ("exact", ["exact.wild.example"])] {
            try Credentials.certificate(in: folder, name: name, names: names)
        }
        let certificates = ["one", "wild", "exact"].map { "certificate \(folder.path)/\($0).crt \(folder.path)/\($0).key;" }.joined(
            separator: " ")
        let stage = try Stage(general: "listen 127.0.0.1:\(port) { tls { \(certificates) \(listener) } }\n\(more)")
        keep.append(folder)
        return (stage, port)
    }

    private final class Keep: @unchecked Sendable { var held: [TemporaryFolder] = [] }
    private let kept = Keep()
    private var keep: [TemporaryFolder] {
        get { kept.held }
        nonmutating set { kept.held = newValue }
    }

    @Test(arguments: [
        ("one.example", "one"), ("a.wild.example", "wild"), ("exact.wild.example", "exact"), ("EXACT.wild.example", "exact"),
        ("a_b.wild.example", "wild"), ("_x.exact.wild.example", "one"), ("a.b.wild.example", "one"), ("unknown.example", "one"),
    ])
    func choosesTheCertificateByName(name: String, expected: String) throws {
        let (stage, port) = try stage()
        _ = stage
        let output = try run(Executable.openssl, ["s_client", "-connect", "127.0.0.1:\(port)", "-servername", name], input: "")
        #expect(output.text.contains("CN = \(expected)\n") || output.text.contains("CN=\(expected)\n"))
    }

    @Test func speaksTLS12And13AndNothingOlder() throws {
        let stage = try Stage()
        #expect(try connect(stage, ["-tls1_3"]).contains("Cipher is TLS_"))
        let twelve = try connect(stage, ["-tls1_2"])
        #expect(twelve.contains("Cipher is ECDHE-"))
        #expect(twelve.contains("Compression: NONE"))
        #expect(try connect(stage, ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]).contains("Cipher is (NONE)"))
        #expect(try connect(stage, ["-tls1_2", "-cipher", "AES128-SHA"]).contains("Cipher is (NONE)"))
        #expect(try connect(stage, ["-alpn", "http/1.1,h2"]).contains("ALPN protocol: h2"))
        #expect(try connect(stage, ["-alpn", "http/1.1"]).contains("ALPN protocol: http/1.1"))
        #expect(try connect(stage, []).contains("No ALPN negotiated"))
        #expect(try connect(stage, ["-alpn", "h3"]).contains("no application protocol"))
        let old = stage.configuration().replacingOccurrences(of: "{ tls {", with: "{ protocols http/1.1; tls {")
        try stage.gateway.rewrite(old)
        #expect(stage.gateway.reload())
        #expect(try connect(stage, ["-alpn", "h2,http/1.1"]).contains("ALPN protocol: http/1.1"))
    }

    @Test func ticketsOfOneWorkerAreGoodForAllAndAfterAReload() throws {
        let stage = try Stage(workers: 4)
        let session = stage.folder.path + "/session"
        // TLS 1.2 gives its ticket within the handshake, so that no request has to be made to get one.
        #expect(try connect(stage, ["-tls1_2", "-sess_out", session]).contains("New, TLSv1.2"))
        for _ in 0..<8 { #expect(try connect(stage, ["-tls1_2", "-sess_in", session]).contains("Reused, TLSv1.2")) }
        #expect(stage.gateway.reload())
        #expect(try connect(stage, ["-tls1_2", "-sess_in", session]).contains("Reused, TLSv1.2"))
    }

    @Test func aTicketIsGoodForItsServerNameAlone() throws {
        let (stage, port) = try stage()
        let session = stage.folder.path + "/session"
        func open(_ name: String, _ more: [String]) throws -> String {
            try run(Executable.openssl, ["s_client", "-tls1_2", "-connect", "127.0.0.1:\(port)", "-servername", name] + more, input: "")
                .text
        }
        #expect(try open("a.wild.example", ["-sess_out", session]).contains("New, TLSv1.2"))
        #expect(try open("a.wild.example", ["-sess_in", session]).contains("Reused, TLSv1.2"))
        for name in ["one.example", "exact.wild.example", "b.wild.example"] {
            #expect(try open(name, ["-sess_in", session]).contains("New, TLSv1.2"), "\(name)")
        }
    }

    @Test func aClientThatDoesNotSpeakTLSIsTold() throws {
        let stage = try Stage()
        let client = try RawClient(port: stage.gateway.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        let answer = client.read(until: "URL.\n")
        #expect(answer.hasPrefix("HTTP/1.1 400 Bad Request\r\n") && answer.contains("https://"), "\(answer)")
    }

    @Test func aClientOfTLS13ResumesTimeAfterTime() throws {
        let stage = try Stage(workers: 2)
        let answer = try Executable.peer("resume", ["\(stage.gateway.port)", "6"])
        #expect(answer["versions"] as? [String] == [String](repeating: "TLSv1.3", count: 6))
        #expect(answer["reused"] as? [Bool] == [false, true, true, true, true, true])
    }

    @Test func ticketKeysChangeAndTwoEarlierOnesCanBeRead() throws {
        let stage = try Stage(general: "ticket_rotation 3s;")
        let session = stage.folder.path + "/session"
        /// The name of the key that a new ticket was made with: its first 16 bytes.
        func keyName() throws -> String {
            let text = try connect(stage, ["-tls1_2", "-sess_out", session + ".new"])
            return text.components(separatedBy: "0000 - ").dropFirst().first.map { String($0.prefix(47)) } ?? ""
        }
        #expect(try connect(stage, ["-tls1_2", "-sess_out", session]).contains("New, TLSv1.2"))
        let first = try keyName()
        #expect(first.count == 47)
        #expect(eventually { ((try? keyName()) ?? first) != first })
        #expect(try connect(stage, ["-tls1_2", "-sess_in", session]).contains("Reused, TLSv1.2"))
        #expect(eventually(within: 20) { (try? connect(stage, ["-tls1_2", "-sess_in", session]).contains("New, TLSv1.2")) ?? false })
    }

    @Test func endsHandshakesThatTakeTooLong() throws {
        let stage = try Stage(general: "timeouts { handshake 300ms; }")
        let client = try RawClient(port: stage.gateway.port)
        #expect(client.isClosedByPeer())
    }

    @Test func verifiesUpstreamsAndShowsThemACertificate() throws {
        let folder = TemporaryFolder()
        try Credentials.certificate(in: folder, name: "server", names: ["backend.internal"])
        try Credentials.certificate(in: folder, name: "client", names: ["gateway.internal"])
        let port = Ports.free()
        let secured = try Nginx(
            """
            server { listen 127.0.0.1:\(port) ssl; ssl_certificate \(folder.path)/server.crt; ssl_certificate_key \(folder.path)/server.key;
              ssl_client_certificate \(folder.path)/client.crt; ssl_verify_client on; location / { return 200 '$ssl_client_s_dn'; } }
            """, in: folder, ports: [port])
        _ = secured
        let files = "trusted_certificate \(folder.path)/server.crt; certificate \(folder.path)/client.crt \(folder.path)/client.key;"
        let stage = try Stage(
            routes: """
                route /good { upstream good; public; }
                route /name { upstream name; public; }
                route /chain { upstream chain; public; }
                route /bare { upstream bare; public; }
                route /in { upstream app; auth sso; }
                """,
            general: """
                upstream good { server 127.0.0.1:\(port); tls { \(files) server_name backend.internal; } }
                upstream name { server 127.0.0.1:\(port); tls { \(files) server_name other.internal; } }
                upstream chain { server 127.0.0.1:\(port); tls { server_name backend.internal; } }
                upstream bare { server 127.0.0.1:\(port); tls { trusted_certificate \(folder.path)/server.crt; server_name backend.internal; } }
                access_log @DIR@/access.log;
                """)
        let good = try stage.gateway.curl("/good")
        #expect(good.status == 200)
        #expect(good.body.contains("client"))
        // A second request on the kept connection: the tickets that the server sent meanwhile are no reason to drop it.
        #expect(try stage.gateway.curl("/good").status == 200)
        #expect(try stage.gateway.curl("/name").status == 502)
        #expect(try stage.gateway.curl("/chain").status == 502)
        #expect(try stage.gateway.curl("/bare").status == 400)
        #expect(eventually { stage.folder.read("access.log").contains("ertificate verify failed") })
    }

    @Test func reachesUpstreamsOverUnixSocketsAndByName() throws {
        let folder = TemporaryFolder()
        let port = Ports.free()
        let server = try Nginx(
            "server { listen unix:\(folder.path)/app.sock; listen 127.0.0.1:\(port); location / { return 200 here; } }", in: folder,
            ports: [port])
        _ = server
        chmod(folder.path + "/app.sock", 0o666)
        let stage = try Stage(
            routes:
                "route /unix { upstream u; public; } route /name { upstream n; public; } route /gone { upstream g; public; } route /in { upstream app; auth sso; }",
            general:
                "upstream u { server unix:\(folder.path)/app.sock; }\nupstream n { server localhost:\(port); }\nupstream g { server 127.0.0.1:\(Ports.free()); server 127.0.0.1:\(port); }"
        )
        #expect(try stage.gateway.curl("/unix").body == "here")
        #expect(eventually { (try? stage.gateway.curl("/name").body) == "here" })
        // A server that refuses is passed over for one that does not.
        for _ in 0..<6 { #expect(try stage.gateway.curl("/gone").status == 200) }
    }
}
