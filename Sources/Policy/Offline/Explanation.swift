package import ConfigFile
package import HTTPMessage

/// What the gateway would do with a request, and why: for an operator. A client never sees lines or rules.
package struct Explanation {
    package enum Verdict {
        /// The name of the upstream.
        case forwarded(String)
        case replied(GatewayReply)
        case refused(Refusal)
        /// The kind of credential, the name that the file gives it, and what is not known of it.
        case undecided(kind: String, String, String)
    }

    /// One thing that the request was asked for, in the order of its path.
    package struct Step {
        package enum Kind: String {
            case request, target, route, method, from, body, upgrade, limit, token, origin, scope, rule, forward, answer
        }

        /// What the file demands, where that is a list.
        package enum Demand {
            case all([String])
            case any([String])
        }

        package let kind: Kind
        /// Nil where nobody was asked, or nothing is demanded.
        package let isMet: Bool?
        package let subject: String
        package let line: SourceLine?
        package let note: String
        package let demand: Demand?
        package let held: [String]?

        init(
            _ kind: Kind, _ subject: String, isMet: Bool? = true, line: SourceLine? = nil, note: String = "", demand: Demand? = nil,
            held: [String]? = nil
        ) {
            self.kind = kind
            self.isMet = isMet
            self.subject = subject
            self.line = line
            self.note = note
            self.demand = demand
            self.held = held
        }

        func redacted(by redact: Redaction) -> Step {
            Step(kind, redact(subject), isMet: isMet, line: line, note: redact(note), demand: demand, held: held)
        }
    }

    /// A field of the client's that the upstream does not get, or not as it came.
    package struct StrippedField {
        package let name: String
        package let reason: String
    }

    package let verdict: Verdict
    package let policyID: String
    /// The route's name and line; nil where none was found.
    package let route: (name: String, line: SourceLine)?
    package let steps: [Step]
    /// What would let the request in.
    package let advice: String?
    /// The lines of the head that the upstream gets, each with where it comes from; that is empty for the client's own.
    package let upstreamLines: [(text: String, source: String)]
    package let stripped: [StrippedField]
    /// What the client gets, where the gateway answers itself.
    package let reply: Reply?

    /// The status of ``reply``; nil where the upstream or nobody says one.
    package var status: Int? {
        switch verdict {
        case .refused(let refusal): reply?.status ?? refusal.status
        case .replied(let reply): reply.status
        case .forwarded, .undecided: nil
        }
    }

    package var reason: String? {
        switch verdict {
        case .refused(let refusal): refusal.reason
        case .replied(let reply): reply.reason
        case .forwarded, .undecided: nil
        }
    }
}
