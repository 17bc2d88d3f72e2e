import Bytes
import HTTPMessage

/// Reads one field line, or the empty line that ends a section. Source: RFC 9112 §5, RFC 9110 §5.
enum FieldLineReader {
    enum Result {
        case needMore
        case line(FieldTable.Line, next: Int)
        case end(next: Int)
    }

    static func read(_ input: Span<UInt8>, from start: Int) throws(MessageError) -> Result {
        let count = input.count
        guard start < count else { return .needMore }
        var index = start
        switch input[index] {
        case 0x0D:
            guard index + 1 < count else { return .needMore }
            guard input[index + 1] == 0x0A else { throw .bareCarriageReturn }
            return .end(next: index + 2)
        case 0x0A: throw .bareLineFeed
        case 0x20, 0x09: throw .obsoleteFold
        default: break
        }
        while index < count, ASCII.isToken(input[index]) { index += 1 }
        guard index < count else { return .needMore }
        guard input[index] == 0x3A else {
            throw input[index] == 0x20 || input[index] == 0x09 ? .whitespaceBeforeColon : .badFieldName
        }
        guard index > start else { throw .badFieldName }
        let name = start..<index
        index += 1
        let valueStart = index
        index = input.endOfFieldValue(from: index)
        guard index < count else { return .needMore }
        guard input[index] == 0x0D else { throw input[index] == 0x0A ? .bareLineFeed : .badFieldValue }
        guard index + 1 < count else { return .needMore }
        guard input[index + 1] == 0x0A else { throw .bareCarriageReturn }
        let value = input.trimmed(valueStart..<index)
        let line = FieldTable.Line(id: FieldName(input.extracting(name)), name: ByteRange(name), value: ByteRange(value))
        return .line(line, next: index + 2)
    }
}
