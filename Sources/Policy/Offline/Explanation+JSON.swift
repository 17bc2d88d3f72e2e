import Authentication
import ConfigFile
import HTTPMessage

extension Explanation {
    /// For a program. `version` changes when a member changes its meaning or goes.
    package var json: String {
        var output = JSONText()
        output.object { output in
            output.member("version", 1)
            switch verdict {
            case .forwarded(let upstream):
                output.member("decision", "forwarded")
                output.member("upstream", upstream)
            case .replied: output.member("decision", "answered")
            case .refused: output.member("decision", "refused")
            case .undecided(let kind, let name, let unknown):
                output.member("decision", "undecided")
                output.member(kind, name)
                output.member("unknown", unknown)
            }
            if let status { output.member("status", status) }
            if let reason { output.member("reason", reason) }
            output.member("policy", policyID)
            output.route(route)
            output.objects("steps", of: steps) { output, step in append(step, to: &output) }
            if let advice { output.member("advice", advice) }
            if !upstreamLines.isEmpty {
                output.objects("upstream_head", of: upstreamLines) { output, line in
                    output.member("line", line.text)
                    if !line.source.isEmpty { output.member("source", line.source) }
                }
            }
            if !stripped.isEmpty {
                output.objects("stripped", of: stripped) { output, field in
                    output.member("field", field.name)
                    output.member("reason", field.reason)
                }
            }
            if let reply {
                output.object("response") { output in
                    output.member("status", reply.status)
                    output.member("fields", String(decoding: reply.fields, as: UTF8.self).split(separator: "\r\n").map(String.init))
                    output.member("body", String(decoding: reply.body, as: UTF8.self))
                }
            }
        }
        return output.text + "\n"
    }

    private func append(_ step: Step, to output: inout JSONText) {
        output.member("step", step.kind.rawValue)
        if let isMet = step.isMet { output.member("ok", isMet) }
        output.member("subject", step.subject)
        switch step.demand {
        case .all(let names): output.object("demand") { $0.member("all", names) }
        case .any(let names): output.object("demand") { $0.member("any", names) }
        case nil: break
        }
        if let held = step.held { output.member("held", held) }
        if let line = step.line { output.place(line) }
        if !step.note.isEmpty { output.member("note", step.note) }
    }
}
