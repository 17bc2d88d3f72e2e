import ArgumentParser
import Authentication
import Authorization
import Bytes
import CLinux
import ConfigFile
import System
import Configuration
import Processes

struct JWS: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jws", abstract: "The signature layer alone.", subcommands: [Verify.self])

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read a compact JWS from standard input and say whether its signature is valid.",
            discussion: "Prints 'valid' or 'invalid: REASON' and exits with 0 or 1. The payload may be anything.")

        @Option(help: "A file with a JWKS or one JWK.") var keys: String
        @Option(help: "The algorithms to accept, separated by commas or spaces; all asymmetric ones by default.")
        var algorithms: String?

        func run() throws {
            let document: [UInt8]
            do {
                document = try LocalFiles.read(keys)
            } catch {
                complain("portcullis: \(keys): \(error.reason)")
                throw ExitCode(2)
            }
            let allowed = try (algorithms.map { $0.split(whereSeparator: { ", ".contains($0) }).map(String.init) })?.map { name in
                guard let algorithm = Algorithm(name) else { throw ValidationError("'\(name)' is not an algorithm that can be used") }
                return algorithm
            }
            let token = try StandardInput.token()
            if let reason = JWSVerdict.reason(token, keys: document, allowed: allowed ?? Algorithm.allCases) {
                print("invalid: \(reason)")
                throw ExitCode(1)
            }
            print("valid")
        }
    }
}

enum JWSVerdict {
    /// Why a token is not valid; nil when it is.
    static func reason(_ token: [UInt8], keys document: [UInt8], allowed: [Algorithm]) -> String? {
        do {
            let keys = try KeySet(document)
            let jws = try CompactJWS(token.span)
            guard allowed.contains(jws.algorithm) else { throw TokenError.algorithmNotAllowed }
            try keys.verify(jws, token.span)
            return nil
        } catch let error as TokenError {
            return error.explanation
        } catch let error as KeySetError {
            return "the keys cannot be used: \(error.explanation)"
        } catch {
            return "\(error)"
        }
    }
}

struct Token: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "What the gateway makes of a token.", subcommands: [Inspect.self])

    struct Inspect: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read a token from standard input and say what the gateway would make of it now.",
            discussion:
                "Exits with 0 if some route would let it in, else with 1. Key sets are taken from files; those at a URL are not fetched.")

        @OptionGroup var file: ConfigurationOption

        func run() throws {
            let (settings, files) = try readSettings(file.config)
            let token = try StandardInput.token()
            let authenticator = Authenticator(
                issuers: settings.issuers, sources: settings.tokenSources, cacheCapacity: 4, cacheHash: SipHash(key0: 1, key1: 2),
                requirements: settings.requirements)
            for (index, issuer) in settings.issuers.enumerated() {
                if case .file(let path) = issuer.keys, let content = files.contents[path], let keys = try? KeySet(content) {
                    authenticator.replaceKeys(of: index, with: keys)
                }
            }
            let seconds = Clock.wall() / 1_000_000_000
            do {
                switch try authenticator.verify(token.span, at: seconds, accepting: Array(settings.issuers.indices)) {
                case .verified(let verified):
                    print(report(verified, settings, seconds), terminator: "")
                    guard isLetInSomewhere(verified, settings) else { throw ExitCode(1) }
                case .needsKeys(let doubt):
                    let name = settings.issuers[doubt.issuer].name
                    print(
                        doubt.error == .keysUnavailable
                            ? "refused: the keys of issuer \(name) are at a URL and not fetched here"
                            : "refused: \(doubt.error.explanation) (\(doubt.error.reason))")
                    throw ExitCode(1)
                }
            } catch let error as TokenError {
                print("refused: \(error.explanation) (\(error.reason))")
                throw ExitCode(1)
            }
        }

        private func report(_ verified: VerifiedToken, _ settings: Settings, _ now: UInt64) -> String {
            let issuer = settings.issuers[verified.issuer]
            var text = "valid      for \(verified.refusedFrom - now) s more, leeway included\n"
            text += "issuer     \(issuer.name)\n"
            text += "subject    \(verified.subject ?? "none")\n"
            text += "scopes     \(verified.claims.scopes(issuer.scopeClaims).joined(separator: " "))\n\n"
            for route in settings.routes.sorted(by: { $0.name < $1.name }) {
                for rule in route.anyMethod.map({ [$0] }) ?? route.methods {
                    text +=
                        "\(verdict(verified, route, rule, settings))  \(rule.names.isEmpty ? "all" : rule.names.joined(separator: " "))  \(route.name)\n"
                }
            }
            return text
        }

        private func isLetInSomewhere(_ verified: VerifiedToken, _ settings: Settings) -> Bool {
            settings.routes.contains { route in
                guard case .authenticated = route.access else { return false }
                return (route.anyMethod.map { [$0] } ?? route.methods).contains {
                    verdict(verified, route, $0, settings).hasPrefix("allowed")
                }
            }
        }

        private func verdict(_ verified: VerifiedToken, _ route: Route, _ rule: Route.MethodRule, _ settings: Settings) -> String {
            guard case .authenticated(let issuers) = route.access else { return "public " }
            guard issuers.issuers.contains(verified.issuer) else { return "refused (issuer)" }
            for index in rule.authorization.requirements where !verified.answers[index] {
                return "refused (scope \(settings.requirements.requirements[index].text))"
            }
            return rule.authorization.rules.isEmpty
                ? "allowed" : "allowed if " + rule.authorization.rules.map(\.text).joined(separator: " and ")
        }
    }
}

enum StandardInput {
    /// All of standard input, without white space at its ends.
    static func token() throws -> [UInt8] {
        let descriptor = Descriptor(owning: try duplicateOfInput())
        let bytes = try LocalFiles.readAll(descriptor, bytesMax: 1 << 20)
        let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x0A || $0 == 0x0D || $0 == 0x09 }
        guard let first = bytes.firstIndex(where: { !isSpace($0) }), let last = bytes.lastIndex(where: { !isSpace($0) }) else { return [] }
        return Array(bytes[first...last])
    }

    private static func duplicateOfInput() throws -> Int32 {
        let copy = pc_fcntl(0, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw SystemError("fcntl") }
        return copy
    }
}
