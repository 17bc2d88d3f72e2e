import Bytes
import Foundation
import HTTP1
import HTTPMessage
import TestSupport
import Testing

/// The HTTP/1 messages of llhttp's own tests: what its strict parser refuses is refused here, and what is accepted there
/// is accepted here unless the table below says why not.
@Suite(.enabled(if: Vectors.areThere, "the vectors are not beside the checkout")) struct LLHTTPVectorTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let name: String
        let kind: String
        let bytes: [UInt8]
        let error: String?
        var testDescription: String { name }
    }

    static let cases: [Case] = {
        guard let list = try? Vectors.json("llhttp_cases.json") as? [[String: Any]] else { return [] }
        return list.enumerated().compactMap { index, entry in
            guard let text = entry["bytes"] as? String, let meta = entry["meta"] as? [String: Any], let kind = meta["type"] as? String
            else { return nil }
            // Lenient modes and the pauses of llhttp's interface are not ours.
            guard kind == "request" || kind == "response", meta["pause"] == nil, meta["skipBody"] == nil else { return nil }
            let bytes = text.unicodeScalars.allSatisfy { $0.value < 256 } ? text.unicodeScalars.map { UInt8($0.value) } : [UInt8](text.utf8)
            return Case(
                name: "\(index) \(entry["file"] ?? "") \(entry["name"] ?? "")", kind: kind, bytes: bytes, error: entry["error"] as? String)
        }
    }()

    @Test(arguments: cases) func agreesWithLLHTTP(_ vector: Case) {
        let verdict = Self.verdict(vector)
        if let error = vector.error {
            #expect(verdict != nil || Self.accepted[error] != nil, "llhttp refuses: \(error)")
        } else if let verdict {
            #expect(Self.refused.contains(verdict), "refused as \(verdict)")
        }
    }

    @Test func everyCaseIsThere() { #expect(Self.cases.count == 184) }

    /// What llhttp calls an error and is none here, with the reason.
    private static let accepted = [
        "Pause on CONNECT/Upgrade": "a signal of llhttp's interface; the gateway refuses CONNECT and drops Upgrade on the request path",
        "Invalid method for HTTP/x.x request": "every token is a method; routes say which ones they take",
        "Expected space after method": "llhttp knows a fixed list of methods; MKCOLA is none of them but a token",
    ]

    /// The reasons for which we refuse what llhttp accepts: other protocols' versions, HTTP/0.9, codings besides chunked,
    /// empty lines before a status line, hosts that are none (`0.0.0.0=5000`).
    private static let refused: Set<MessageError> = [.badVersion, .badRequestLine, .badStatusLine, .unknownCoding, .badHost]

    private static func verdict(_ vector: Case) -> MessageError? {
        let read = vector.kind == "request" ? readRequests : readResponse
        // llhttp complains within a head, we at its end: a head that is cut short is ended.
        return read(vector.bytes) ?? (vector.error == nil ? nil : read(vector.bytes + Array("\r\n".utf8)))
    }

    /// llhttp has no rule about Host: where there is none, there is this one.
    private static func host(_ head: borrowing RequestHead) -> FieldTable.Line {
        FieldTable.Line(id: .host, name: ByteRange(), value: head.methodRange)
    }

    /// The error that ends a run of requests; nil when all that is there is accepted.
    static func readRequests(_ bytes: [UInt8]) -> MessageError? {
        var queue = ByteQueue()
        queue.append(bytes)
        var parser = RequestParser()
        var head = RequestHead()
        do throws(MessageError) {
            while !queue.isEmpty {
                guard case .complete(let consumed) = try parser.parse(queue, into: &head) else { return nil }
                queue.drop(consumed)
                if head.fields.count(of: .host) == 0 { head.fields.append(Self.host(head)) }
                let envelope = try head.envelope()
                if envelope.expectation == .unknown { throw .unknownExpectation }
                switch envelope.framing {
                case .none, .close: break
                case .length(let count): queue.drop(Int(min(count, UInt64(queue.count))))
                case .chunked: guard try skipChunks(&queue) else { return nil }
                }
                if !envelope.wantsKeepAlive { return queue.isEmpty ? nil : .badRequestLine }
            }
            return nil
        } catch {
            return error
        }
    }

    static func readResponse(_ bytes: [UInt8]) -> MessageError? {
        var queue = ByteQueue()
        queue.append(bytes)
        var parser = ResponseParser()
        var head = ResponseHead()
        do throws(MessageError) {
            guard case .complete(let consumed) = try parser.parse(queue, into: &head) else { return nil }
            queue.drop(consumed)
            switch try BodyFraming.of(head, to: .get) {
            case .none: return queue.isEmpty ? nil : head.allowsReuse ? readResponse(queue.readable.copied()) : .badStatusLine
            case .close: return nil
            case .length(let count):
                queue.drop(Int(min(count, UInt64(queue.count))))
                return queue.isEmpty ? nil : head.allowsReuse ? readResponse(queue.readable.copied()) : .badStatusLine
            case .chunked: return try skipChunks(&queue) && !queue.isEmpty ? readResponse(queue.readable.copied()) : nil
            }
        } catch {
            return error
        }
    }

    private static func skipChunks(_ queue: inout ByteQueue) throws(MessageError) -> Bool {
        var decoder = ChunkedDecoder()
        while true {
            switch try decoder.next(queue.readable) {
            case .needMore: return false
            case .data(_, let consumed), .trailer(_, let consumed): queue.drop(consumed)
            case .end(let consumed):
                queue.drop(consumed)
                return true
            }
        }
    }
}
