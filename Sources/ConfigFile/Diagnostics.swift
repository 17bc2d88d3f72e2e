/// All that is wrong, or hardly meant, in a configuration, collected while it is read so that one run shows everything.
package final class Diagnostics {
    private struct Entry {
        let position: Position?
        let message: String
        let hint: String?
    }

    private var entries: [Entry] = []
    private var doubts: [Entry] = []
    package private(set) var redaction = Redaction()
    private var sources: [SourceText] = []

    package init() {}

    package var isEmpty: Bool { entries.isEmpty }
    package var count: Int { entries.count }

    /// - Parameters:
    ///   - message: what is wrong, without a final stop.
    ///   - hint: what to do, or the likely meant word.
    package func error(_ message: String, at position: Position?, hint: String? = nil) {
        guard entries.count < errorsMax else { return }
        // What is inherited is read for each route.
        if let position, entries.contains(where: { $0.position == position && $0.message == redaction(message) }) { return }
        entries.append(Entry(position: position, message: redaction(message), hint: hint.map { redaction($0) }))
    }

    /// What is no error, but hardly meant.
    package func warning(_ message: String, at position: Position?, hint: String? = nil) {
        guard doubts.count < errorsMax else { return }
        doubts.append(Entry(position: position, message: redaction(message), hint: hint.map { redaction($0) }))
    }

    package func warning(_ message: String, at word: Word, hint: String? = nil) { warning(message, at: word.position, hint: hint) }

    package var hasWarnings: Bool { !doubts.isEmpty }

    /// Has a value of the environment appear in messages as the file spells it.
    func hide(_ value: String, spelling: String) { redaction.hide(value, spelling: spelling) }

    package func error(_ message: String, at word: Word, hint: String? = nil) {
        error(message, at: word.position, hint: hint)
    }

    /// Adds a file to those that positions speak of.
    func add(_ source: SourceText) -> Int {
        sources.append(source)
        return sources.count - 1
    }

    /// The line of a position.
    package func line(of position: Position) -> SourceLine {
        guard sources.indices.contains(position.file) else { return SourceLine(file: "?", line: 0) }
        return SourceLine(file: sources[position.file].name, line: sources[position.file].place(of: position.offset).line)
    }

    /// The path of a file that the configuration names: one that begins with no slash is looked for beside the file in which it stands, as one
    /// of `include` is.
    package func path(of word: Word) -> String {
        guard !word.text.hasPrefix("/"), sources.indices.contains(word.position.file) else { return word.text }
        let name = sources[word.position.file].name
        return (name.lastIndex(of: "/").map { String(name[...$0]) } ?? "") + word.text
    }

    /// `file:line:column` of a position.
    package func place(_ position: Position) -> String {
        guard sources.indices.contains(position.file) else { return "?" }
        let place = sources[position.file].place(of: position.offset)
        return "\(sources[position.file].name):\(place.line):\(place.column)"
    }

    /// The messages alone, in the order of the file; for tests and logs.
    package var messages: [String] { lines(entries) }
    /// The same for warnings.
    package var warnings: [String] { lines(doubts) }

    private func lines(_ entries: [Entry]) -> [String] {
        sorted(entries).map { entry in
            guard let position = entry.position else { return entry.message }
            return "\(place(position)): \(entry.message)" + (entry.hint.map { "; \($0)" } ?? "")
        }
    }

    /// An error or a warning, for programs.
    package struct Report: Sendable {
        package let isError: Bool
        /// Nil where it is of no place.
        package let file: String?
        /// From 1 on.
        package let line: Int
        package let column: Int
        package let message: String
        package let hint: String?
    }

    /// All errors, then all warnings, in the order of the file.
    package var reports: [Report] { reports(entries, areErrors: true) + reports(doubts, areErrors: false) }

    private func reports(_ entries: [Entry], areErrors: Bool) -> [Report] {
        sorted(entries).map { entry in
            let source = entry.position.flatMap { sources.indices.contains($0.file) ? sources[$0.file] : nil }
            let place = source?.place(of: entry.position?.offset ?? 0)
            return Report(
                isError: areErrors, file: source?.name, line: place?.line ?? 0, column: place?.column ?? 0, message: entry.message,
                hint: entry.hint)
        }
    }

    /// Every error with its line, a caret below the word, and the hint.
    package func rendered() -> String {
        rendered(entries, "error") + (entries.count >= errorsMax ? "only the first \(errorsMax) errors are shown\n" : "")
    }

    /// The same for warnings.
    package func renderedWarnings() -> String { rendered(doubts, "warning") }

    private func rendered(_ entries: [Entry], _ kind: String) -> String {
        var text = ""
        for entry in sorted(entries) {
            guard let position = entry.position, sources.indices.contains(position.file) else {
                text += "\(kind): \(entry.message)\n"
                if let hint = entry.hint { text += "  hint: \(hint)\n" }
                continue
            }
            let source = sources[position.file]
            let place = source.place(of: position.offset)
            let number = String(place.line)
            let margin = String(repeating: " ", count: number.count)
            let marks = String(repeating: "^", count: max(1, min(position.length, 80)))
            text += "\(source.name):\(place.line):\(place.column): \(kind): \(entry.message)\n"
            let (line, column) = Self.excerpt(of: source.line(at: position.offset), around: place.column)
            text += "  \(number) | \(line)\n"
            text += "  \(margin) | \(String(repeating: " ", count: column - 1))\(marks)\n"
            if let hint = entry.hint { text += "  \(margin) = \(hint)\n" }
        }
        return text
    }

    /// What is shown of a line, and where the column is in it: of a long one the part around the column.
    private static func excerpt(of line: String, around column: Int) -> (String, Int) {
        let characters = Array(line)
        guard characters.count > lineMax else { return (line, column) }
        let start = max(0, min(column - 1 - lineMax / 4, characters.count - lineMax))
        let end = min(characters.count, start + lineMax)
        let text = (start > 0 ? "…" : "") + String(characters[start..<end]) + (end < characters.count ? "…" : "")
        return (text, column - start + (start > 0 ? 1 : 0))
    }

    private static let lineMax = 240

    private func sorted(_ entries: [Entry]) -> [Entry] {
        entries.enumerated().sorted { left, right in
            let (a, b) = (left.element.position, right.element.position)
            let first = (a?.file ?? -1, a?.offset ?? -1, left.offset)
            return first < (b?.file ?? -1, b?.offset ?? -1, right.offset)
        }.map(\.element)
    }

    private let errorsMax = 200
}
