import Foundation
import TestSockets

/// A collector that keeps what it is sent, and reads it by the letter of the format, by code of its own.
final class SpanCollector: @unchecked Sendable {
    struct Span {
        var trace = ""
        var id = ""
        var parent = ""
        var name = ""
        var kind = 0
        var began: UInt64 = 0
        var ended: UInt64 = 0
        var status = 0
        var attributes: [String: String] = [:]
        var events: [(name: String, attributes: [String: String])] = []

        var isClient: Bool { kind == 3 }
        var reason: String? { attributes["error.type"] }
    }

    private let kept = Box<[Span]>([])
    private let posts = Box(0)
    private let server: ScriptedServer

    /// - Parameter answer: the status line and more for a request, by its number from 0 on.
    init(answer: @escaping @Sendable (Int) -> String = { _ in "200 OK" }) throws {
        let (kept, posts) = (kept, posts)
        server = try ScriptedServer { client, _ in
            var bytes: [UInt8] = []
            while true {
                guard let more = client.waitForBytes(65_536) else { return }
                bytes += more
                guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { continue }
                let head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).lowercased()
                let length = head.components(separatedBy: "content-length: ").last.flatMap { Int($0.prefix { $0.isNumber }) } ?? 0
                guard bytes.count - end.upperBound >= length else { continue }
                let number = posts.change { $0 += 1 } - 1
                let status = answer(number)
                if status.hasPrefix("200") { kept.change { $0 += Self.spans(Array(bytes[end.upperBound...])) } }
                client.send("HTTP/1.1 \(status)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            }
        }
    }

    var port: Int { server.port }
    var spans: [Span] { kept.value }
    var requests: Int { posts.value }

    func of(_ trace: String) -> [Span] { spans.filter { $0.trace == trace } }

    // MARK: - Reading

    private enum Value {
        case number(UInt64)
        case bytes([UInt8])

        var bytes: [UInt8] { if case .bytes(let bytes) = self { bytes } else { [] } }
        var text: String { String(decoding: bytes, as: UTF8.self) }
        var number: UInt64 { if case .number(let number) = self { number } else { 0 } }
        var hexadecimal: String { bytes.map { String(format: "%02x", $0) }.joined() }
    }

    private static func fields(_ bytes: [UInt8]) -> [(Int, Value)] {
        var (index, found) = (0, [(Int, Value)]())
        func varint() -> UInt64 {
            var (value, shift) = (UInt64(0), UInt64(0))
            while index < bytes.count {
                let byte = bytes[index]
                index += 1
                value |= UInt64(byte & 0x7F) << shift
                shift += 7
                if byte < 0x80 { break }
            }
            return value
        }
        while index < bytes.count {
            let key = varint()
            switch key & 7 {
            case 0: found.append((Int(key >> 3), .number(varint())))
            case 1:
                found.append((Int(key >> 3), .number(bytes[index..<index + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) })))
                index += 8
            default:
                let count = Int(varint())
                found.append((Int(key >> 3), .bytes(Array(bytes[index..<index + count]))))
                index += count
            }
        }
        return found
    }

    private static func all(_ number: Int, in bytes: [UInt8]) -> [[UInt8]] { fields(bytes).filter { $0.0 == number }.map(\.1.bytes) }

    private static func attributes(_ pairs: [[UInt8]]) -> [String: String] {
        var result: [String: String] = [:]
        for pair in pairs {
            let name = all(1, in: pair).first.map { String(decoding: $0, as: UTF8.self) } ?? ""
            for (field, value) in fields(all(2, in: pair).first ?? []) { result[name] = field == 1 ? value.text : String(value.number) }
        }
        return result
    }

    /// Of an ExportTraceServiceRequest: resource_spans, scope_spans, spans.
    private static func spans(_ body: [UInt8]) -> [Span] {
        all(1, in: body).flatMap { all(2, in: $0) }.flatMap { all(2, in: $0) }.map { bytes in
            var span = Span()
            for (field, value) in fields(bytes) {
                switch field {
                case 1: span.trace = value.hexadecimal
                case 2: span.id = value.hexadecimal
                case 4: span.parent = value.hexadecimal
                case 5: span.name = value.text
                case 6: span.kind = Int(value.number)
                case 7: span.began = value.number
                case 8: span.ended = value.number
                case 11:
                    span.events.append(
                        (
                            all(2, in: value.bytes).first.map { String(decoding: $0, as: UTF8.self) } ?? "",
                            attributes(all(3, in: value.bytes))
                        ))
                case 15: span.status = Int(fields(value.bytes).first { $0.0 == 3 }?.1.number ?? 0)
                default: break
                }
            }
            span.attributes = attributes(all(9, in: bytes))
            return span
        }
    }
}
