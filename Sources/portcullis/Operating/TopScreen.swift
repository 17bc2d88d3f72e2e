import Authentication
import Time

/// What has gone through each route between two moments.
struct TopScreen {
    private struct Row {
        let route: String
        let requests: UInt64
        let rate: Double
        let clientErrors: Double
        let serverErrors: Double
        let median: String
        let slowest: String
        let inFlight: UInt64
        let refusals: String
    }

    private let rows: [Row]
    private let count: Int
    private let length: Nanoseconds

    init(from before: JSONValue, to after: JSONValue, over length: Nanoseconds, rows count: Int) {
        self.length = length
        self.count = count
        let earlier = Dictionary(before.list("routes").map { ($0.text("route"), $0) }, uniquingKeysWith: { first, _ in first })
        let seconds = max(0.001, Double(length.count) / 1e9)
        rows = after.list("routes").map { route in
            let old = earlier[route.text("route")] ?? .null
            func change(_ name: String) -> UInt64 { Self.change(old.count(name), route.count(name)) }
            let buckets = zip(route["duration"]?.list("buckets") ?? [], Self.counts(old["duration"])).map { new, old in
                Self.change(old, UInt64(new.number?.text ?? "") ?? 0)
            }
            let bounds = Self.numbers(route["duration"]?.list("bounds_ns"))
            return Row(
                route: route.text("route"), requests: change("requests"), rate: Double(change("requests")) / seconds,
                clientErrors: Double(change("responses_4xx")) / seconds, serverErrors: Double(change("responses_5xx")) / seconds,
                median: Self.quantile(0.5, buckets, bounds), slowest: Self.quantile(0.99, buckets, bounds),
                inFlight: route.count("in_flight"),
                refusals: Self.refusals(old["refusals"], route["refusals"]))
        }
        .sorted { ($1.requests, $0.route) < ($0.requests, $1.route) }
    }

    var text: String {
        let total = rows.reduce(0.0) { $0 + $1.rate }
        var text = "\(Self.rate(total)) requests a second, over \(length.milliseconds) ms\n"
        text +=
            pad("ROUTE", 30) + pad("RATE", 9, right: true) + pad("4XX", 8, right: true) + pad("5XX", 8, right: true)
            + pad("P50", 9, right: true) + pad("P99", 9, right: true) + pad("NOW", 6, right: true) + "  REFUSED FOR\n"
        for row in rows.filter({ $0.requests > 0 || $0.inFlight > 0 }).prefix(count) {
            text +=
                pad(row.route, 30) + pad(Self.rate(row.rate), 9, right: true) + pad(Self.rate(row.clientErrors), 8, right: true)
                + pad(Self.rate(row.serverErrors), 8, right: true) + pad(row.median, 9, right: true) + pad(row.slowest, 9, right: true)
                + pad("\(row.inFlight)", 6, right: true) + "  \(row.refusals)\n"
        }
        return text
    }

    private static func numbers(_ list: [JSONValue]?) -> [UInt64] { (list ?? []).map { UInt64($0.number?.text ?? "") ?? 0 } }

    /// Of a route that is new there is nothing earlier.
    private static func counts(_ histogram: JSONValue?) -> [UInt64] {
        let known = numbers(histogram?.list("buckets"))
        return known.isEmpty ? Array(repeating: 0, count: 64) : known
    }

    /// A gateway that was started again counts from the beginning.
    private static func change(_ before: UInt64, _ after: UInt64) -> UInt64 { after >= before ? after - before : after }

    /// Within the bucket that the quantile falls into, all lengths are taken to be equally frequent.
    private static func quantile(_ share: Double, _ buckets: [UInt64], _ bounds: [UInt64]) -> String {
        let total = buckets.reduce(0, &+)
        guard total > 0 else { return "-" }
        let wanted = Double(total) * share
        var before: Double = 0
        for (index, count) in buckets.enumerated() where count > 0 {
            if before + Double(count) >= wanted {
                guard index < bounds.count else { return "> \(bounds.last.map { $0 / 1_000_000_000 } ?? 0) s" }
                let low = index == 0 ? 0 : Double(bounds[index - 1])
                return length(low + (Double(bounds[index]) - low) * (wanted - before) / Double(count))
            }
            before += Double(count)
        }
        return "-"
    }

    private static func length(_ nanoseconds: Double) -> String {
        nanoseconds < 10e6
            ? "\(decimal(nanoseconds / 1e6)) ms" : nanoseconds < 10e9 ? "\(Int(nanoseconds / 1e6)) ms" : "\(Int(nanoseconds / 1e9)) s"
    }

    private static func rate(_ value: Double) -> String {
        value >= 10 || value == 0 ? "\(Int(exactly: min(value, 1e15).rounded()) ?? 0)" : decimal(value)
    }

    private static func decimal(_ value: Double) -> String {
        let tenths = Int((min(value, 1e12) * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }

    /// The reasons of the most refusals.
    private static func refusals(_ before: JSONValue?, _ after: JSONValue?) -> String {
        guard case .object(let members) = after ?? .null else { return "" }
        let changes = members.map { ($0.name, change((before ?? .null).count($0.name), UInt64($0.value.number?.text ?? "") ?? 0)) }
        return changes.filter { $0.1 > 0 }.sorted { ($1.1, $0.0) < ($0.1, $1.0) }.prefix(2).map { "\(printable($0.0)) \($0.1)" }.joined(
            separator: ", ")
    }
}
