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
        let first = reading.spans[0]
        let isMessage = ProtobufWriter.isMessage(first.span)
        #expect(reading.high == 0x0AF7_6519_16CD_43DD && isMessage)
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
            for span in SpanMessage.Reading(bytes)?.spans ?? [] {
                let isMessage = ProtobufWriter.isMessage(span.span)
                #expect(isMessage)
            }
        }
        // A route that is longer than any.
        let trace = try #require(read(Self.value))
        var long = SpanMessage(trace, .zero, route: "")
        long.append([])
        var bytes = long.bytes
        bytes.replaceSubrange(24..<32, with: [0xFF, 0xFF, 0, 0, 0, 0, 0, 0])
        bytes += [UInt8](repeating: 0x61, count: 70_000)
        #expect(SpanMessage.Reading(bytes) == nil)
    }
}
