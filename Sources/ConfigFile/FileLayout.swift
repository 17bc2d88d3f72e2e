import Bytes

/// Lays a file of configuration out: each line stands under the block that it is in, and no more than one empty line stands between two. What stands in a line
/// stays as its author has aligned it, and so does the text of quotations.
package struct FileLayout {
    private let bytes: [UInt8]
    private var words: [Range<Int>] = []
    private var marks: [(offset: Int, kind: Mark)] = []

    private enum Mark {
        case open, close, semicolon
    }

    /// Nil where the file cannot be cut into words; `diagnostics` then says why.
    package init?(_ bytes: [UInt8], path: String, _ diagnostics: Diagnostics) {
        self.bytes = bytes
        let errors = diagnostics.count
        var lexer = Lexer(
            bytes: bytes, file: diagnostics.add(SourceText(name: path, bytes: bytes)), environment: nil, diagnostics: diagnostics)
        reading: while true {
            switch lexer.next() {
            case .word(let word): words.append(word.position.offset..<word.position.offset + word.position.length)
            case .open(let position): marks.append((position.offset, .open))
            case .close(let position): marks.append((position.offset, .close))
            case .semicolon(let position): marks.append((position.offset, .semicolon))
            case .end: break reading
            }
        }
        if diagnostics.count > errors { return nil }
    }

    package var text: [UInt8] {
        var output: [UInt8] = []
        var lineStart = 0
        var isAfterBlank = true
        var (mark, word, depth) = (0, 0, 0)
        var last = Mark?.some(.semicolon)
        while lineStart < bytes.count {
            let lineEnd = bytes[lineStart...].firstIndex(of: 0x0A) ?? bytes.count
            defer { lineStart = lineEnd + 1 }
            // A quotation that goes over lines is its author's.
            let isInside = words.contains { $0.lowerBound < lineStart && $0.upperBound > lineStart }
            let endsInside = words.contains { $0.lowerBound <= lineEnd && $0.upperBound > lineEnd }
            var (start, end) = (lineStart, lineEnd)
            if !isInside { while start < end, Self.isBlank(bytes[start]) { start += 1 } }
            if !endsInside { while end > start, Self.isBlank(bytes[end - 1]) { end -= 1 } }
            var closing = 0
            var isAtStart = true
            let isContinued = last == nil
            let depthBefore = depth
            while mark < marks.count || word < words.count {
                let nextMark = mark < marks.count ? marks[mark].offset : Int.max
                let nextWord = word < words.count ? words[word].lowerBound : Int.max
                guard min(nextMark, nextWord) < lineEnd else { break }
                if nextWord < nextMark {
                    last = nil
                    isAtStart = false
                    word += 1
                } else {
                    switch marks[mark].kind {
                    case .open:
                        depth += 1
                        isAtStart = false
                    case .close:
                        depth -= 1
                        if isAtStart { closing += 1 }
                    case .semicolon: isAtStart = false
                    }
                    last = marks[mark].kind
                    mark += 1
                }
            }
            if start == end, !isInside, !endsInside {
                if !isAfterBlank { output.append(0x0A) }
                isAfterBlank = true
                continue
            }
            // No empty line stands behind the beginning of a block, or before its end.
            if isAfterBlank, closing > 0, output.suffix(2) == [0x0A, 0x0A] { output.removeLast() }
            isAfterBlank = last == .open && !endsInside
            if !isInside {
                let level = max(0, depthBefore - closing) + (isContinued ? 1 : 0)
                output += [UInt8](repeating: 0x20, count: 4 * level)
            }
            output += bytes[start..<end]
            output.append(0x0A)
        }
        while output.suffix(2) == [0x0A, 0x0A] { output.removeLast() }
        return output
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }
}
