/// Times and sizes of nginx in the gateway's words.
enum NginxUnits {
    /// A time in whole seconds; nil for what is none.
    static func seconds(_ text: String) -> Int? { total(text).map { $0 / 1_000 } }

    /// `90`, `1m30s` or `500ms` as one number with its unit; nil for what is none, or is longer than a year.
    static func time(_ text: String) -> String? {
        guard let total = total(text), total > 0, total <= 365 * 86_400_000 else { return nil }
        for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] where total % factor == 0 {
            return "\(total / factor)\(unit)"
        }
        return "\(total)ms"
    }

    private static func total(_ text: String) -> Int? {
        var total = 0
        var digits = ""
        var rest = Substring(text.filter { $0 != " " })
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let number = rest.prefix { $0.isASCII && $0.isNumber }
            digits = String(number)
            rest = rest.dropFirst(number.count)
            let unit = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(unit.count)
            guard let count = Int(digits), count < 1 << 28, total < 1 << 50, let factor = milliseconds[String(unit)] else { return nil }
            total += count * factor
        }
        return total
    }

    private static let milliseconds = [
        "": 1_000, "ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000, "M": 30 * 86_400_000,
        "y": 365 * 86_400_000,
    ]

    /// `10m` or `512`; `unlimited` for 0; nil for what is none.
    static func size(_ text: String) -> String? {
        let number = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(number.count).lowercased()
        guard let count = Int(number), count < 1 << 40, ["", "k", "m", "g"].contains(unit) else { return nil }
        return count == 0 ? "unlimited" : "\(count)\(unit)"
    }

    /// `10r/s` as `10/second`.
    static func rate(_ text: String) -> String? {
        let parts = text.split(separator: "/")
        guard parts.count == 2, parts[0].hasSuffix("r"), let count = Int(parts[0].dropLast()), count > 0 else { return nil }
        return parts[1] == "s" ? "\(count)/second" : parts[1] == "m" ? "\(count)/minute" : nil
    }

    /// How long so many requests take at a rate of ``rate(_:)``.
    static func milliseconds(of count: Int, at rate: String) -> Int {
        let parts = rate.split(separator: "/")
        guard let each = parts.first.flatMap({ Int($0) }), each > 0 else { return 0 }
        return (count * (parts[1] == "minute" ? 60_000 : 1_000) + each - 1) / each
    }
}
