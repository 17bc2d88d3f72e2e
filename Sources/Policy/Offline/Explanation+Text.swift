import Authentication
import ConfigFile
import HTTPMessage

extension Explanation {
    /// For a terminal.
    package var text: String {
        var lines = [headline]
        let rows = steps.map { step in
            (kind: step.kind.rawValue, subject: step.subject, line: step.line?.description ?? "", note: note(step))
        }
        let subjectWidth = min(rows.map(\.subject.count).max() ?? 0, 40)
        let lineWidth = rows.map(\.line.count).max() ?? 0
        for row in rows {
            var text = "  \(padded(row.kind, 8)) \(padded(row.subject, subjectWidth))   \(padded(row.line, lineWidth))   \(row.note)"
            while text.last == " " { text.removeLast() }
            lines.append(text)
        }
        if let advice { lines.append(advice) }
        if !upstreamLines.isEmpty {
            lines += ["", "The upstream gets"]
            let width = min(upstreamLines.map(\.text.count).max() ?? 0, 60)
            for (text, source) in upstreamLines {
                lines.append(source.isEmpty ? "  \(text)" : "  \(padded(text, width))   \(source)")
            }
        }
        if !stripped.isEmpty {
            lines += ["", "It does not get"]
            let width = stripped.map(\.name.count).max() ?? 0
            for field in stripped { lines.append("  \(padded(field.name, width))   \(field.reason)") }
        }
        if let reply {
            lines += ["", "The client gets", "  \(reply.status) \(Reply.phrase(reply.status))"]
            lines += String(decoding: reply.fields, as: UTF8.self).split(separator: "\r\n").map { "  \($0)" }
            if !reply.body.isEmpty {
                lines += [""]
                lines += String(decoding: reply.body, as: UTF8.self).split(separator: "\n").map { "  \($0)" }
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private var headline: String {
        switch verdict {
        case .forwarded(let upstream): "FORWARDED  to \(upstream)"
        case .replied(let reply): "ANSWERED  \(reply.status) \(reply.reason)"
        case .refused(let refusal): "REFUSED  \(status ?? refusal.status) \(refusal.reason)"
        case .undecided(_, _, let unknown): "UNDECIDED  \(unknown): give --claims"
        }
    }

    private func note(_ step: Step) -> String {
        guard step.isMet == false else { return step.note }
        return step.note.isEmpty ? "NOT MET" : "NOT MET, \(step.note)"
    }

    private func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}
