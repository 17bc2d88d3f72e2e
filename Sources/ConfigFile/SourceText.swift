/// The text of one file, kept for the lines that errors show.
struct SourceText {
    let name: String
    let bytes: [UInt8]
    /// The offset of each line's first byte.
    private let lineStarts: [Int]

    init(name: String, bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
        lineStarts = [0] + bytes.indices.filter { bytes[$0] == 0x0A }.map { $0 + 1 }
    }

    /// Line and column, both from 1, of a byte offset; the column counts characters.
    func place(of offset: Int) -> (line: Int, column: Int) {
        let end = min(offset, bytes.count)
        // The last line that starts at or before the offset.
        var (low, high) = (0, lineStarts.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if lineStarts[middle] <= end { low = middle } else { high = middle }
        }
        return (low + 1, String(decoding: bytes[lineStarts[low]..<end], as: UTF8.self).count + 1)
    }

    /// The line that holds `offset`, with tabs made into single spaces so that the caret below it stands right.
    func line(at offset: Int) -> String {
        let start = bytes.prefix(min(offset, bytes.count)).lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
        let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
        let text = String(decoding: bytes[start..<end], as: UTF8.self)
        return String(text.map { $0 == "\t" ? " " : $0 })
    }
}
