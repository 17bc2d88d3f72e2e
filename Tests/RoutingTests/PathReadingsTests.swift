import Bytes
import ConfigFile
import HTTPMessage
import Routing
import Testing

private func target(_ path: [UInt8]) throws -> RequestTarget {
    var target = RequestTarget()
    try target.normalize(0..<path.count, of: path.span)
    return target
}

@Suite struct PathReadingsTests {
    @Test(arguments: [
        ("/a%252fb", ["/a%2Fb", "/a/b"]), ("/a%2fb", ["/a/b"]), ("/a\\b", ["/a/b"]), ("/a//b", ["/a/b"]), ("/a;x/b", ["/a/b"]),
        ("/%c0%afa", ["//a", "/a", "/"]), ("/%e0%80%afa", ["//a", "/a", "/"]), ("/a%3fb", ["/a"]), ("/a%2561", ["/aa"]),
        ("/%C3%A9", []), ("/a%20b", []), ("//h/a", ["/h/a", "/a"]),
    ])
    func areWhatOtherProgramsMakeOfAPath(path: String, expected: [String]) throws {
        let readings = try PathReadings.all(of: target([UInt8](path.utf8))).map { String(decoding: $0, as: UTF8.self) }
        #expect(Set(readings) == Set(expected))
    }

    @Test(arguments: [
        "/a/%252e%252e/b", "/a/..%2fb", "/a/%2e%2e%5cb", "/a%2f..", "/a/%c0%ae%c0%ae/b", "/a/.%25252e/b", "/a/%2500", "/%c0%80",
        "/a/x%2f;y%2f..%3b/b", "/x/%c0%2e%c0%2e/admin",
    ])
    func noneLeadsUpwards(path: String) throws {
        #expect(throws: TargetError.ambiguousPath) { _ = try PathReadings.all(of: target([UInt8](path.utf8))) }
    }

    @Test func areBounded() throws {
        let deep = "/%" + String(repeating: "25", count: 3_000) + "41"
        #expect(throws: TargetError.ambiguousPath) { _ = try PathReadings.all(of: target([UInt8](deep.utf8))) }
    }

    /// For random tables and paths: whatever a program makes of a path that goes on, it lands in the route that let it in.
    @Test func noReadingOfAForwardedPathHasAnotherDecision() throws {
        var generator = SystemRandomNumberGenerator()
        var forwarded = 0
        for _ in 0..<600 {
            let table = try RandomTable(&generator)
            for _ in 0..<20 {
                let pieces = (0..<Int.random(in: 1...6, using: &generator)).map { _ in
                    RandomTable.pieces.randomElement(using: &generator)!
                }
                let path = [UInt8](("/" + pieces.joined()).utf8)
                guard let request = try? target(path), let route = try? table.table.find(host: [], request) else { continue }
                forwarded += 1
                for _ in 0..<24 {
                    let (view, steps) = LenientServer.read(request.path, &generator)
                    let found = view.flatMap { table.find($0, isFolded: table.folds[route]) }
                    #expect(
                        found?.route == route,
                        "\(String(decoding: path, as: UTF8.self)) \(table.patterns) \(steps) \(String(describing: view))")
                    // The first segment of these routes is what they make use of.
                    if let view, table.usesFirst[route] {
                        #expect(view.first == request.decodedSegment(0), "\(String(decoding: path, as: UTF8.self)) \(table.patterns)")
                    }
                }
            }
        }
        #expect(forwarded > 2_000)
    }
}

/// Routes, and a search through them that knows nothing of the one in use.
private struct RandomTable {
    static let pieces = [
        "a", "b", "A", "/", "/", "//", "%2f", "%5c", "\\", ";x", "%3b", "%252f", "%25", "%61", "%2561", "%c0%af", "%c0%ae", ".", "/./",
        "..", "%3f",
        "c", "%e0%80%af",
    ]

    var table = RouteTable()
    var patterns: [[String]] = []
    var folds: [Bool] = []
    var usesFirst: [Bool] = []

    init(_ generator: inout SystemRandomNumberGenerator) throws {
        for _ in 0..<Int.random(in: 2...7, using: &generator) {
            var parts = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
                ["a", "b", "A", "{0}", "c"].randomElement(using: &generator)!
            }
            for (index, part) in parts.enumerated() where part == "{0}" { parts[index] = "{v\(index)}" }
            if Bool.random(using: &generator) { parts.append("**") }
            let text = "/" + parts.joined(separator: "/")
            let word = Word(text: text, position: Position(file: 0, offset: 0, length: 1), isQuoted: false)
            let pattern = try #require(PathPattern(word, Diagnostics()))
            let isFolded = Int.random(in: 0..<5, using: &generator) == 0
            let uses = parts.first?.hasPrefix("{") == true && Bool.random(using: &generator)
            var next = table
            // Those that collide are errors of the file.
            guard next.insert(pattern, hosts: [], PathDemand(foldsCase: isFolded, captures: uses ? [0] : [])) == nil else { continue }
            table = next
            patterns.append(parts)
            folds.append(isFolded)
            usesFirst.append(uses && !isFolded)
        }
    }

    /// The most specific route whose pattern has these segments.
    func find(_ segments: [[UInt8]], isFolded: Bool) -> (route: Int, Void)? {
        var best: (route: Int, rank: [Int])?
        for (route, parts) in patterns.enumerated() {
            var rank: [Int] = []
            var matches = true
            for (index, part) in parts.enumerated() {
                if part == "**" { break }
                guard index < segments.count else {
                    matches = false
                    break
                }
                if part.hasPrefix("{") {
                    if segments[index].isEmpty { matches = false }
                    rank.append(1)
                } else {
                    let same =
                        isFolded || folds[route]
                        ? segments[index].map(ASCII.lowercased) == [UInt8](part.lowercased().utf8) : segments[index] == [UInt8](part.utf8)
                    if !same { matches = false }
                    rank.append(2)
                }
            }
            let isTail = parts.last == "**"
            if !isTail {
                if segments.count != parts.count { matches = false }
                rank.append(3)
            }
            guard matches else { continue }
            if let present = best, !present.rank.lexicographicallyPrecedes(rank) { continue }
            best = (route, rank)
        }
        return best.map { ($0.route, ()) }
    }
}

/// A server that takes liberties with a path, in an order of its own.
private enum LenientServer {
    /// The decoded segments that it sees, and what it did; nil when it leaves the tree.
    static func read(_ path: [UInt8], _ generator: inout SystemRandomNumberGenerator) -> ([[UInt8]]?, [Int]) {
        var path = path
        let steps = (0..<Int.random(in: 0...4, using: &generator)).map { _ in Int.random(in: 0..<8, using: &generator) }
        for step in steps {
            switch step {
            case 0: path = decode(path)
            case 1: path = replace(path, "%2F", "/")
            case 2: path = replace(replace(path, "\\", "/"), "%5C", "/")
            case 3: path = replace(replace(path, "%C0%AF", "/"), "%C0%AE", ".")
            case 7: path = replace(path, "%E0%80%AF", "/")
            case 4: path = join(path.split(separator: 0x2F, omittingEmptySubsequences: false).map { $0.prefix { $0 != 0x3B } })
            case 5: path = join(path.split(separator: 0x2F, omittingEmptySubsequences: false).map { cut($0) })
            default: while let range = path.firstRange(of: [0x2F, 0x2F]) { path.remove(at: range.lowerBound) }
            }
        }
        var seen: [[UInt8]] = []
        for piece in path.split(separator: 0x2F, omittingEmptySubsequences: false).dropFirst().map({ decode(Array($0)) }) {
            if piece == [0x2E] { continue }
            if piece == [0x2E, 0x2E] { return (nil, steps) }
            seen.append(piece)
        }
        if seen.last == [] { seen.removeLast() }
        return (seen, steps)
    }

    private static func join(_ segments: [ArraySlice<UInt8>]) -> [UInt8] { Array(segments.joined(separator: [0x2F])) }

    private static func cut(_ segment: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        segment.firstRange(of: [UInt8]("%3B".utf8)).map { segment[..<$0.lowerBound] } ?? segment
    }

    private static func replace(_ path: [UInt8], _ old: String, _ new: String) -> [UInt8] {
        var path = path
        while let range = path.firstRange(of: [UInt8](old.utf8)) { path.replaceSubrange(range, with: [UInt8](new.utf8)) }
        return path
    }

    private static func decode(_ path: [UInt8]) -> [UInt8] {
        var plain: [UInt8] = []
        var index = 0
        while index < path.count {
            if path[index] == 0x25, index + 2 < path.count, let high = ASCII.hexValue(path[index + 1]),
                let low = ASCII.hexValue(path[index + 2])
            {
                plain.append(high << 4 | low)
                index += 3
            } else {
                plain.append(path[index])
                index += 1
            }
        }
        return plain
    }
}
