import ConfigFile
import Foundation
import System
import TLS
import TestSockets
import TestSupport
import Testing
import Time

@testable import Redis

/// TLS to a real server: a connection that is made again has a shorter handshake, but not where the certificate is another by then.
@Suite struct ResumptionTests {
    private let folder = NSTemporaryDirectory() + "portcullis-resumption-\(UUID().uuidString)"

    private func run(_ path: String, _ words: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = words
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "\(words)")
    }

    private func makeCertificate(_ name: String) throws {
        try run(
            "/usr/bin/openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=\(name)",
                "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "\(folder)/\(name).key", "-out", "\(folder)/\(name).crt",
            ])
    }

    @Test(arguments: ["TLSv1.2", "TLSv1.3"]) func aConnectionMadeAgainIsResumed(version: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for name in ["server", "one", "two"] { try makeCertificate(name) }
        let (plain, port) = (Ports.free(), Ports.free())
        let server = Process()
        server.executableURL = URL(fileURLWithPath: "/usr/bin/redis-server")
        server.arguments = [
            "--port", "\(plain)", "--tls-port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--tls-cert-file", "\(folder)/server.crt",
            "--tls-key-file", "\(folder)/server.key", "--tls-ca-cert-file", "\(folder)/server.crt", "--tls-auth-clients", "no",
            "--tls-protocols", version, "--dir", folder,
        ]
        server.standardOutput = FileHandle.nullDevice
        try server.run()
        defer { kill(server.processIdentifier, SIGKILL) }
        #expect(eventually { Ports.isOpen(port) })
        let diagnostics = Diagnostics()
        let contents = Dictionary(
            uniqueKeysWithValues: try ["server.crt", "one.crt", "one.key"].map {
                ("/conf/\($0)", try String(contentsOfFile: "\(folder)/\($0)", encoding: .utf8))
            })
        let text = """
            redis main { address 127.0.0.1:\(port); timeout 20s; connect_timeout 20s;
            tls { trusted_certificate server.crt; certificate one.crt one.key; } }
            """
        let files = MemoryFiles(contents.merging(["/conf/f": text]) { first, _ in first })
        let directive = try #require(Parser(files: files, environment: [:], diagnostics: diagnostics).parse("/conf/f").first)
        let settings = try #require(RedisSettings(directive, files: files, diagnostics), "\(diagnostics.messages)")
        // As the files are found again when they change.
        #expect(settings.clientTLS.map(\.files) == [CertificateFiles(chain: "/conf/one.crt", key: "/conf/one.key")])
        let loop = try EventLoop()
        let link = RedisLink(settings, to: settings.topology.addresses[0], title: "main", on: loop, metrics: nil)
        defer { link.end() }
        var last: RedisConnection?
        /// Whether the next connection that is ready is a resumed one.
        func connects() throws -> Bool {
            let isThere = eventually {
                loop.turn(waitingAtMost: 10)
                return link.isAvailable && link.connection !== last
            }
            try #require(isThere)
            last = link.connection
            return link.connection?.isResumed ?? false
        }
        #expect(try !connects())
        for _ in 0..<2 {
            try run("/usr/bin/redis-cli", ["-p", "\(plain)", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
            #expect(try connects())
        }
        let chain = Array(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/two.crt")))
        let key = Array(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/two.key")))
        try settings.tls?.context.replace(Certificate(chainPEM: chain, keyPEM: key))
        try run("/usr/bin/redis-cli", ["-p", "\(plain)", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
        #expect(try !connects())
    }
}
