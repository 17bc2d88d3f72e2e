import ArgumentParser
import Authentication
import Configuration
import Policy
import Processes
import System

struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what the gateway would do with a request, and why.",
        discussion: """
            Decides as a worker does, by the file alone: no request is sent, no limit is charged, no key set is fetched. A token comes from a \
            file or from standard input and never stands among the arguments, which other users of the host can see.

              portcullis explain GET /api/orders/7 --token token.txt
              portcullis explain POST https://api.example.com/api/orders/7 --claims '{"sub":"alice","scopes":["read:orders"]}'
              portcullis explain --who POST /api/orders/7

            Exits with 0 if the request is forwarded or answered, 1 if it is refused, 2 if the file or the command is wrong, 3 if it cannot be \
            decided here because keys are at a URL or an authorizer would be asked.
            """)

    @OptionGroup var file: ConfigurationOption
    @Argument(help: "The method, such as GET.") var method: String
    @Argument(help: "A path, or a URL with the host.") var url: String
    @Option(help: "A file with the access token; - for standard input.") var token: String?
    @Option(help: "The claims of a token, as a JSON object; its signature is taken for good.") var claims: String?
    @Option(help: "The authorizer of the file that would give these claims.") var authorizer: String?
    @Option(name: .customLong("header"), help: "A field of the request, as 'Name: value'; repeat.") var headers: [String] = []
    @Option(name: .customLong("cookie"), help: "A cookie of the request, as name=value; repeat.") var cookies: [String] = []
    @Option(help: "The address of the client.") var client = "127.0.0.1"
    @Option(help: "When: seconds since 1970, or a time such as 2026-01-31T12:00:00Z; now by default.") var at: String?
    @Flag(help: "Print JSON.") var json = false
    @Flag(help: "Say which credentials would pass.") var who = false

    func run() throws {
        let (settings, files) = try readSettings(file.config, runsTests: false, errorCode: 2)
        let explainer = Explainer(settings) { files.contents[$0] }
        let request = try request(settings)
        if who {
            let audience = explainer.passing(request)
            print(json ? audience.json : audience.text, terminator: "")
            if case .nobody = audience.kind { throw ExitCode(1) }
            return
        }
        let explanation = explainer.explain(request)
        print(json ? explanation.json : explanation.text, terminator: "")
        switch explanation.verdict {
        case .forwarded, .replied: break
        case .refused: throw ExitCode(1)
        case .undecided: throw ExitCode(3)
        }
    }

    private func request(_ settings: Settings) throws -> OfflineRequest {
        var request = OfflineRequest(method, url: url, time: try time())
        guard IPAddress(client) != nil else { throw usage("'\(client)' is not an IP address", "write --client 192.0.2.1") }
        request.clientIP = client
        if (headers + cookies).contains(where: { $0.contains("eyJ") }) {
            complain("warning: other users of this host can read a token among the arguments; give it with --token FILE or --token -")
        }
        for header in headers {
            guard let colon = header.firstIndex(of: ":"), colon > header.startIndex else {
                throw usage("'\(header)' is not a field", "write --header 'Name: value'")
            }
            request.fields.append((String(header[..<colon]), header[header.index(after: colon)...].trimmingSpaces))
        }
        for cookie in cookies where !cookie.contains("=") { throw usage("'\(cookie)' is not a cookie", "write --cookie name=value") }
        if !cookies.isEmpty { request.fields.append(("Cookie", cookies.joined(separator: "; "))) }
        request.bearer = try bearer(settings)
        if let mistake = request.mistake { throw usage(mistake, "write: portcullis explain GET /path, or a URL of http or https") }
        return request
    }

    private func bearer(_ settings: Settings) throws -> OfflineRequest.Bearer {
        if authorizer != nil, claims == nil {
            throw usage("--authorizer says whose claims --claims are", "add --claims '{\"user\":\"alice\"}'")
        }
        switch (token, claims) {
        case (.some, .some): throw usage("a request has a token or claims, not both", "leave out --token or --claims")
        case (nil, nil): return .fields
        case (.some("-"), nil):
            do {
                return .token(try StandardInput.token())
            } catch {
                throw usage("standard input cannot be read: \(error)", "--token - reads a token of at most 1 MiB from it")
            }
        case (.some(let path), nil):
            do {
                return .token(try LocalFiles.read(path).trimmed)
            } catch {
                throw usage("\(path) cannot be read: \(error.reason)", "--token takes a file, or - for standard input")
            }
        case (nil, .some(let text)):
            guard let value = try? JSONReader.read(Array(text.utf8)), var claims = UnsignedClaims(value) else {
                throw usage("the claims are not a JSON object", "write --claims '{\"sub\":\"alice\"}'")
            }
            if let authorizer {
                guard let index = settings.authorizers.firstIndex(where: { $0.name == authorizer }) else {
                    throw usage(
                        "there is no authorizer '\(authorizer)'", "it has: \(settings.authorizers.map(\.name).joined(separator: " "))")
                }
                claims.credential = .authorizer(AuthorizerID(index))
            }
            return .claims(claims)
        }
    }

    private func time() throws -> UInt64 {
        guard let at else { return Clock.wallSeconds() }
        guard let seconds = UInt64(at) ?? MomentText.seconds(at), seconds < 1 << 40 else {
            throw usage("'\(at)' is not a time", "write seconds since 1970, or a time of UTC such as 2026-01-31T12:00:00Z")
        }
        return seconds
    }
}

/// Complains of how a command was called; the error to throw then.
func usage(_ message: String, _ hint: String) -> ExitCode {
    complain("error: \(message)\n  hint: \(hint)")
    return ExitCode(2)
}

extension StringProtocol {
    fileprivate var trimmingSpaces: String { String(drop { $0 == " " }) }
}
