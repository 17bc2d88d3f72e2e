import Time
import ArgumentParser
import CLinux
import Configuration
import Control
import HTTPMessage
import Processes
import Supervisor
import System
import TLS

/// The requests of the demonstration and what they should lead to.
struct DemoTour {
    private let stage: DemoStage
    private let good: String
    private let poor: String
    private let expired: String
    private let limited: String
    private let context: ClientContext?
    private let host = "localhost"

    init(_ stage: DemoStage, _ credentials: DemoCredentials) {
        self.stage = stage
        let now = Clock.wallSeconds()
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
        let deadline = Clock.now().adding(.seconds(20))
        while Clock.now() < deadline {
            if (try? get("/health")) != nil { return }
            usleep(20_000)
        }
        throw ValidationError("the gateway did not become ready; its messages are above")
    }

    private func get(_ path: String, _ fields: [String] = []) throws -> Outcome {
        guard let context else { throw ValidationError("the certificate cannot be trusted") }
        let client = HTTPSClient(context, bodyBytesMax: 1 << 20, within: .seconds(5))
        let lines = (["GET \(path) HTTP/1.1", "Host: \(host):\(stage.port)", "Connection: close"] + fields).joined(separator: "\r\n")
        let response = try client.exchange(lines + "\r\n\r\n", with: host, at: SocketAddress("127.0.0.1:\(stage.port)")!)
        var detail = ""
        for name in ["www-authenticate", "ratelimit", "retry-after"] {
            if let value = response.field(name) { detail += (detail.isEmpty ? "" : "  ") + "\(name): \(value)" }
        }
        return Outcome(status: response.head.status, detail: detail, body: String(decoding: response.body, as: UTF8.self))
    }
}

extension String {
    fileprivate var trimmedLine: String { String(prefix { $0 != "\n" }) }
}
