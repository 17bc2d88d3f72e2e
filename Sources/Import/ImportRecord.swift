import ConfigFile

/// What became of each directive of the input.
package final class ImportRecord {
    package enum Outcome: Equatable, Sendable {
        /// It has no counterpart, and nothing is lost.
        case dropped
        case converted
        /// Converted, but something differs.
        case noted(String)
        /// Not converted, for a reason.
        case refused(String)

        fileprivate var weight: Int {
            switch self {
            case .dropped: 0
            case .converted: 1
            case .noted: 2
            case .refused: 3
            }
        }
    }

    package struct Entry: Sendable {
        package let directive: NginxDirective
        /// Whether it is a line of a table, and no directive.
        fileprivate let isData: Bool
        package fileprivate(set) var outcomes: [Outcome]
    }

    private var indexes: [Int: Int] = [:]
    /// What was left out and is of no single directive.
    private var others: [String] = []
    package private(set) var entries: [Entry] = []

    /// Lists all directives, of which nothing is known yet.
    func list(_ directives: [NginxDirective], asData: Bool = false) {
        for directive in directives {
            indexes[directive.id] = entries.count
            entries.append(Entry(directive: directive, isData: asData, outcomes: []))
            list(directive.block ?? [], asData: ["map", "geo", "types", "split_clients", "charset_map"].contains(directive.name))
        }
    }

    func converted(_ directive: NginxDirective) { add(.converted, directive) }
    func dropped(_ directive: NginxDirective) { add(.dropped, directive) }

    /// Says what differs, once.
    func note(_ text: String, _ directive: NginxDirective) { add(.noted(text), directive) }
    func refuse(_ reason: String, _ directive: NginxDirective) { add(.refused(reason), directive.id) }

    /// - Parameter id: of a directive; 0 where it is none's alone.
    func refuse(_ reason: String, _ id: Int) {
        add(.refused(reason), id)
        if indexes[id] == nil, !others.contains(reason) { others.append(reason) }
    }

    private func add(_ outcome: Outcome, _ directive: NginxDirective) { add(outcome, directive.id) }

    private func add(_ outcome: Outcome, _ id: Int) {
        guard let index = indexes[id], !entries[index].outcomes.contains(outcome) else { return }
        entries[index].outcomes.append(outcome)
        entries[index].outcomes.sort { $0.weight > $1.weight }
    }

    /// Says of everything that is still open what its name says: every directive has an outcome then.
    func finish() {
        for index in entries.indices where entries[index].outcomes.isEmpty {
            let outcome: Outcome =
                switch entries[index].isData ? .dropped : DirectiveMeaning(entries[index].directive.name) {
                case .read where DirectiveMeaning.isIdleWithoutLoss(entries[index].directive.name): .dropped
                case .read: .noted("nothing that is written needs it")
                case .dropped: .dropped
                case .noted(let text): .noted(text)
                case .refused(let reason): .refused(reason)
                }
            entries[index].outcomes = [outcome]
        }
        entries.sort {
            ($0.directive.line.file, $0.directive.line.line, $0.directive.id) < (
                $1.directive.line.file, $1.directive.line.line, $1.directive.id
            )
        }
        indexes = Dictionary(uniqueKeysWithValues: entries.enumerated().map { ($1.directive.id, $0) })
    }

    /// How many directives came out so.
    package func count(_ matches: (Outcome) -> Bool) -> Int { entries.count { $0.outcomes.first.map(matches) ?? false } }

    package var refusals: Int { others.count + count { if case .refused = $0 { true } else { false } } }

    /// A line for each directive of the input: the file and the line, the directive, and what became of it.
    package var text: String { lines { _ in true } + summary }

    private func lines(_ isShown: (Outcome) -> Bool) -> String {
        var lines = ""
        for entry in entries {
            for outcome in entry.outcomes where isShown(outcome) && (outcome != .converted || entry.outcomes.count == 1) {
                let said: String =
                    switch outcome {
                    case .dropped: "nothing to do"
                    case .converted: "converted"
                    case .noted(let text): "NOTE     \(text)"
                    case .refused(let reason): "REFUSED  \(reason)"
                    }
                lines += "\(entry.directive.line.file):\(entry.directive.line.line)  \(entry.directive.summary)\n    \(said)\n"
            }
        }
        for other in others { lines += "REFUSED  \(other)\n" }
        return lines
    }

    /// The same without what needs no reading.
    package var briefText: String { lines { if case .noted = $0 { true } else if case .refused = $0 { true } else { false } } + summary }

    /// How many directives were converted, and how.
    package var summary: String {
        let noted = count { if case .noted = $0 { true } else { false } }
        return
            "\(entries.count) directives: \(count { $0 == .converted }) converted, \(noted) with a note, \(refusals) refused, \(count { $0 == .dropped }) without a counterpart that is missed\n"
    }
}
