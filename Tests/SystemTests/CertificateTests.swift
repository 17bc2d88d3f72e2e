import Foundation
import Glibc
import TestSockets
import Testing

/// Certificates that are renewed, run out, or are wrong, while the gateway runs.
@Suite("Certificates", .serialized) struct CertificateTests {
    private let healthPort = Ports.free()

    private func make(_ name: String, days: Int, in folder: TemporaryFolder, subject: String = "localhost") throws {
        let made = try run(
            Executable.openssl,
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "\(days)", "-subj",
                "/CN=\(subject)", "-addext", "subjectAltName=DNS:\(subject)", "-keyout", "\(folder.path)/\(name).key", "-out",
                "\(folder.path)/\(name).crt",
            ])
        #expect(made.status == 0, "\(made.errors)")
    }

    private func gateway(in folder: TemporaryFolder, _ pair: String = "certificate @DIR@/now.crt @DIR@/now.key;") throws -> Gateway {
        try Gateway(
            """
            workers 2;
            listen 127.0.0.1:@PORT@ { tls { \(pair) } }
            health 127.0.0.1:\(healthPort);
            route /** { public; answer 200 "here"; }
            """, in: folder)
    }

    /// The serial number of the certificate that a new connection is shown.
    private func shown(_ gateway: Gateway) throws -> String {
        let output = try run(
            "/bin/sh",
            [
                "-c",
                "\(Executable.openssl) s_client -connect 127.0.0.1:\(gateway.port) -servername localhost </dev/null 2>/dev/null | \(Executable.openssl) x509 -noout -serial",
            ])
        return output.text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    private func serial(_ name: String, in folder: TemporaryFolder) throws -> String {
        try run(Executable.openssl, ["x509", "-noout", "-serial", "-in", "\(folder.path)/\(name).crt"]).text
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }

    private func metric(_ name: String) throws -> Int? {
        let text = try run(Executable.curl, ["-s", "-m", "10", "http://127.0.0.1:\(healthPort)/metrics"]).text
        let line = text.split(separator: "\n").first { $0.hasPrefix("portcullis_\(name)") }
        return line.flatMap { Int($0.split(separator: " ").last ?? "") }
    }

    @Test("A certificate that is renewed is shown without a reload, by workers that come later too, and no request is lost")
    func renewed() throws {
        let folder = TemporaryFolder()
        try make("now", days: 60, in: folder)
        try make("next", days: 90, in: folder)
        let gateway = try gateway(in: folder)
        #expect(try shown(gateway) == serial("now", in: folder))
        let before = try #require(try metric("certificate_expiry_timestamp_seconds"))
        let load = try gateway.startLoad("/", count: 20_000, parallel: 4)
        // Written one after the other, as tools do.
        for kind in ["crt", "key"] {
            try FileManager.default.removeItem(atPath: "\(folder.path)/now.\(kind)")
            try FileManager.default.copyItem(atPath: "\(folder.path)/next.\(kind)", toPath: "\(folder.path)/now.\(kind)")
        }
        #expect(eventually(within: 30) { (try? shown(gateway)) == (try? serial("next", in: folder)) })
        #expect(load.statuses() == [200: 20_000])
        #expect(try metric("certificate_loads_total{result=\"success\"") == 1)
        #expect(eventually { (try? metric("certificate_expiry_timestamp_seconds")) ?? 0 > before + 20 * 86_400 })
        // A worker that is started again has the new one.
        for worker in gateway.children("worker") { kill(worker, SIGKILL) }
        #expect(eventually { gateway.children("worker").count == 2 && (try? gateway.curl("/").status) == 200 })
        for _ in 0..<6 { #expect(try shown(gateway) == serial("next", in: folder)) }
    }

    @Test("A link that leads elsewhere counts, and a certificate that is wrong leaves the one before in use")
    func links() throws {
        let folder = TemporaryFolder()
        for (name, days) in [("first", 60), ("second", 61)] {
            try make("tls", days: days, in: folder)
            try FileManager.default.createDirectory(atPath: "\(folder.path)/\(name)", withIntermediateDirectories: true)
            for kind in ["crt", "key"] {
                try FileManager.default.moveItem(atPath: "\(folder.path)/tls.\(kind)", toPath: "\(folder.path)/\(name)/tls.\(kind)")
            }
        }
        func lead(to name: String) throws {
            let made = try run("/bin/sh", ["-c", "ln -sfn \(name) \(folder.path)/new && mv -T \(folder.path)/new \(folder.path)/..data"])
            #expect(made.status == 0)
        }
        try lead(to: "first")
        let gateway = try gateway(in: folder, "certificate @DIR@/..data/tls.crt @DIR@/..data/tls.key;")
        #expect(try shown(gateway) == serial("first/tls", in: folder))
        try lead(to: "second")
        #expect(eventually(within: 30) { (try? shown(gateway)) == (try? serial("second/tls", in: folder)) })
        // The key of another certificate.
        try FileManager.default.removeItem(atPath: "\(folder.path)/second/tls.key")
        try FileManager.default.copyItem(atPath: "\(folder.path)/first/tls.key", toPath: "\(folder.path)/second/tls.key")
        #expect(
            eventually(within: 40) {
                gateway.log.contains("the private key does not belong to the certificate; the one before stays in use")
            })
        #expect(try shown(gateway) == serial("second/tls", in: folder))
        #expect(try metric("certificate_loads_total{result=\"failure\"") == 1)
    }

    @Test("Chain and key may stand in one file")
    func combined() throws {
        let folder = TemporaryFolder()
        for name in ["now", "next"] {
            try make(name, days: 60, in: folder)
            try folder.write("\(name).pem", folder.read("\(name).crt") + folder.read("\(name).key"))
        }
        let gateway = try gateway(in: folder, "certificate @DIR@/now.pem @DIR@/now.pem;")
        let before = try #require(try metric("certificate_expiry_timestamp_seconds"))
        try folder.write("now.pem", folder.read("next.pem"))
        #expect(eventually(within: 30) { (try? shown(gateway)) == (try? serial("next", in: folder)) })
        #expect(gateway.program.isRunning)
        #expect(try metric("certificate_expiry_timestamp_seconds") ?? 0 >= before)
    }

    @Test("A certificate that runs out soon is told of, and an error where the file is checked strictly")
    func expiry() throws {
        let folder = TemporaryFolder()
        try make("now", days: 5, in: folder)
        // Days are rounded down, and it was made a moment ago.
        usleep(1_100_000)
        let gateway = try gateway(in: folder)
        #expect(
            eventually { gateway.log.contains("the certificate for localhost expires in 4 day(s): \(folder.path)/now.crt") },
            "\(gateway.log)")
        let file = "\(folder.path)/gateway.conf"
        let lenient = try run(Executable.portcullis, ["check", "-c", file])
        #expect(lenient.status == 0 && lenient.errors.contains("this certificate, for localhost, expires in 4 day(s)"), "\(lenient.errors)")
        #expect(try run(Executable.portcullis, ["check", "--strict", "-c", file]).status == 1)
        let status = try run(Executable.portcullis, ["status", "-c", file])
        #expect(status.status == 1 && status.text.contains("! the certificate localhost is valid for 4 d"), "\(status.text)")
    }
}
