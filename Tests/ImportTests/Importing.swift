import ConfigFile
import Configuration
import Foundation
import HTTPMessage
import Import
import Policy
import Routing
import TestSupport

/// Inputs, and what is made of them.
enum Importing {
    static let names = [
        "authelia", "oauth2-proxy", "vouch", "authentik", "jwt-service", "gitlab", "grafana", "jupyterhub", "s3", "websockets",
        "several-hosts",
        "snippets/nginx",
    ]
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Inputs").path

    /// What is made of a text, as a file of sites-enabled.
    static func text(_ nginx: String, files: [String: String] = [:], options: ImportOptions = ImportOptions()) throws -> NginxImport {
        try NginxImport("site.conf", files: MemoryFiles(files.merging(["site.conf": nginx]) { $1 }), options: options)
    }

    /// What is made of the locations of one server.
    static func locations(_ text: String, files: [String: String] = [:]) throws -> NginxImport {
        try Self.text("server { listen 80; server_name a.example; \(text) }", files: files)
    }

    /// The words of the routes that reach a service with nobody asked who comes.
    static func openRoutes(_ imported: NginxImport) -> [String] { routes(imported.gateway).filter { isOpen($0) }.map { $0.words[1] } }

    static func routes(_ lines: [GatewayLine]) -> [GatewayLine] {
        lines.flatMap { $0.name == "route" ? [$0] : $0.name == "host" ? routes($0.block ?? []) : [] }
    }

    static func route(_ pattern: String, _ imported: NginxImport) -> GatewayLine? {
        routes(imported.gateway).first { $0.words[1] == pattern }
    }

    private static func isOpen(_ route: GatewayLine) -> Bool {
        let names = Set((route.block ?? []).map(\.name))
        return names.contains("upstream") && names.contains("public") && !names.contains("from")
    }

    /// The pattern of the route that serves a path of a.example.
    static func serving(_ path: String, _ text: String) -> String? {
        let diagnostics = Diagnostics()
        let settings = Settings(
            "gateway.conf", files: CheckedFiles(text, besides: MemoryFiles([:])), environment: [:], processors: 1, diagnostics)
        let bytes = Array(path.utf8)
        var target = RequestTarget()
        guard diagnostics.isEmpty, (try? target.normalize(0..<bytes.count, of: bytes.span)) != nil,
            let route = try? settings.routeTable.find(host: Array("a.example".utf8), target)
        else {
            return diagnostics.isEmpty ? "none" : nil
        }
        return settings.routes[route].pattern.text
    }

    /// What `check` says of a file that was written; certificates that it names are there.
    static func check(_ imported: NginxImport, besides files: any FileSource) -> [String] { check(imported.text, besides: files) }

    static func check(_ text: String, besides files: any FileSource) -> [String] {
        let diagnostics = Diagnostics()
        let settings = Settings("gateway.conf", files: CheckedFiles(text, besides: files), environment: [:], processors: 1, diagnostics)
        if diagnostics.isEmpty { PolicyTestRun.check(settings, at: 1_800_000_000, diagnostics) }
        return diagnostics.messages
    }
}

/// A file that was written, with a certificate wherever one is named.
final class CheckedFiles: FileSource {
    private let text: String
    private let others: any FileSource

    init(_ text: String, besides others: any FileSource) {
        self.text = text
        self.others = others
    }

    func read(_ path: String) throws(FileError) -> [UInt8] {
        if path == "gateway.conf" { return Array(text.utf8) }
        if path.hasSuffix(".key") || path.hasSuffix("privkey.pem") { return Self.pair.key }
        if path.hasSuffix(".pem") || path.hasSuffix(".crt") { return Self.pair.certificate }
        return try others.read(path)
    }

    func list(_ pattern: String) throws(FileError) -> [String] { [] }

    private static let pair: (certificate: [UInt8], key: [UInt8]) = {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "portcullis-import-\(ProcessInfo.processInfo.processIdentifier)")
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let openssl = Process()
        openssl.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        openssl.arguments =
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "100", "-subj",
                "/CN=import.example",
            ]
            + ["-keyout", folder.appendingPathComponent("k.pem").path, "-out", folder.appendingPathComponent("c.pem").path]
        openssl.standardError = FileHandle.nullDevice
        try? openssl.run()
        openssl.waitUntilExit()
        func read(_ name: String) -> [UInt8] { (try? Data(contentsOf: folder.appendingPathComponent(name))).map { [UInt8]($0) } ?? [] }
        return (read("c.pem"), read("k.pem"))
    }()
}

/// The inputs as they lie in their folder.
final class InputFiles: FileSource {
    private let changed: [String: [UInt8]]

    init(changed: [String: [UInt8]] = [:]) { self.changed = changed }

    func read(_ path: String) throws(FileError) -> [UInt8] {
        if let bytes = changed[path] { return bytes }
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: Importing.folder + "/" + path)) else {
            throw FileError(path: path, reason: "No such file or directory")
        }
        return [UInt8](data)
    }

    func list(_ pattern: String) throws(FileError) -> [String] {
        let folder = String(pattern.prefix(upTo: pattern.lastIndex(of: "/") ?? pattern.startIndex))
        let names = (try? FileManager.default.contentsOfDirectory(atPath: Importing.folder + "/" + folder)) ?? []
        return names.filter { $0.hasSuffix(".conf") }.sorted().map { folder + "/" + $0 }
    }
}
