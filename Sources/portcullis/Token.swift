import ArgumentParser
import Authentication
import Authorization
import Configuration
import Policy
import Processes
import System

struct Token: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "What the gateway makes of a token.", subcommands: [Inspect.self])

    struct Inspect: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read a token from standard input and say what the gateway would make of it now.",
            discussion: """
                Exits with 0 if some route would let it in, else with 1. Key sets are taken from files; those at a URL are not fetched. \
                What becomes of one request says: portcullis explain METHOD URL --token -
                """)

        @OptionGroup var file: ConfigurationOption

        func run() throws {
            let (settings, files) = try readSettings(file.config, runsTests: false)
            let token = try StandardInput.token()
            let policy = OfflinePolicy(settings) { files.contents[$0] }
            let seconds = Clock.wallSeconds()
            do {
                switch try policy.inspect(token, at: seconds) {
                case .identity(let identity):
                    let view = TokenView(identity, policy)
                    print(view.text(at: seconds), terminator: "")
                    guard view.isLetInSomewhere else { throw ExitCode(1) }
                case .absent: preconditionFailure("a token that is not there")
                case .pending(let doubt):
                    let name = settings.issuer(doubt.issuer).name
                    print(
                        doubt.error == .keysUnavailable
                            ? "refused: the keys of issuer \(name) are at a URL and not fetched here"
                            : "refused: \(doubt.error.explanation) (\(doubt.error.reason))")
                    throw ExitCode(1)
                }
            } catch let error as CredentialError {
                print("refused: \(error.explanation) (\(error.reason))")
                throw ExitCode(1)
            }
        }
    }
}

/// What each rule of the file says to one identity, as ``Policy`` decides it.
private struct TokenView {
    private let identity: Identity
    private let policy: OfflinePolicy
    private let rows: [(route: Route, rule: Route.MethodRule, verdict: String)]

    init(_ identity: Identity, _ policy: OfflinePolicy) {
        self.identity = identity
        self.policy = policy
        var rows: [(route: Route, rule: Route.MethodRule, verdict: String)] = []
        for route in policy.settings.routes.sorted(by: { $0.name < $1.name }) {
            for rule in route.anyMethod.map({ [$0] }) ?? route.methods {
                rows.append((route, rule, Self.verdict(identity, route, rule, policy)))
            }
        }
        self.rows = rows
    }

    var isLetInSomewhere: Bool { rows.contains { $0.verdict.hasPrefix("allowed") } }

    func text(at now: UInt64) -> String {
        let principal = identity.principal
        var text = "valid      for \(principal.expiry - now) s more, leeway included\n"
        text += "issuer     \(policy.settings.name(of: principal.credential))\n"
        text += "subject    \(principal.subject ?? "none")\n"
        text += "scopes     \(policy.settings.requirements.scopes(of: principal).joined(separator: " "))\n\n"
        for (route, rule, verdict) in rows {
            text += "\(verdict)  \(rule.names.isEmpty ? "all" : rule.names.joined(separator: " "))  \(route.name)\n"
        }
        return text
    }

    private static func verdict(_ identity: Identity, _ route: Route, _ rule: Route.MethodRule, _ policy: OfflinePolicy) -> String {
        let rules = rule.authorization.rules.map(\.text).joined(separator: " and ")
        do throws(Refusal) {
            return try policy.authorize(identity, route, rule) == nil ? "public " : rules.isEmpty ? "allowed" : "allowed if " + rules
        } catch {
            switch error {
            case .token(.issuerNotAccepted): return "refused (issuer)"
            case .authorization(.scopeMissing(let scopes)): return "refused (scope \(scopes))"
            // Whether a rule is met is known where there is a request.
            case .authorization(.ruleUnmet): return "allowed if " + rules
            default: return "refused (\(error.reason))"
            }
        }
    }
}
