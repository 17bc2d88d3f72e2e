import ConfigFile
import Time

/// What each host lets through of a limit that stands in a store: `cap host 500/s;` at any time, and `share 1/4;` or `share auto;` while the store is away. Both are
/// counted in the table of the host, beside what it knows of the key.
package struct LimitBounds: Sendable {
    /// Nil for none.
    package let cap: Quota?
    package let share: Share?
    /// As the file says it; empty without either.
    package let text: String

    package enum Share: Sendable {
        case part(UInt64, of: UInt64)
        /// One of as many as there are.
        case auto
    }

    /// What a host lets through of a limit while the store is away, of which so many hosts were there last; nil for all of it.
    func shared(_ quota: Quota, among hosts: UInt64) -> Quota? {
        switch share {
        case nil: return nil
        case .part(let parts, let whole): return Self.part(of: quota, parts, whole)
        case .auto: return hosts > 1 ? Self.part(of: quota, 1, min(hosts, hostsMax)) : nil
        }
    }

    /// The rate's time is that many times longer, and the burst that much smaller.
    static func part(of quota: Quota, _ parts: UInt64, _ whole: UInt64) -> Quota {
        let (window, overflow) = (quota.window.count / parts).multipliedReportingOverflow(by: whole)
        return Quota(
            count: max(1, quota.count), window: Nanoseconds(overflow ? .max / 4 : window), burst: max(1, quota.burst * parts / whole),
            delay: quota.delay)
    }

    static let none = LimitBounds(cap: nil, share: nil, text: "")

    private init(cap: Quota?, share: Share?, text: String) {
        self.cap = cap
        self.share = share
        self.text = text
    }

    /// Reads the directives of a limit.
    ///
    /// - Parameter quota: the limit's own; nil where it could not be read, or where plans or windows have none that could be shared.
    init(cap capDirective: Directive?, share shareDirective: Directive?, of quota: Quota?, _ diagnostics: Diagnostics) {
        var cap: Quota?
        var texts: [String] = []
        if let capDirective, capDirective.takes(2...2, "host COUNT/TIME", diagnostics) {
            if capDirective.arguments[0].text != "host" {
                diagnostics.error("a cap is the host's", at: capDirective.arguments[0], hint: "write cap host 500/second;")
            }
            if let rate = Rate(capDirective.arguments[1], diagnostics) {
                cap = Quota(count: rate.count, window: rate.window)
                texts.append("cap \(rate.count)/\(rate.window.count)")
            }
        }
        var share: Share?
        if let shareDirective, let word = shareDirective.word("auto or PART/HOSTS", diagnostics) {
            let parts = word.text.split(separator: "/").compactMap { UInt64($0) }
            if word.text == "auto" {
                share = .auto
                texts.append("share auto")
            } else if parts.count == 2, parts[0] > 0, parts[0] <= parts[1], parts[1] <= hostsMax, quota != nil {
                share = .part(parts[0], of: parts[1])
                texts.append("share \(parts[0])/\(parts[1])")
            } else if quota != nil {
                diagnostics.error(
                    "'\(word.text)' is no share", at: word, hint: "write share auto; or share 1/4; where four hosts have one each")
            }
        }
        self.init(cap: cap, share: share, text: texts.joined(separator: " "))
    }

    /// Where the counts stand: what else is counted under the key's own fingerprint stays by itself.
    static func fingerprint(ofCap key: UInt64) -> UInt64 { max(1, key ^ 0x9E37_79B9_7F4A_7C15) }
    static func fingerprint(ofPart key: UInt64, _ who: UInt64) -> UInt64 { max(1, key.byteSwapped ^ who) }
    static func fingerprint(ofShare key: UInt64) -> UInt64 { max(1, key ^ 0xC2B2_AE3D_27D4_EB4F) }
}

private let hostsMax: UInt64 = 10_000
