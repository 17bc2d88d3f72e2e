import Foundation
import Glibc
import TestSockets
import Testing

/// How long servers may take, and how requests go out once more.
@Suite("Retries and timeouts", .serialized) struct RetryTests {
    private func gateway(_ upstream: String, _ route: String = "", in folder: TemporaryFolder) throws -> Gateway {
        try Credentials.certificate(in: folder, name: "localhost", names: ["localhost", "127.0.0.1"])
        return try Gateway(
            """
            workers 1;
            listen 127.0.0.1:@PORT@ { tls { certificate @DIR@/localhost.crt @DIR@/localhost.key; } }
            access_log @DIR@/access.log;
            upstream app { \(upstream) }
            route /** { public; upstream app; }
            \(route)
            """, in: folder)
    }

    /// Answers a request with its body, but for the first `hung` of them, about which it says nothing, or `word`.
    private func server(hung: Int, word: String? = nil, _ asked: Box<[String]>) throws -> ScriptedServer {
        try ScriptedServer { client, _ in
            var text = client.read(until: "\r\n\r\n")
            guard let method = text.split(separator: " ").first.map(String.init) else { return }
            if method == "PUT", !text.hasSuffix("a body") { text += client.read(until: "a body") }
            let body = text.hasSuffix("a body") ? "a body" : ""
            let number = asked.change { $0.append(method + " " + body) }.count
            if number <= hung, word == nil { return _ = client.read(until: "\r\n\r\n") }
            let answer = number <= hung ? word ?? "" : "200 OK"
            client.send("HTTP/1.1 \(answer)\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)")
        }
    }

    @Test("A try that takes longer than per_try is followed by another, with the body, after a pause; in both versions of HTTP")
    func perTry() throws {
        for version in ["--http1.1", "--http2"] {
            let folder = TemporaryFolder()
            let asked = Box<[String]>([])
            let server = try server(hung: 2, asked)
            let gateway = try gateway(
                "server 127.0.0.1:\(server.port); retry { tries 3; on timeout; per_try 300ms; backoff 20ms; budget 100% min 10/s; }",
                in: folder)
            let answer = try gateway.curl("/", [version, "-X", "PUT", "-d", "a body"])
            #expect(answer.status == 200 && answer.body == "a body")
            #expect(asked.value == ["PUT a body", "PUT a body", "PUT a body"])
        }
    }

    @Test("What is not repeated has the whole answer_timeout, and no more than a route allows")
    func routeTimeout() throws {
        let folder = TemporaryFolder()
        let asked = Box<[String]>([])
        let released = Flag()
        let server = try ScriptedServer { client, _ in
            let head = client.read(until: "\r\n\r\n")
            asked.change { $0.append(String(head.prefix { $0 != " " })) }
            while !released.isSet { usleep(10_000) }
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        let gateway = try gateway(
            "server 127.0.0.1:\(server.port); retry { on timeout; per_try 200ms; budget 100% min 10/s; backoff 0s; }",
            "route /quick/** { public; upstream app; answer_timeout 300ms; }", in: folder)
        #expect(try gateway.curl("/quick/", ["-d", "x"]).status == 504)
        #expect(eventually { folder.read("access.log").contains("\"upstream_timeout\"") })
        // Two tries of the one that may be repeated are over long before the other, which has a minute.
        let long = try gateway.startLoad("/", count: 1, parallel: 1, ["-d", "x"])
        #expect(eventually { asked.value.count == 2 })
        #expect(try gateway.curl("/").status == 504)
        #expect(asked.value == ["POST", "POST", "GET", "GET"])
        released.set()
        #expect(long.statuses() == [200: 1])
    }

    @Test("per_try bounds the wait for a head: not a body, and not a request whose body is too long to go out again")
    func bodies() throws {
        for version in ["--http1.1", "--http2"] {
            let folder = TemporaryFolder()
            let server = try ScriptedServer { client, _ in
                let head = client.read(until: "\r\n\r\n")
                guard !head.isEmpty else { return }
                // Longer than a try may take: of the head of one response, and of the body of the other.
                if head.hasPrefix("PUT") {
                    _ = client.read(until: "0\r\n\r\n")
                    usleep(900_000)
                    client.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nput")
                } else {
                    client.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nab")
                    usleep(900_000)
                    client.send("cde")
                }
            }
            let gateway = try gateway(
                "server 127.0.0.1:\(server.port); retry { on timeout; per_try 300ms; budget 100% min 10/s; }", in: folder)
            #expect(try gateway.curl("/", [version]).body == "abcde")
            let long = try folder.write("long", String(repeating: "x", count: 200_000))
            let put = try gateway.curl("/", [version, "-T", long, "-H", "Transfer-Encoding: chunked"])
            #expect(put.status == 200 && put.body == "put", "\(version) \(put.status)")
        }
    }

    @Test("A pause before a repetition ends with its client")
    func leaving() throws {
        let folder = TemporaryFolder()
        let asked = Box<[String]>([])
        let server = try server(hung: 1, word: "503 No", asked)
        let gateway = try gateway("server 127.0.0.1:\(server.port); retry { backoff 10s; budget 100% min 10/s; }", in: folder)
        let gone = try gateway.startLoad("/", count: 1, parallel: 1)
        #expect(eventually { asked.value.count == 1 })
        kill(gone.program.pid, SIGKILL)
        #expect(eventually { folder.read("access.log").contains("\"status\":499") })
        #expect(try gateway.curl("/").status == 200)
        #expect(asked.value.count == 2)
    }
}
