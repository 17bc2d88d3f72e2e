import Time
import Bytes
import System
import Foundation
import Observability
import Testing

@Suite struct JSONLineTests {
    @Test func escapesWhatCouldEndALineOrAString() throws {
        var line = JSONLine()
        line.begin()
        line.member("a", "x\"y\\z\n\u{1b}[31m\u{7f}\u{85}\u{2028}é")
        line.member("b", [0x61, 0xFF, 0x62])
        line.member("n", number: 42)
        line.member("ms", milliseconds: Nanoseconds(1_234_567))
        line.array("l", of: [1, 2]) { line, value in line.member("v", number: UInt64(value)) }
        line.end()
        let text = String(decoding: line.bytes, as: UTF8.self)
        #expect(!text.utf8.contains { $0 < 0x20 || $0 == 0x7F })
        #expect(!text.unicodeScalars.contains("\u{85}") && !text.unicodeScalars.contains("\u{2028}"))
        let value = try #require(try JSONSerialization.jsonObject(with: Data(line.bytes)) as? [String: Any])
        #expect(value["a"] as? String == "x\"y\\z\n\u{1b}[31m\u{7f}\u{85}\u{2028}é")
        #expect(value["ms"] as? Double == 1.234)
        #expect((value["l"] as? [[String: Any]])?.count == 2)
    }

    @Test(arguments: [
        (UInt64(0), "1970-01-01T00:00:00.000Z"), (951_782_400_123, "2000-02-29T00:00:00.123Z"),
        (1_709_251_199_999, "2024-02-29T23:59:59.999Z"), (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    ])
    func writesTimes(milliseconds: UInt64, expected: String) {
        var bytes: [UInt8] = []
        TimeText.append(milliseconds * 1_000_000, to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == expected)
    }

    @Test func writesTheDateOfTheRFC() { #expect(TimeText.fieldDate(784_111_777_000_000_000) == "Sun, 06 Nov 1994 08:49:37 GMT") }
}

@Suite struct LogRingTests {
    @Test func givesEveryLineOnceInOrderAroundTheEnd() throws {
        let ring = LogRing(try SharedMemory(words: LogRing.words + 8), firstWord: 8)
        var expected: [String] = []
        var seen: [String] = []
        for round in 0..<400 {
            for index in 0..<20 {
                let line = "\(round) \(index) " + String(repeating: "x", count: (round * 37 + index * 11) % 300)
                ring.write([UInt8](line.utf8), index % 2 == 0 ? .access : .security)
                expected.append(line)
            }
            _ = ring.drain { _, line in seen.append(String(decoding: line.dropLast(), as: UTF8.self)) }
        }
        #expect(seen == expected)
        #expect(ring.dropped == 0)
    }

    /// The writer may be in wrong hands: whatever it has left, reading ends, and takes whole lines.
    @Test func aSpoiltRingHarmsNobody() throws {
        var generator = SystemRandomNumberGenerator()
        for round in 0..<300 {
            let memory = try SharedMemory(words: LogRing.words)
            let ring = LogRing(memory, firstWord: 0)
            ring.write([UInt8]("good".utf8), .access)
            switch round % 4 {
            case 0: memory.store(0, .random(in: 0 ... .max, using: &generator))
            case 1: memory.store(1, .random(in: 0 ... .max, using: &generator))
            case 2:
                memory.store(0, UInt64(LogRing.dataBytes))
                for word in 0..<64 { memory.store(4 + word, .random(in: 0 ... .max, using: &generator)) }
            default: memory.store(4, UInt64.random(in: 0 ... .max, using: &generator) & ~0xFF | 1)
            }
            var count = 0
            _ = ring.drain { _, line in
                count += 1
                #expect(line.firstIndex(of: 0x0A) == line.count - 1)
            }
            #expect(count <= LogRing.dataBytes / 8)
            _ = ring.drain { _, _ in Issue.record("the rest was read again") }
            ring.write([UInt8]("more".utf8), .access)
            _ = ring.drain { _, line in #expect(line == [UInt8]("more\n".utf8)) }
        }
        let ring = LogRing(try SharedMemory(words: LogRing.words), firstWord: 0)
        ring.write([UInt8]("one\nforged".utf8), .access)
        _ = ring.drain { _, _ in Issue.record("a line that is two") }
        #expect(ring.dropped == 1)
    }

    @Test func aFullRingDropsAndCounts() throws {
        let ring = LogRing(try SharedMemory(words: LogRing.words), firstWord: 0)
        let line = [UInt8](repeating: 0x61, count: 1_000)
        for _ in 0..<2_000 { ring.write(line, .access) }
        var count = 0
        _ = ring.drain { _, _ in count += 1 }
        #expect(count + Int(ring.dropped) == 2_000)
        #expect(ring.dropped > 0 && count > 1_000)
    }
}
