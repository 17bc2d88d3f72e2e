import Bytes
import Compression
import Foundation
import Testing

@Suite("Codings of bodies") struct ContentCodingTests {
    private static let all: [ContentCoding] = [.br, .zstd, .gzip]

    @Test(
        "A client gets the coding that it likes best, and of several the one that the file names first",
        arguments: [
            ("gzip", .gzip), ("gzip, deflate, br", .br), ("gzip;q=1.0, br;q=0.5", .gzip), ("BR", .br), ("*", .br),
            ("*;q=0.1, gzip;q=0.2", .gzip),
            ("x-gzip", .gzip), ("gzip ; q=0.001", .gzip), ("br;q=0, *", .zstd), ("identity, gzip", .gzip),
            ("zstd\t;\tq=0.9,gzip;q=0.8", .zstd),
        ] as [(String, ContentCoding)])
    func chosen(accepted: String, expected: ContentCoding) {
        #expect(ContentCoding.chosen(accepted, of: Self.all) == expected)
    }

    @Test(
        "Who takes none gets none",
        arguments: [
            "", "identity", "deflate", "gzip;q=0", "gzip;q=0.0, *;q=0", "br;q=nonsense", "gzip;q=2", "gzip;q=0.0001",
            "gzip;q=0.5, identity;q=0.9", ";q=1",
            ",,",
        ])
    func none(accepted: String) { #expect(ContentCoding.chosen(accepted, of: Self.all) == nil) }

    private func coded(_ pieces: [[UInt8]], _ coding: ContentCoding, flushes: Bool) throws -> (bytes: [UInt8], afterFirst: Int) {
        let encoder = try #require(BodyEncoder(coding))
        var output: [UInt8] = []
        var afterFirst = 0
        for (index, piece) in pieces.enumerated() {
            try encoder.append(piece.span, to: &output)
            if flushes { try encoder.flush(to: &output) }
            if index == 0 { afterFirst = output.count }
        }
        try encoder.finish(to: &output)
        return (output, afterFirst)
    }

    @Test("What is coded in pieces is shorter, and other programs make of it what it was", arguments: ContentCoding.allCases)
    func roundTrip(coding: ContentCoding) throws {
        var generator = SystemRandomNumberGenerator()
        let words = ["route", "upstream", "token", "issuer", "\n", " ", "scope", "limit"]
        for flushes in [false, true] {
            let pieces = (0..<40).map { index in
                let count = index == 0 ? 10 : Int.random(in: 0...9_000, using: &generator)
                return Array((0..<count).map { _ in words.randomElement(using: &generator)! }.joined().utf8)
            }
            let whole = pieces.flatMap { $0 }
            let (bytes, afterFirst) = try coded(pieces, coding, flushes: flushes)
            #expect(bytes.count < whole.count / 2)
            #expect(!flushes || afterFirst > 10)
            let tool = coding == .gzip ? ["gzip", "-dc"] : coding == .br ? ["brotli", "-dc"] : ["zstd", "-dcq"]
            let back = try decoded(bytes, tool)
            #expect(back == whole)
        }
    }

    @Test("What cannot get shorter gets no longer than a little", arguments: ContentCoding.allCases)
    func random(coding: ContentCoding) throws {
        var generator = SystemRandomNumberGenerator()
        let piece = (0..<200_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        #expect(try coded([piece], coding, flushes: false).bytes.count < 201_000)
        #expect(try coded([], coding, flushes: false).bytes.count < 40)
    }

    private func decoded(_ bytes: [UInt8], _ tool: [String]) throws -> [UInt8] {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("portcullis-coded-\(UUID().uuidString)")
        try Data(bytes).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = tool
        process.standardInput = try FileHandle(forReadingFrom: file)
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Array(data)
    }
}
