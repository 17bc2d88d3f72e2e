import Bytes
import System
import TestSockets
import Testing
import Time

@testable import Control

/// What a server of gRPC says of itself, and what servers send that are none.
@Suite("Checks of gRPC") struct GRPCHealthTests {
    private func verdict(_ body: [UInt8], fields: [String: String] = ["grpc-status": "0"], status: Int = 200) -> String? {
        GRPCHealth.failure(in: HTTP2Client.Response(status: status, body: body, fields: fields), of: "a.B")
    }

    private func message(_ bytes: UInt8...) -> [UInt8] { [0, 0, 0, 0, UInt8(bytes.count)] + bytes }

    @Test("A request names the service; the server as a whole has no name") func request() {
        #expect(GRPCHealth.request(for: "") == [0, 0, 0, 0, 0])
        #expect(GRPCHealth.request(for: "a.B") == [0, 0, 0, 0, 5, 0x0A, 3] + Array("a.B".utf8))
    }

    @Test("Only SERVING is well") func statuses() {
        #expect(verdict(message(8, 1)) == nil)
        #expect(verdict(message(8, 2)) == "the service a.B is NOT_SERVING")
        #expect(verdict(message()) == "it does not know the service a.B")
        #expect(verdict(message(8, 9)) == "the service a.B is in state 9, which is none of the protocol's")
        // A later field of the same number holds; others are passed over.
        #expect(verdict(message(8, 2, 0x12, 2, 1, 1, 0x18, 7, 8, 1)) == nil)
    }

    @Test("What is no such message is not well") func malformed() {
        let wrong = "its response is not a message of the health service"
        for body in [
            [], [0, 0, 0, 0], [1, 0, 0, 0, 2, 8, 1], [0, 0, 0, 0, 3, 8, 1], [0, 255, 255, 255, 255], message(8), message(0x12, 200, 1),
            message(13, 1),
        ] {
            #expect(verdict(body) == wrong, "\(body)")
        }
        #expect(verdict(message(8) + Array(repeating: 255, count: 12)) == wrong)
        #expect(verdict(message(8, 1), fields: [:]) == "its response has no grpc-status")
        #expect(verdict([], fields: ["grpc-status": "12"]) == "it has no health service (grpc-status 12)")
        #expect(verdict([], fields: ["grpc-status": "5"]) == "it does not know the service a.B (grpc-status 5)")
        #expect(verdict([], fields: ["grpc-status": "14"]) == "its health service answered grpc-status 14")
        #expect(verdict([], status: 404) == "it answered 404, not a response of gRPC")
    }

    @Test("A server that answers with anything else, or never, fails the check within its time", arguments: Hostile.allCases)
    func hostile(_ kind: Hostile) throws {
        let server = try ScriptedServer { client, _ in kind.serve(client) }
        let client = HTTP2Client(nil, bodyBytesMax: 1_000, within: .milliseconds(700))
        let error = #expect(throws: HTTP2Client.Failure.self) {
            _ = try client.exchange(Self.request, body: [], with: "a", at: SocketAddress("127.0.0.1:\(server.port)")!)
        }
        #expect(kind.reasons.contains { error?.reason.contains($0) ?? false }, "\(kind): \(error?.reason ?? "")")
    }

    private static let request = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]

    enum Hostile: CaseIterable {
        case silent, closes, http1, pings, largeBody, endlessFields

        /// One of which says what is wrong.
        var reasons: [String] {
            switch self {
            case .silent: ["no reply within 700 ms"]
            case .closes, .http1: ["the connection ended", "HTTP/2 is wrong", "the connection broke"]
            case .pings: ["frame after frame"]
            case .largeBody: ["larger than 1000 bytes"]
            case .endlessFields: ["HTTP/2 is wrong", "malformed", "reset the stream", "connection ended"]
            }
        }

        private static let settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]
        /// Status 200 of the static table.
        private static let head: [UInt8] = [0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88]

        func serve(_ client: RawClient) {
            switch self {
            case .silent: _ = client.read(until: "never")
            case .closes: return
            case .http1: client.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            case .pings:
                client.send(Self.settings)
                for _ in 0..<5_000 { client.send([0, 0, 8, 6, 0, 0, 0, 0, 0] + Array(repeating: 7, count: 8)) }
                _ = client.read(until: "never")
            case .largeBody:
                client.send(Self.settings + Self.head + [0, 8, 0, 0, 0, 0, 0, 0, 1] + Array(repeating: 65, count: 2_048))
                _ = client.read(until: "never")
            case .endlessFields:
                client.send(Self.settings + [0, 0, 1, 1, 0, 0, 0, 0, 1, 0x88])
                for _ in 0..<5_000 { client.send([0, 0, 4, 9, 0, 0, 0, 0, 1, 0, 1, 97, 0]) }
                _ = client.read(until: "never")
            }
        }
    }
}
