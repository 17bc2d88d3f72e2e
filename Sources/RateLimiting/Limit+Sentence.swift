import ConfigFile
import Time

extension Limit {
    /// What it does, in words: `100 requests a minute for each claim sub, 20 at once; all gateways count together in redis main; while that is away, each
    /// host goes on from what it knows`.
    package var sentence: String {
        var text: String
        if let lockout = quota.lockout {
            text =
                "\(lockout.failures) \(lockout.failures == 1 ? "response" : "responses") with \(lockout.statuses.map(String.init).joined(separator: " or ")) "
            text += "within \(Self.span(lockout.window)) lock each " + key.map(Self.words).joined(separator: " and ") + " out for "
            text += Self.span(lockout.first)
            if lockout.growth > 1 { text += ", \(lockout.growth) times as long each time, at most \(Self.span(lockout.most))" }
        } else if let plans = whole.plans {
            let parts = plans.all.map { plan in
                let isDefault = plan.quota.plan == whole.quota.plan
                return Self.rateText(plan.quota) + Self.burstText(plan.quota)
                    + (isDefault ? plan.name == "default" ? " for others" : " for \(plan.name) and others" : " for \(plan.name)")
            }
            text = "by claim \(plans.claim): \(parts.joined(separator: "; "))"
            if let source = plans.source { text += "; plans that stand in \(source.name) of redis \(source.store) go before these" }
            text += "; for each " + key.map(Self.words).joined(separator: " and ")
        } else {
            text = Self.rateText(whole.quota)
            text += " for each " + key.map(Self.words).joined(separator: " and ") + Self.burstText(whole.quota)
        }
        if delay > .zero { text += "; those beyond wait for their turn, up to \(Self.span(delay))" }
        if reserve > 0 { text += "; \(reserve) % of what may come at once are for critical routes" }
        if let cost { text += ", of which one \(cost.words)" }
        if !countedStatuses.isEmpty, quota.lockout == nil {
            text += ", of responses with " + countedStatuses.map(String.init).joined(separator: " ")
        }
        if let sharedBy { text += ", shared fairly by each " + Self.words(sharedBy) }
        if let allowance { text += ", but not \(allowance.text)" }
        if isShadow { text += "; refuses nobody, and tells what it would refuse" }
        guard case .redis(let name) = store else { return text + "; each host counts for itself" }
        text += "; all gateways count together in redis \(name)"
        if let cap = bounds.cap { text += ", of which each host lets \(Self.rateText(cap)) through" }
        if lease > 1 { text += ", up to \(lease) at a time" }
        let rest =
            switch whenStoreFails {
            case .open: "all pass"
            case .closed: "all are refused"
            case .local:
                switch bounds.share {
                case nil: "each host goes on from what it knows"
                case .auto: "each host goes on from what it knows, with its part of what as many hosts have as there were"
                case .part(let parts, let whole): "each host goes on from what it knows, with \(parts)/\(whole) of it"
                }
            case .last: "those pass that had something left"
            }
        return text + "; while that is away, " + rest
    }

    private static func rateText(_ quota: Quota) -> String {
        let text = "\(quota.count) \(quota.count == 1 ? "request" : "requests") "
        switch quota.windows?.kind {
        case nil: return text + per(quota.window)
        case .fixed: return text + "\(per(quota.window)) by the clock"
        case .sliding: return text + "in any \(period(quota.window)), about"
        case .concurrent: return text + "at once"
        case .calendar(let periods): return text + "a \(periods.title)"
        }
    }

    private static func burstText(_ quota: Quota) -> String {
        quota.windows == nil && quota.burst != quota.count ? ", \(quota.burst) at once" : ""
    }

    private static func words(_ template: Template) -> String {
        template.parts.map { part in
            switch part {
            case .text(let text): text
            case .variable(.claim(let name)): "claim \(name)"
            case .variable(.clientIP): "client address"
            case .variable(.header(let name)): "value of \(name)"
            case .variable(.cookie(let name)): "cookie \(name)"
            case .variable(.query(let name)): "query parameter \(name)"
            case .variable(.path(let name)): "{\(name)} of the path"
            case .variable(.requestHost): "host"
            case .variable(.requestPath): "path"
            case .variable(.requestMethod): "method"
            case .variable(.route): "route"
            case .variable(.requestID), .variable(.requestURI), .variable(.requestURL), .variable(.requestQuery), .variable(.requestScheme):
                "request's own words"
            case .variable(.tokenPayload): "token"
            // Not in a key.
            case .variable(.limitsExceeded): ""
            }
        }.joined()
    }

    /// `a minute`, `in 5 minutes`.
    private static func per(_ window: Nanoseconds) -> String {
        let text = period(window)
        return text.first?.isNumber == true ? "in \(text)" : "a \(text)".replacingHour
    }

    /// `a minute`, `5 minutes`.
    private static func span(_ seconds: UInt64) -> String { span(.seconds(seconds)) }

    private static func span(_ length: Nanoseconds) -> String {
        let text = period(length)
        return text.first?.isNumber == true ? text : "a \(text)".replacingHour
    }

    private static func period(_ window: Nanoseconds) -> String {
        for (seconds, name) in [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")] as [(UInt64, String)]
        where window.seconds >= seconds && window.count % Nanoseconds.seconds(seconds).count == 0 {
            let count = window.seconds / seconds
            return count == 1 ? name : "\(count) \(name)s"
        }
        return "\(window.milliseconds) ms"
    }
}

extension String {
    fileprivate var replacingHour: String { self == "a hour" ? "an hour" : self }
}
