import Bytes
import CLinux
import Control
import HTTPMessage
import Import
import System
import TLS
import Time

/// Sends the same requests to nginx and to the gateway, and tells what differs.
struct TrialRun {
    private let trial: Trial
    private let stage: TrialStage
    private let context: ClientContext
    private var equal = 0
    private var known: [KnownDifference: Int] = [:]
    private var differences: [String] = []
    private var total = 0

    /// Runs a whole trial; prints its report. True if nothing differs that is not noted.
    static func prove(_ imported: NginxImport, folder: String, isVerbose: Bool) throws -> Bool {
        guard let credentials = DemoCredentials(),
            let context = try? ClientContext(trustedPEM: credentials.certificatePEM, certificate: nil)
        else {
            throw TrialError(reason: "OpenSSL could not make keys")
        }
        TrialStage.holdSignals()
        let trial = Trial(imported)
        let stage = try TrialStage(trial, credentials, folder: folder)
        defer { stage.end() }
        let unknown = try stage.startNginx(trial)
        try stage.startGateway(trial)
        var run = TrialRun(trial, stage, context)
        try run.waitUntilReady()
        for place in imported.places {
            try stage.throwIfInterrupted()
            run.probe(place, isVerbose: isVerbose)
        }
        run.report(without: unknown)
        return run.differences.isEmpty
    }

    private init(_ trial: Trial, _ stage: TrialStage, _ context: ClientContext) {
        self.trial = trial
        self.stage = stage
        self.context = context
    }

    /// The listener that requests go to, by preference one with TLS.
    private var main: (address: String, isTLS: Bool)? { trial.listeners.first(where: \.isTLS) ?? trial.listeners.first }

    /// All requests to one listener, and a few to each of the others.
    private mutating func probe(_ place: ImportedPlace, isVerbose: Bool) {
        let listeners = trial.listeners.filter { place.addresses.isEmpty || place.addresses.contains($0.address) }
        let main = listeners.first(where: \.isTLS) ?? listeners.first
        for listener in listeners {
            let probes = Probe.all(place, forged: trial.setFields)
            probe(probes[..<(listener.address == main?.address ? probes.count : min(3, probes.count))], at: listener, isVerbose: isVerbose)
        }
    }

    private mutating func probe(_ probes: ArraySlice<Probe>, at listener: (address: String, isTLS: Bool), isVerbose: Bool) {
        for probe in probes {
            total += 1
            let comparison: ProbeComparison
            do {
                comparison = ProbeComparison(
                    probe, nginx: try send(probe, to: stage.ports.nginx, at: listener),
                    gateway: try send(probe, to: stage.ports.gateway, at: listener))
            } catch {
                differences.append("\(probe.description): \((error as? TrialError)?.reason ?? "\(error)")")
                continue
            }
            if comparison.differences.isEmpty { equal += 1 }
            for difference in comparison.differences {
                if let kind = difference.known {
                    known[kind, default: 0] += 1
                    if isVerbose { print("noted      \(probe.description): \(difference.text)") }
                } else {
                    differences.append("\(probe.description): \(difference.text)")
                }
            }
        }
    }

    private func send(
        _ probe: Probe, to ports: [String: UInt16], at chosen: (address: String, isTLS: Bool)? = nil
    ) throws -> ProbeOutcome {
        guard let listener = chosen ?? main, let port = ports[listener.address], let address = SocketAddress("127.0.0.1:\(port)") else {
            throw TrialError(reason: "there is no listener")
        }
        let client = HTTPSClient(context, bodyBytesMax: 1 << 20, within: .seconds(10))
        do throws(HTTPSClient.Failure) {
            let response = try client.exchange(probe.head, with: "localhost", at: address, isSecure: listener.isTLS)
            var fields: [(name: String, value: String)] = []
            for line in response.head.fields.lines {
                let (name, value) = (response.head.bytes.extracting(line.name.range), response.head.bytes.extracting(line.value.range))
                fields.append((name.text, value.text))
            }
            return ProbeOutcome(status: response.head.status, fields: fields, body: String(decoding: response.body, as: UTF8.self))
        } catch {
            // What is cut without a response, as nginx does with 444, is an outcome too.
            return ProbeOutcome(status: 0, fields: [], body: error.reason)
        }
    }

    private func waitUntilReady() throws {
        let deadline = Clock.now().adding(.seconds(30))
        let probe = Probe.ofReadiness
        for ports in [stage.ports.nginx, stage.ports.gateway] {
            while try send(probe, to: ports).status == 0 {
                try stage.throwIfInterrupted()
                guard Clock.now() < deadline else {
                    throw TrialError(reason: "a program of the trial did not become ready; its messages are above")
                }
                usleep(20_000)
            }
        }
    }

    private func report(without unknown: Set<String>) {
        if !unknown.isEmpty { print("this nginx does not know, and the trial leaves out: \(unknown.sorted().joined(separator: " "))") }
        for difference in differences { print("DIFFERENT  \(difference)") }
        print("\(total) requests to nginx and to the gateway: \(equal) came to the same.")
        if !known.isEmpty { print("Noted differences:") }
        for (kind, count) in known.sorted(by: { ($0.value, $0.key.explanation) > ($1.value, $1.key.explanation) }) {
            print("  \(String(repeating: " ", count: max(0, 5 - "\(count)".count)))\(count)  \(kind.explanation)")
        }
        print(
            differences.isEmpty ? "Nothing differs that is not noted." : "\(differences.count) differences are not noted: they stand above."
        )
    }
}
