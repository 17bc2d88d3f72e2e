import Authentication
import Observability

/// The state of a gateway as text for a terminal of 80 columns.
struct StatusScreen {
    private let state: JSONValue
    private let now: UInt64
    private let hashOnDisk: (String) -> String?

    /// - Parameters:
    ///   - now: in seconds since 1970.
    ///   - hashOnDisk: of a file as it is now; nil where it cannot be read.
    init(_ state: JSONValue, now: UInt64, hashOnDisk: @escaping (String) -> String?) {
        self.state = state
        self.now = now
        self.hashOnDisk = hashOnDisk
    }

    var needsAttention: Bool { !attention.isEmpty }

    var text: String {
        var lines = attention.map { "! \($0)" }
        if !lines.isEmpty { lines.append("") }
        lines.append(
            "portcullis \(state.text("version")), process \(state.count("process")), \(state.text("phase")) for \(age(state.count("started_at")))"
        )
        let config = state["config"] ?? .null
        let differs = hashOnDisk(config.text("path")).map { $0 != config.text("hash") } ?? false
        lines.append(
            "file       \(config.text("path"))  \(config.text("hash"))\(differs ? " (the file has changed since)" : ""), loaded \(age(config.count("loaded_at"))) ago"
        )
        let workers = state.list("workers")
        let counts = ["ready", "starting", "draining"].compactMap { kind -> String? in
            let count = workers.count { $0.text("state") == kind }
            return count > 0 ? "\(count) \(kind)" : nil
        }
        lines.append("workers    \(counts.isEmpty ? "none" : counts.joined(separator: ", "))")
        for upstream in state.list("upstreams") {
            let waiting = upstream.count("waiting")
            if let service = upstream["service"] {
                lines.append(
                    "service    \(pad(upstream.text("upstream"), 14)) \(pad(service.text("name"), 35)) \(numbers(service))"
                        + (waiting > 0 ? " waiting \(waiting)" : ""))
            }
            for (index, server) in upstream.list("servers").enumerated() {
                let name = index == 0 ? upstream.text("upstream") : ""
                lines.append(
                    "\(index == 0 ? "upstream   " : "           ")\(pad(name, 14)) \(pad(server.text("server"), 24)) \(pad(serverState(server), 10)) "
                        + (upstream["service"] == nil ? numbers(server) + (index == 0 && waiting > 0 ? " waiting \(waiting)" : "") : ""))
            }
        }
        for certificate in state.list("certificates") {
            lines.append("certificate \(certificate.text("name"))  valid for \(left(certificate.count("expires_at")))")
        }
        for issuer in state.list("issuers") {
            let good = issuer.count("last_success_at")
            lines.append(
                "issuer     \(pad(issuer.text("issuer"), 14)) \(issuer.count("keys")) key(s)\(good > 0 ? ", current \(age(good)) ago" : "")"
            )
        }
        for limit in state.list("limits") {
            let without = ["failed_open", "failed_closed", "local", "last"].reduce(UInt64(0)) { $0 &+ limit.count($1) }
            lines.append(
                "limit      \(pad(limit.text("limit"), 14)) allowed \(limit.count("allowed")) refused \(limit.count("refused"))"
                    + (without > 0 ? " without its store \(without)" : ""))
        }
        if case .object(let refusals) = state["refusals"] ?? .null, !refusals.isEmpty {
            let most = refusals.prefix(5).map { "\(printable($0.name)) \($0.value.number?.text ?? "")" }
            lines.append("refusals   \(most.joined(separator: ", "))")
        }
        for event in state.list("last_errors") {
            lines.append(
                "\(pad(event.text("level"), 10)) \(age(event.count("at"))) ago, \(event.text("source")): \(event.text("text").prefix(textMax))"
            )
        }
        return lines.map { String($0.reversed().drop { $0 == " " }.reversed()) }.joined(separator: "\n") + "\n"
    }

    private func numbers(_ server: JSONValue) -> String {
        "active \(server.count("active")) idle \(server.count("idle")) errors \(server.count("errors"))"
    }

    /// What an operator should see to, the worst first.
    private var attention: [String] {
        var found: [String] = []
        if state["ready"] != .bool(true) { found.append("the gateway is not ready: \(state.text("phase"))") }
        if state["maintenance"] == .bool(true) { found.append("the gateway is closed for maintenance: portcullis maintenance off") }
        for upstream in state.list("upstreams") {
            if upstream["circuit_open"] == .bool(true) {
                found.append("\(upstream.text("upstream")) is given no requests: its breaker is open")
            }
            for server in upstream.list("servers") where serverState(server) != "up" {
                let why = server.text("reason")
                found.append(
                    "\(upstream.text("upstream")) \(server.text("server")) is \(serverState(server))\(why.isEmpty ? "" : ": \(why)")")
            }
        }
        for certificate in state.list("certificates") where certificate.count("expires_at") < now &+ 30 * 86_400 {
            found.append("the certificate \(certificate.text("name")) is valid for \(left(certificate.count("expires_at")))")
        }
        let config = state["config"] ?? .null
        if config.text("last_reload") == "refused" {
            let reason = config.text("last_reload_error").split(separator: "\n").first.map(String.init) ?? ""
            found.append("the last reload was refused \(age(config.count("last_reload_at"))) ago: \(reason)")
        }
        for issuer in state.list("issuers") where issuer.count("keys") == 0 {
            found.append("issuer \(issuer.text("issuer")) has no keys: its tokens are refused")
        }
        return found
    }

    private func serverState(_ server: JSONValue) -> String { server["state"] == nil ? "up" : server.text("state") }

    private func age(_ moment: UInt64) -> String { Self.length(now > moment ? now - moment : 0) }
    private func left(_ moment: UInt64) -> String { moment > now ? Self.length(moment - now) : "no longer" }

    static func length(_ seconds: UInt64) -> String {
        switch seconds {
        case 0..<120: "\(seconds) s"
        case 120..<7_200: "\(seconds / 60) min"
        case 7_200..<172_800: "\(seconds / 3_600) h"
        default: "\(seconds / 86_400) d"
        }
    }
}

/// Of a message; the rest stands in the log, and in `portcullis events`.
private let textMax = 160

/// A text in a column of this width; one that is longer is cut.
func pad(_ text: String, _ width: Int, right: Bool = false) -> String {
    let text = printable(text)
    let count = text.count
    if count > width { return text.prefix(width - 1) + "…" }
    let space = String(repeating: " ", count: width - count)
    return right ? space + text : text + space
}

/// A text without what a terminal obeys.
func printable(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || 0x7F..<0xA0 ~= $0.value ? "?" : $0 }))
}

extension JSONValue {
    /// The text of a member; empty where there is none.
    func text(_ name: String) -> String { printable(self[name]?.string ?? "") }
    func count(_ name: String) -> UInt64 { self[name]?.number.flatMap { UInt64($0.text) } ?? 0 }
    func list(_ name: String) -> [JSONValue] { if case .array(let elements) = self[name] ?? .null { elements } else { [] } }
}
