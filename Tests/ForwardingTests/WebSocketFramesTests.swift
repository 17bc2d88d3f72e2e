import Bytes
import Forwarding
import Testing

@Suite struct WebSocketFramesTests {
    private static let frames: [[UInt8]] = [
        [0x81, 0x00], [0x81, 0x05] + Array("hello".utf8), [0x81, 0x85, 1, 2, 3, 4] + Array("hello".utf8),
        [0x02, 126, 0x01, 0x00] + [UInt8](repeating: 7, count: 256),
        [0x80, 127, 0, 0, 0, 0, 0, 1, 0, 0] + [UInt8](repeating: 8, count: 65_536),
        [0x89, 0x80, 0, 0, 0, 0],
    ]

    @Test func knowsWhereFramesEndAtEverySplit() {
        let ends = Self.frames.reduce(into: [0]) { $0.append($0.last! + $1.count) }
        let bytes = Self.frames.flatMap { $0 }
        for split in Array(0..<400) + [bytes.count - 7, bytes.count - 1, bytes.count] {
            var reader = WebSocketFrames()
            let (before, after) = (Array(bytes[..<split]), Array(bytes[split...]))
            reader.follow(before.span)
            #expect(reader.isBetweenFrames == ends.contains(split))
            // What ends the frame that is under way is told apart from those behind it.
            let next = ends.first { $0 >= split } ?? split
            #expect(reader.follow(after.span) == next - split)
            #expect(reader.isBetweenFrames)
        }
    }

    @Test func aFrameOfAnyLengthIsNoTrap() {
        var reader = WebSocketFrames()
        let (header, body) = ([0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255] as [UInt8], [UInt8](repeating: 0, count: 1_000))
        reader.follow(header.span)
        #expect(!reader.isBetweenFrames)
        #expect(reader.follow(body.span) == 1_000)
    }

    @Test func closeFramesAreWhatTheRFCSays() {
        #expect(WebSocketFrames.close(1_008, "no", masked: false) == [0x88, 4, 0x03, 0xF0, 0x6E, 0x6F])
        #expect(WebSocketFrames.close(1_008, "", masked: true) == [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xF0])
        #expect(WebSocketFrames.close(1_008, String(repeating: "x", count: 500), masked: false).count == 2 + 125)
    }
}
