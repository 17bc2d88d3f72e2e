/// What differs between nginx and the gateway in one request.
package struct ProbeComparison: Sendable {
    package struct Difference: Sendable {
        package let text: String
        /// The note that explains it; nil where there is none.
        package let known: KnownDifference?
    }

    package let differences: [Difference]

    package init(_ probe: Probe, nginx: ProbeOutcome, gateway: ProbeOutcome) {
        let known = probe.place.differences
        func noted(_ difference: KnownDifference, _ condition: Bool) -> KnownDifference? {
            condition && known.contains(difference) ? difference : nil
        }
        // That the service is asked here and not there is an opening, whatever else is noted: but for a name that goes on, or a slash.
        let opens = gateway.received != nil && nginx.received == nil && [401, 403, 404, 405].contains(nginx.status)
        if opens {
            let excuse =
                noted(.prefixWithinSegment, probe.isWithinSegment)
                ?? [.finalSlash, .slashRedirect].first { probe.isAtSlash && nginx.status != 403 && known.contains($0) }
            differences = [Difference(text: "nginx \(nginx.status), and the gateway asks the service", known: excuse)]
            return
        }
        if nginx.status != gateway.status {
            differences = [
                Difference(text: "nginx \(nginx.status), gateway \(gateway.status)", known: Self.explanation(probe, nginx, gateway))
            ]
            return
        }
        var found: [Difference] = []
        let (there, here) = (Self.place(nginx.field("location"), of: probe.host), Self.place(gateway.field("location"), of: probe.host))
        if there != here {
            found.append(
                Difference(
                    text: "nginx sends to \(there), the gateway to \(here)",
                    known: Self.isSameURL(there, here) ? .urlEncoding : probe.isOdd ? .oddPath : noted(.signInByRedirect, probe.isBrowser)))
        }
        switch (nginx.received, gateway.received) {
        case (let left?, let right?): found += Self.compare(left, right, probe)
        case (nil, nil): break
        default:
            if probe.method != "HEAD" {
                let known: KnownDifference? =
                    probe.isOdd
                    ? .oddPath
                    : probe.isWithinSegment
                        ? noted(.prefixWithinSegment, true)
                        : noted(.finalSlash, probe.isAtSlash) ?? noted(.signInByRedirect, probe.isBrowser && gateway.status == 302)
                            ?? noted(.cors, probe.method == "OPTIONS")
                found.append(Difference(text: "only \(nginx.received == nil ? "the gateway" : "nginx") asked the service", known: known))
            }
        }
        if 200..<400 ~= nginx.status { found += Self.compareFields(nginx, gateway, known, Self.elsewhere(probe)) }
        differences = found
    }

    /// Why the statuses differ, where the import has said it.
    private static func explanation(_ probe: Probe, _ nginx: ProbeOutcome, _ gateway: ProbeOutcome) -> KnownDifference? {
        // A path that is read in several ways may be another location's in nginx.
        // That it is let in here and not there is never a matter of spelling.
        let isSamePlace = Self.place(nginx.field("location"), of: probe.host) == Self.place(gateway.field("location"), of: probe.host)
        if gateway.status == 308, 300..<400 ~= nginx.status, isSamePlace { return .redirectStatus }
        if probe.isOdd { return gateway.received != nil && nginx.received == nil && nginx.status != 400 ? nil : .oddPath }
        let isSentAway = 300..<400 ~= nginx.status || [401, 403, 200].contains(nginx.status)
        // Nothing else in a trial says 501.
        if gateway.status == 501 { return .closed }
        let candidates: [(KnownDifference, Bool)] = [
            (.signInForBrowsersAlone, isSentAway && gateway.status == 401),
            (.signInForBrowsersAlone, nginx.status == 401 && gateway.status == 302 && probe.isBrowser),
            (.signInByRedirect, gateway.status == 302 || gateway.status == 401),
            (.authorizerStatus, nginx.status >= 500 && gateway.status == 503),
            (.prefixWithinSegment, probe.isWithinSegment),
            (.slashRedirect, probe.isAtSlash && (nginx.status == 301 || gateway.received != nil || !probe.target.hasSuffix("/"))),
            (.finalSlash, probe.isAtSlash),
            (.cors, probe.method == "OPTIONS"),
            (.methodStatus, gateway.status == 405),
            (.crossSite, gateway.status == 403),
            (.ownStatus, gateway.received == nil),
        ]
        return candidates.first { $0.1 && probe.place.differences.contains($0.0) }?.0
    }

    private static func compare(_ left: ProbeOutcome.Received, _ right: ProbeOutcome.Received, _ probe: Probe) -> [Difference] {
        var found: [Difference] = []
        let known = probe.place.differences
        let odd = elsewhere(probe)
        if left.service != right.service {
            found.append(Difference(text: "nginx asks \(left.service), the gateway \(right.service)", known: odd))
        }
        if left.method != right.method {
            found.append(Difference(text: "nginx asks by \(left.method), the gateway by \(right.method)", known: nil))
        }
        if left.target != right.target {
            let slashes = known.contains(.upstreamSlashes) ? KnownDifference.upstreamSlashes : nil
            let spelling = left.target.lowercased() == right.target.lowercased() ? KnownDifference.urlEncoding : nil
            found.append(
                Difference(text: "nginx asks for \(left.target), the gateway for \(right.target)", known: odd ?? spelling ?? slashes))
        }
        for name in Set(left.fields.map(\.name) + right.fields.map(\.name)).sorted() where !isOwn(name) {
            let (there, here) = (value(left, name), value(right, name))
            if there == here { continue }
            var known: KnownDifference?
            if name == "authorization", here == nil, probe.place.differences.contains(.passwordKept) { known = .passwordKept }
            if there == "forged", here == nil { known = .setFieldsTaken }
            // nginx asks for /a/ itself where the gateway asks for /a, and then tells another path.
            if odd != nil { known = odd }
            if there == nil, name == "x-real-ip" { continue }
            found.append(
                Difference(
                    text: "the service gets \(name): \(there ?? "(none)") from nginx, \(here ?? "(none)") from the gateway", known: known))
        }
        return found
    }

    /// Why the path may be another location's in nginx.
    private static func elsewhere(_ probe: Probe) -> KnownDifference? {
        if probe.isOdd { return .oddPath }
        if probe.isWithinSegment { return .prefixWithinSegment }
        return probe.isAtSlash ? [.finalSlash, .slashRedirect].first { probe.place.differences.contains($0) } : nil
    }

    private static func value(_ request: ProbeOutcome.Received, _ name: String) -> String? {
        let values = request.fields.filter { $0.name == name }.map(\.value)
        return values.isEmpty ? nil : values.joined(separator: ", ")
    }

    /// Fields that each program has its own of, by its own rules.
    private static func isOwn(_ name: String) -> Bool {
        ["x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-forwarded-prefix"].contains(name)
            || ["connection", "forwarded", "x-request-id", "content-length", "te", "via", "transfer-encoding"].contains(name)
    }

    private static func compareFields(
        _ nginx: ProbeOutcome, _ gateway: ProbeOutcome, _ known: Set<KnownDifference>, _ elsewhere: KnownDifference?
    ) -> [Difference] {
        let own: Set<String> = [
            "server", "date", "connection", "keep-alive", "content-length", "content-type", "location", "x-request-id", "etag",
            "last-modified", "accept-ranges", "expires", "transfer-encoding", "alt-svc", "cache-control",
        ]
        return Set(nginx.fields.map(\.name) + gateway.fields.map(\.name)).subtracting(own).sorted().compactMap { name in
            let (there, here) = (nginx.field(name), gateway.field(name))
            if there.split(separator: ",").sorted() == here.split(separator: ",").sorted() { return nil }
            // A text of the gateway's own is taken for nothing but its type.
            if name == "x-content-type-options", there.isEmpty, gateway.received == nil { return nil }
            let isCORS = name.hasPrefix("access-control-") || name == "vary"
            return Difference(
                text:
                    "the client gets \(name): \(there.isEmpty ? "(none)" : there) from nginx, \(here.isEmpty ? "(none)" : here) from the gateway",
                known: elsewhere ?? (isCORS && known.contains(.cors) ? .cors : nil))
        }
    }

    /// A location without the ports of the trial, and without the host that the request was for.
    private static func place(_ location: String, of own: String) -> String {
        guard location.hasPrefix("http://") || location.hasPrefix("https://") else { return location }
        let parts = location.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
        guard parts.count >= 3 else { return location }
        let host = parts[2].split(separator: ":").first.map(String.init) ?? ""
        if host == own { return "/" + parts.dropFirst(3).joined(separator: "/") }
        return ([parts[0], parts[1], host] + parts.dropFirst(3)).joined(separator: "/")
    }

    /// Whether two URLs are one, but for how a value in it is spelled.
    private static func isSameURL(_ left: String, _ right: String) -> Bool {
        func plain(_ text: String) -> String {
            var bytes: [UInt8] = []
            var rest = Array(text.utf8)[...]
            while let first = rest.popFirst() {
                if first == UInt8(ascii: "%"), rest.count >= 2, let byte = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
                {
                    bytes.append(byte)
                    rest = rest.dropFirst(2)
                } else {
                    bytes.append(first)
                }
            }
            return String(decoding: bytes, as: UTF8.self)
        }
        return plain(plain(left)) == plain(plain(right))
    }
}
