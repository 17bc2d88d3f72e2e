import Time
import HTTPMessage
import Bytes
import ConfigFile
@testable import Forwarding
import HTTP2
import RateLimiting
import System
import TestSockets
import TestSupport
import Testing

/// Requests of the gateway's own, to a service that says what the test wants.
@Suite struct InquiryTests {
    private final class Caller: InquiryHandler {
        var outcomes: [Result<Inquiry.Answer, Inquiry.Failure>] = []

        func inquiryEnded(_ inquiry: Inquiry, _ outcome: Result<Inquiry.Answer, Inquiry.Failure>) { outcomes.append(outcome) }

        var failure: Inquiry.Failure? {
            if case .failure(let failure) = outcomes.first { failure } else { nil }
        }
    }

    private let loop: EventLoop

    init() throws { loop = try EventLoop() }

    private func group(_ port: Int, _ more: String = "") throws -> UpstreamGroup {
        try .reading("server 127.0.0.1:\(port); \(more)", on: loop)
    }

    @discardableResult
    private func turn(until condition: () -> Bool) -> Bool {
        eventually {
            loop.turn(waitingAtMost: 20)
            return condition()
        }
    }

    /// Asks, and waits for what comes of it.
    private func ask(
        _ request: Inquiry.Request, of group: UpstreamGroup, timeout: Nanoseconds = .seconds(20), bodyBytesMax: Int = 1_024
    ) throws -> Caller {
        let waiter = Caller()
        let inquiry = Inquiry(to: group, on: loop, timeout: timeout, bodyBytesMax: bodyBytesMax)
        try inquiry.ask(request, waiter)
        #expect(turn { !waiter.outcomes.isEmpty })
        return waiter
    }

    @Test func asksAndReadsTheResponse() throws {
        let seen = Box("")
        let server = try ScriptedServer { client, _ in
            while true {
                let head = client.read(until: "\r\n\r\n")
                guard head.contains("\r\n\r\n") else { return }
                let text = head.hasSuffix("hello") || !head.contains("Content-Length") ? head : head + client.read(until: "hello")
                seen.value = text
                client.send(
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\nX-Why: a\r\nX-WHY: b\r\nTransfer-Encoding: chunked\r\n\r\n")
                client.send("3\r\nabc\r\n3\r\ndef\r\n0\r\nX-Trailer: x\r\n\r\n")
            }
        }
        let group = try group(server.port)
        let fields = [(name: "X-Forwarded-Uri", value: [UInt8]("/a?b".utf8)), (name: "Cookie", value: [UInt8]("s=1".utf8))]
        for body in ["", "hello"] {
            let request = Inquiry.Request(
                body.isEmpty ? "GET" : "POST", "/auth?x=1", authority: "auth.example", fields: fields, body: [UInt8](body.utf8))
            let waiter = try ask(request, of: group)
            let answer = try #require(try waiter.outcomes.first?.get())
            #expect(answer.status == 403 && answer.body == [UInt8]("abcdef".utf8))
            #expect(answer.fields.filter { $0.name == "x-why" }.map(\.value) == [[0x61], [0x62]] && answer["x-why"] == [0x61])
            #expect(waiter.outcomes.count == 1)
            let head = "\(request.method) /auth?x=1 HTTP/1.1\r\nHost: auth.example\r\nX-Forwarded-Uri: /a?b\r\nCookie: s=1\r\n"
            #expect(seen.value == head + (body.isEmpty ? "\r\n" : "Content-Length: 5\r\n\r\nhello"), "\(seen.value)")
        }
    }

    @Test func asksOverHTTP2() throws {
        let server = try ScriptedHTTP2Server { path, _ in
            path == "/refused" ? [.reset(StreamCode.refused)] : [.head(403, [("x-why", "a")]), .body("abc"), .body("def", ends: true)]
        }
        let group = try group(server.port, "protocol h2;")
        let fields = [(name: "X-Forwarded-Uri", value: [UInt8]("/a?b".utf8)), (name: "Cookie", value: [UInt8]("s=1".utf8))]
        for body in ["", "hello"] {
            let request = Inquiry.Request(
                body.isEmpty ? "GET" : "POST", "/auth?x=1", authority: "auth.example", fields: fields, body: [UInt8](body.utf8))
            let answer = try #require(try ask(request, of: group).outcomes.first?.get())
            #expect(answer.status == 403 && answer.body == [UInt8]("abcdef".utf8) && answer["x-why"] == [0x61])
            var expected = [
                ":method": body.isEmpty ? "GET" : "POST", ":scheme": "http", ":authority": "auth.example", ":path": "/auth?x=1",
                "x-forwarded-uri": "/a?b", "cookie": "s=1",
            ]
            if !body.isEmpty { expected["content-length"] = "5" }
            #expect(server.requests.value.last == ScriptedHTTP2Server.Request(fields: expected, body: body))
        }
        // Without a name the server's own.
        _ = try ask(Inquiry.Request("GET", "/"), of: group)
        #expect(server.requests.value.last?.fields[":authority"] == "127.0.0.1:\(server.port)")
        let failure = try ask(Inquiry.Request("GET", "/refused"), of: group).failure
        #expect(failure == .forwarding(.closedEarly))
    }

    @Test func aLateOrLargeOrBrokenResponseIsAFailure() throws {
        let server = try ScriptedServer { client, _ in
            let head = client.read(until: "\r\n\r\n")
            if head.contains("/large") {
                client.send("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + String(repeating: "x", count: 5_000))
            } else if head.contains("/short") {
                client.send("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx")
                return
            } else if head.contains("/silent") {
                client.send("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx")
            } else if head.contains("/odd") {
                client.send("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")
            }
            _ = client.read(silence: 20_000)
        }
        let group = try group(server.port)
        #expect(try ask(Inquiry.Request("GET", "/large"), of: group).failure == .tooLarge)
        #expect(try ask(Inquiry.Request("GET", "/short"), of: group).failure == .forwarding(.closedEarly))
        #expect(try ask(Inquiry.Request("GET", "/odd"), of: group).failure == .forwarding(.badResponse(.badContentLength)))
        for path in ["/silent", "/nothing"] {
            #expect(try ask(Inquiry.Request("GET", path), of: group, timeout: .milliseconds(300)).failure == .timedOut)
        }
    }

    @Test func itIsNotSentTwice() throws {
        let requests = Box(0)
        let server = try ScriptedServer { client, _ in
            // The first is answered, so that the connection is kept; the next is read, and the connection closed.
            for number in 0..<2 {
                guard client.read(until: "\r\n\r\n").contains("\r\n\r\n") else { return }
                requests.change { $0 += 1 }
                if number == 0 { client.send("HTTP/1.1 204 No Content\r\n\r\n") }
            }
        }
        let group = try group(server.port)
        #expect(try ask(Inquiry.Request("GET", "/"), of: group).failure == nil)
        #expect(try ask(Inquiry.Request("GET", "/"), of: group).failure == .forwarding(.closedEarly))
        #expect(requests.value == 2)
        // One that may be repeated goes out again, over another connection.
        #expect(try ask(Inquiry.Request("GET", "/"), of: group).failure == nil)
        #expect(try ask(Inquiry.Request("GET", "/", isRepeatable: true), of: group).failure == nil)
        #expect(requests.value == 5)
    }

    @Test func whoCancelsIsNotTold() throws {
        let server = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
        let group = try group(server.port)
        let waiter = Caller()
        let inquiry = Inquiry(to: group, on: loop, timeout: .seconds(20), bodyBytesMax: 10)
        try inquiry.ask(Inquiry.Request("GET", "/"), waiter)
        inquiry.cancel()
        inquiry.cancel()
        // It can ask again.
        let other = Caller()
        try inquiry.ask(Inquiry.Request("GET", "/"), other)
        #expect(turn { other.outcomes.count == 1 } && other.failure == nil)
        let silent = try ScriptedServer { client, _ in _ = client.read(silence: 20_000) }
        let late = Inquiry(to: try self.group(silent.port), on: loop, timeout: .milliseconds(200), bodyBytesMax: 10)
        for _ in 0..<2 {
            let caller = Caller()
            try late.ask(Inquiry.Request("GET", "/"), caller)
            #expect(turn { caller.outcomes.count == 1 } && caller.failure == .timedOut)
        }
        // Another one, asked later, is answered by the same service.
        #expect(try ask(Inquiry.Request("GET", "/"), of: group).failure == nil)
        #expect(waiter.outcomes.isEmpty)
    }

    @Test(arguments: [
        Inquiry.Request("G T", "/"), Inquiry.Request("GET", "x"), Inquiry.Request("GET", "/a b"),
        Inquiry.Request("GET", "/", authority: "a b"),
        Inquiry.Request("GET", "/", fields: [(name: "A B", value: [])]), Inquiry.Request("GET", "/", fields: [(name: "Host", value: [])]),
        Inquiry.Request("GET", "/", fields: [(name: "A", value: [0x0D, 0x0A])]),
        Inquiry.Request("GET", "/", fields: [(name: "Content-Length", value: [0x30])]), Inquiry.Request("GET", "/a#b"),
        Inquiry.Request("GET", "/", fields: [(name: "Upgrade", value: [0x61])]),
        Inquiry.Request("GET", "/", fields: [(name: "TE", value: [0x61])]),
    ]) func whatCannotStandInARequestIsNotSent(request: Inquiry.Request) throws {
        let waiter = Caller()
        let inquiry = Inquiry(to: try group(1), on: loop, timeout: .seconds(1), bodyBytesMax: 10)
        let error = #expect(throws: Inquiry.Failure.self) { try inquiry.ask(request, waiter) }
        guard case .unusable = try #require(error) else { return #expect(Bool(false), "\(String(describing: error))") }
        #expect(waiter.outcomes.isEmpty)
    }

    @Test func manyTakeTheirTurn() throws {
        let server = try ScriptedServer { client, _ in
            while client.read(until: "\r\n\r\n").contains("\r\n\r\n") { client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") }
        }
        let group = try group(server.port, "max_connections 2;")
        let waiters = (0..<40).map { _ in Caller() }
        for (index, waiter) in waiters.enumerated() {
            let body = [UInt8](repeating: 0x78, count: index % 3 * 4)
            try Inquiry(to: group, on: loop, timeout: .seconds(30), bodyBytesMax: 10).ask(
                Inquiry.Request(body.isEmpty ? "GET" : "POST", "/\(index)", body: body), waiter)
        }
        #expect(turn { waiters.allSatisfy { $0.outcomes.count == 1 } })
        for waiter in waiters { #expect(waiter.failure == nil) }
    }
}
