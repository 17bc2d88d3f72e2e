import Bytes
import Observability
import Testing
import Time

@Suite("Traces") struct TracingTests {
    private static let value = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    private func read(_ text: String) -> TraceContext? { TraceContext(traceparent: Array(text.utf8).span) }

    @Test("A context is read as the specification has it")
    func context() throws {
        let trace = try #require(read(Self.value))
        #expect(trace.high == 0x0AF7_6519_16CD_43DD && trace.low == 0x8448_EB21_1C80_319C && trace.parent == 0xB7AD_6B71_6920_3331)
        #expect(trace.isSampled)
        #expect(try #require(read(Self.value.dropLast(2) + "02")).isSampled == false)
        // A later version may have more behind a dash.
        #expect(read("01" + Self.value.dropFirst(2) + "-more") != nil && read("01" + Self.value.dropFirst(2)) != nil)
        var text: [UInt8] = []
        trace.append(parent: 1, to: &text)
        #expect(String(decoding: text, as: UTF8.self) == "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01")
    }

    @Test(
        "What is none is none",
        arguments: [
            "", "00", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333g-01", "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
        ])
    func none(text: String) { #expect(read(text) == nil) }

    private func message() throws -> [UInt8] {
        let trace = try #require(read(Self.value))
        var span = SpanWriter()
        span.begin(trace, span: 7, parent: trace.parent, .server, name: "GET /a", began: 1, ended: 2)
        span.attribute("url.path", Array("/a".utf8) + [0xFF])
        span.attribute("http.response.status_code", number: 200)
        span.event("limit", at: 2, [("portcullis.limit", "a")])
        span.fail("why")
        var message = SpanMessage(trace, .milliseconds(3), route: "/a")
        message.append(span.output)
        message.append(span.output)
        return message.bytes
    }

    @Test("The spans of a request come over as they were written")
    func roundTrip() throws {
        let reading = try #require(SpanMessage.Reading(try message()))
        #expect(reading.spans.count == 2 && reading.route == Array("/a".utf8) && reading.duration == .milliseconds(3))
        #expect(reading.high == 0x0AF7_6519_16CD_43DD)
        // As opentelemetry-proto numbers them.
        var reader = ProtobufReader()
        var fields: [String] = []
        let span = reading.spans[0]
        while let (field, value) = try reader.next(in: span.span) {
            switch value {
            case .number(let number): fields.append("\(field)=\(number)")
            case .fixed64(let number): fields.append("\(field)=64:\(number)")
            case .bytes(let range) where field == 5: fields.append("5=" + String(decoding: span[range], as: UTF8.self))
            case .bytes(let range): fields.append("\(field):\(range.count)")
            }
        }
        #expect(fields.prefix(7) == ["1:16", "2:8", "4:8", "5=GET /a", "6=2", "7=64:1", "8=64:2"])
        #expect(fields.dropFirst(7).map { $0.prefix { $0 != ":" } } == ["9", "9", "11", "15"])
        let status: [UInt8] = [0x7A, 7, 0x12, 3, 0x77, 0x68, 0x79, 0x18, 2]
        #expect(Array(span.suffix(9)) == status)
    }

    @Test(
        "What a collector would refuse is no span",
        arguments: [
            [], [0x08, 0x01], [0x0A, 0x02, 1, 1], [0x2A, 0x01, 0xFF], [0x4A, 0x01, 0xFF], [0x4A, 0x02, 0x0A, 0x05], [0x39, 1, 2],
            [0xFA, 0xFF, 0xFF, 0xFF, 0x7F, 0], [0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], [0x1A, 0x00],
            [0x35, 0, 0, 0, 0],
        ] as [[UInt8]])
    func noSpan(bytes: [UInt8]) throws {
        let fits = SpanShape.fits(bytes.span)
        #expect(!fits)
        var message = SpanMessage(try #require(read(Self.value)), .zero, route: "")
        message.append(bytes)
        #expect(SpanMessage.Reading(message.bytes) == nil)
    }

    @Test("Bytes of a worker in wrong hands are spans or nothing, and end nothing")
    func nonsense() throws {
        var generator = SystemRandomNumberGenerator()
        let good = try message()
        for _ in 0..<20_000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
                case 1: bytes.removeLast(Int.random(in: 0..<bytes.count / 2, using: &generator))
                default: bytes.insert(.random(in: 0...255, using: &generator), at: Int.random(in: 0..<bytes.count, using: &generator))
                }
            }
            for span in SpanMessage.Reading(bytes)?.spans ?? [] { #expect(span.count <= bytes.count) }
        }
        // A route that is longer than any.
        let trace = try #require(read(Self.value))
        let long = SpanMessage(trace, .zero, route: "")
        var bytes = long.bytes
        bytes.replaceSubrange(24..<32, with: [0xFF, 0xFF, 0, 0, 0, 0, 0, 0])
        bytes += [UInt8](repeating: 0x61, count: 70_000)
        #expect(SpanMessage.Reading(bytes) == nil)
    }
}
