import Foundation
import Bytes
import HTTPMessage
import Testing

@Suite struct RequestHeadTests {
    /// Storage is used again, and grows where it must: larger, smaller, and around the usual size.
    @Test func holdsTheBytesThatItWasGivenLast() {
        var head = RequestHead()
        for count in [10, 1_023, 1_024, 1_025, 3, 20_000, 8, 5_000, 0, 1] {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ count) }
            head.adopt(bytes.span)
            let held = head.bytes.copied()
            #expect(held == bytes)
            let capacity = head.capacity
            #expect(capacity >= count && capacity <= 20_000)
        }
        head.reset()
        let left = head.bytes.count
        #expect(left == 0)
    }
}

@Suite struct LimitsTests {
    @Test func anExchangeHoldsWhatTheDocumentsSay() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("docs/security.md"), encoding: .utf8)
        #expect(text.contains("one exchange over HTTP/1.1 holds at most \(Limits.exchangeBytesMax >> 10) KiB"))
        #expect(Limits.tokenBytesMax < Limits.requestHeadBytesMax)
        #expect(Limits.targetBytesMax < Limits.requestHeadBytesMax)
        #expect(Limits.sendQueueLowBytes < Limits.sendQueueHighBytes)
        #expect(Limits.heldBodyBytesMax <= Limits.sendQueueHighBytes)
    }
}
