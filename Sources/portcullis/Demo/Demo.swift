import HTTPMessage
import ArgumentParser
import CLinux
import Control
import System
import Configuration
import Processes
import Supervisor
import TLS

struct Demo: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the gateway at work: embedded configuration, no files, no Redis.",
        discussion: """
            Makes a certificate, a signing key and tokens in memory, starts a small service and the real gateway before it, sends \
            requests through TLS, prints what happened, and stays up for requests of yours.
            """)

    @Flag(help: "End after the table; exit with 0 only if every row came out as it should.") var selfCheck = false

    func run() throws {
        ProcessRights.ignoreSignals([SIGPIPE])
        guard let credentials = DemoCredentials() else { throw ValidationError("OpenSSL could not make keys") }
        let stage = try DemoStage(credentials)
        defer { stage.end() }
        let tour = DemoTour(stage, credentials)
        let isRight = try tour.run()
        if selfCheck {
            print(isRight ? "every row came out as it should" : "some rows did not come out as they should")
            throw ExitCode(isRight ? 0 : 1)
        }
        tour.printCommands()
        stage.waitForInterrupt()
    }
}

/// The processes of the demonstration: the service behind and the gateway.
private final class DemoStage {
    let port: UInt16
    private var backend: pid_t = -1
    private var supervisor: pid_t = -1

    init(_ credentials: DemoCredentials) throws {
        let backendSocket = try Socket.bind(to: SocketAddress("127.0.0.1:0")!).duplicate(atLeast: 64)
        try Socket.startListening(backendSocket.raw)
        guard let backendPort = Socket.localPort(backendSocket.raw) else { throw ValidationError("no port is free") }
        let portHolder = try Socket.bind(to: SocketAddress("127.0.0.1:0")!)
        guard let port = Socket.localPort(portHolder.raw) else { throw ValidationError("no port is free") }
        self.port = port
        // The gateway's own socket shares the port (SO_REUSEPORT); this one must be gone before anybody connects.
        _ = consume portHolder
        backend = try Child.start(["demo-backend"], passing: [backendSocket.raw], environment: Environment.all)
        let configuration = Self.configuration(port: port, backendPort: backendPort)
        let files = try [Array(configuration.utf8), credentials.certificatePEM, credentials.privateKeyPEM, credentials.keySet].map {
            content in
            try LocalFiles.memoryFile(content).duplicate(atLeast: 64).release()
        }
        supervisor = try Child.start(["run", "--config", "/proc/self/fd/3"], passing: files, environment: Environment.all)
        for file in files { close(file) }
    }

    /// Until Ctrl-C or a request to end.
    func waitForInterrupt() {
        var set = sigset_t()
        var received: Int32 = 0
        // SAFETY: the set and the number live for the calls.
        unsafe sigemptyset(&set)
        for number in [SIGINT, SIGTERM, SIGHUP] { unsafe _ = sigaddset(&set, number) }
        unsafe sigprocmask(SIG_BLOCK, &set, nil)
        unsafe sigwait(&set, &received)
    }

    func end() {
        for process in [supervisor, backend] where process > 0 {
            kill(process, SIGTERM)
            var status: Int32 = 0
            // SAFETY: `status` lives for the call.
            unsafe waitpid(process, &status, 0)
        }
    }

    private static func configuration(port: UInt16, backendPort: UInt16) -> String {
        """
        workers 2;
        security_log off;
        listen 127.0.0.1:\(port) { tls { certificate /proc/self/fd/4 /proc/self/fd/5; } }
        token { cookie access_token; header Authorization; }
        issuer demo {
            url          https://sso.demo.example;
            keys         /proc/self/fd/6;
            audience     api.demo.example;
            algorithms   EdDSA;
            require      token_type = access;
            scope_match  usso;
        }
        limit per_user { rate 5/minute; key $claim.sub; }
        upstream orders { server 127.0.0.1:\(backendPort); }
        route /api/orders/** {
            upstream orders;
            auth     demo;
            scope    read:orders;
            set_header X-User-Id $claim.sub;
        }
        route /api/limited {
            upstream orders;
            auth     demo;
            limit    per_user;
            set_header X-User-Id $claim.sub;
        }
        route /health { upstream orders; public; }

        """
    }
}

/// The requests of the demonstration and what they should lead to.
private struct DemoTour {
    private let stage: DemoStage
    private let good: String
    private let poor: String
    private let expired: String
    private let limited: String
    private let context: ClientContext?
    private let host = "localhost"

    init(_ stage: DemoStage, _ credentials: DemoCredentials) {
        self.stage = stage
        let now = Clock.wall() / 1_000_000_000
        good = credentials.token(subject: "alice", scopes: ["read:orders"], issuedAt: now, expires: now + 3_600)
        poor = credentials.token(subject: "bob", scopes: ["read:invoices"], issuedAt: now, expires: now + 3_600)
        expired = credentials.token(subject: "alice", scopes: ["read:orders"], issuedAt: now - 7_200, expires: now - 3_600)
        limited = credentials.token(subject: "carol", scopes: [], issuedAt: now, expires: now + 3_600)
        context = try? ClientContext(trustedPEM: credentials.certificatePEM, certificate: nil)
    }

    private struct Outcome {
        let status: Int
        let detail: String
        let body: String
    }

    /// Sends the requests and prints the table; whether all came out as they should.
    func run() throws -> Bool {
        try waitUntilReady()
        print("request                                        expected  got   what happened")
        var isRight = true
        func row(_ what: String, _ expected: Int, _ outcome: Outcome, _ check: Bool = true) {
            let passed = outcome.status == expected && check
            isRight = isRight && passed
            let padded = what + String(repeating: " ", count: max(0, 47 - what.count))
            print("\(padded)\(expected)       \(outcome.status)   \(passed ? "ok" : "WRONG")  \(outcome.detail)")
        }
        let cookie = ["Cookie: theme=dark; access_token=\(good)"]
        row("no token", 401, try get("/api/orders/7"))
        let withCookie = try get("/api/orders/7", cookie)
        row(
            "good token in a cookie", 200, withCookie,
            withCookie.body.contains("\"X-User-Id\":\"alice\"") && !withCookie.body.contains(good))
        print("    the service saw: \(withCookie.body.trimmedLine)")
        row("good token in Authorization: Bearer", 200, try get("/api/orders/7", ["Authorization: Bearer \(good)"]))
        row("token without the scope", 403, try get("/api/orders/7", ["Authorization: Bearer \(poor)"]))
        row("expired token", 401, try get("/api/orders/7", ["Authorization: Bearer \(expired)"]))
        let forged = try get("/api/orders/7", cookie + ["X-User-Id: admin", "x_user_id: admin"])
        row("forged X-User-Id", 200, forged, forged.body.contains("\"X-User-Id\":\"alice\"") && !forged.body.contains("admin"))
        row("public route, no token", 200, try get("/health"))
        row("path that could mean two things", 400, try get("/api/orders/%2e%2e/secret", cookie))
        var last = Outcome(status: 0, detail: "", body: "")
        for _ in 0..<6 { last = try get("/api/limited", ["Authorization: Bearer \(limited)"]) }
        row("sixth request at 5 a minute", 429, last)
        return isRight
    }

    /// Commands to paste.
    func printCommands() {
        let place = "https://localhost:\(stage.port)"
        print(
            """

            The gateway stays up until Ctrl-C. To try it yourself (-k, because nobody vouches for its certificate):

              curl -k \(place)/api/orders/7
              curl -k -H 'Authorization: Bearer \(good)' \(place)/api/orders/7
              curl -k -H 'Cookie: access_token=\(good)' -H 'X-User-Id: admin' \(place)/api/orders/7
              curl -k -i -H 'Authorization: Bearer \(poor)' \(place)/api/orders/7

            """)
    }

    private func waitUntilReady() throws {
        let deadline = Clock.now().adding(20_000_000_000)
        while Clock.now() < deadline {
            if (try? get("/health")) != nil { return }
            usleep(20_000)
        }
        throw ValidationError("the gateway did not become ready; its messages are above")
    }

    private func get(_ path: String, _ fields: [String] = []) throws -> Outcome {
        guard let context else { throw ValidationError("the certificate cannot be trusted") }
        let client = HTTPSClient(context, bodyBytesMax: 1 << 20, within: 5_000_000_000)
        let lines = (["GET \(path) HTTP/1.1", "Host: \(host):\(stage.port)", "Connection: close"] + fields).joined(separator: "\r\n")
        let answer = try client.exchange(lines + "\r\n\r\n", with: host, at: SocketAddress("127.0.0.1:\(stage.port)")!)
        var detail = ""
        for name in ["www-authenticate", "ratelimit", "retry-after"] {
            if let value = answer.field(name) { detail += (detail.isEmpty ? "" : "  ") + "\(name): \(value)" }
        }
        return Outcome(status: answer.head.status, detail: detail, body: String(decoding: answer.body, as: UTF8.self))
    }
}

extension String {
    fileprivate var trimmedLine: String { String(prefix { $0 != "\n" }) }
}
