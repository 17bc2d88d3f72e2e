package import Time
package import ConfigFile
import Authentication

/// A limit, as the file describes it.
package final class Limit: Sendable {
    package enum Store: Equatable, Sendable {
        /// The table that all workers of the host share.
        case memory
        /// The Redis of this name.
        case redis(String)
    }

    package enum WhenStoreFails: Sendable {
        case open, closed
        /// The table of this host, which goes on from what the store has said last.
        case local
        /// Refuses who had nothing left when the store was asked last, for as long as that holds; lets others through.
        case last
    }

    package let name: String
    /// Where it stands in the file; nil for one that stands in none.
    package let line: SourceLine?
    /// Of who has no plan.
    package let quota: Quota
    /// Who has which quota, where that is not one for all.
    package let plans: Plans?
    /// For how many requests one counts; nil for one.
    package let cost: LimitCost?
    /// How responses tell it.
    package let headers: LimitHeaders
    /// Hundredths of the wait that 429 tells that are added at most, by chance, so that not all come again at one moment.
    package let jitter: UInt64
    /// What each host lets through.
    package let bounds: LimitBounds
    /// Hundredths of what may come at once that critical routes alone have.
    package let reserve: UInt64
    /// All that there is, also for critical routes.
    package let whole: (quota: Quota, plans: Plans?)
    /// How long a request beyond the burst waits at most, in place of being refused; zero for not at all.
    package let delay: Nanoseconds
    /// Whether it is a limit of the file as a route has it: with another cost, or with all that there is.
    package let isOfRoute: Bool
    /// Whether it has what is reserved for critical routes.
    package var isCritical: Bool { reserve > 0 && quota == whole.quota }
    /// Whether a token's claims take part in the key, or in who is not counted.
    package var dependsOnClaims: Bool { countsByClaims || sharedBy?.variables.contains(where: \.isClaim) == true }
    /// Whether without a claim there is nothing to count.
    package var countsByClaims: Bool {
        key.flatMap(\.variables).contains(where: \.isClaim) || allowance?.dependsOnClaims == true || plans != nil
    }
    /// Whether a field or a cookie takes part in the key, in which a secret may stand.
    package var hasSecretKey: Bool {
        key.flatMap(\.variables).contains { variable in
            switch variable {
            case .header, .cookie, .query, .requestQuery, .requestURI, .requestURL, .tokenPayload: true
            default: false
            }
        }
    }
    /// Whether a token's claims are all that decides the key.
    let dependsOnClaimsAlone: Bool

    /// What is counted together; the parts stand one after the other.
    package let key: [Template]
    /// What decides which server of several has the key, where that is not the key itself.
    package let together: Template?
    /// Each that differs in it has a part of the quota while little of it is left; nil where who comes first has all.
    package let sharedBy: Template?
    package let store: Store
    package let whenStoreFails: WhenStoreFails
    /// How many requests a host takes from the store at once, to spend them by itself; 1 without `lease`.
    package let lease: UInt64
    /// Responses of these statuses alone are counted; empty for all requests.
    package let countedStatuses: [Int]
    /// Whether it only counts, and tells what it would refuse.
    package let isShadow: Bool
    /// Who is not counted.
    package let allowance: LimitAllowance?

    package init(
        name: String, quota: Quota, key: [Template], store: Store = .memory, whenStoreFails: WhenStoreFails = .local,
        lease: UInt64 = 1, countedStatuses: [Int] = [], isShadow: Bool = false, cost: LimitCost? = nil
    ) {
        plans = nil
        headers = .draft
        jitter = 0
        bounds = .none
        reserve = 0
        delay = .zero
        whole = (quota, nil)
        self.cost = cost
        isOfRoute = false
        self.isShadow = isShadow
        allowance = nil
        self.name = name
        line = nil
        self.quota = quota
        self.key = key
        (together, sharedBy) = (nil, nil)
        dependsOnClaimsAlone = Self.isOfClaimsAlone(key)
        self.store = store
        self.whenStoreFails = whenStoreFails
        self.lease = lease
        self.countedStatuses = countedStatuses
    }

    /// What it counts in, where that is windows; empty for GCRA.
    package var windowText: String {
        switch quota.windows?.kind {
        case nil: ""
        case .fixed: " fixed"
        case .sliding: " sliding"
        case .concurrent: " concurrent"
        case .calendar(let periods): " calendar \(periods.title)"
        }
    }

    private static func isOfClaimsAlone(_ key: [Template]) -> Bool { key.flatMap(\.variables).allSatisfy(\.isClaim) }

    /// The same limit as a route has it: what all use up is one quota.
    ///
    /// - Parameters:
    ///   - cost: for how many requests one counts; nil for what the limit says.
    ///   - isCritical: whether it has what is reserved, too.
    package init(_ limit: Limit, costs cost: LimitCost?, isCritical: Bool) {
        name = limit.name
        line = limit.line
        quota = isCritical ? limit.whole.quota : limit.quota
        plans = isCritical ? limit.whole.plans : limit.plans
        reserve = limit.reserve
        delay = limit.delay
        whole = limit.whole
        key = limit.key
        (together, sharedBy) = (limit.together, limit.sharedBy)
        dependsOnClaimsAlone = limit.dependsOnClaimsAlone
        store = limit.store
        whenStoreFails = limit.whenStoreFails
        lease = limit.lease
        countedStatuses = limit.countedStatuses
        isShadow = limit.isShadow
        allowance = limit.allowance
        headers = limit.headers
        jitter = limit.jitter
        bounds = limit.bounds
        self.cost = cost ?? limit.cost
        isOfRoute = true
    }

    /// What holds for a request, and whether that is because the claim names a plan; always true without plans.
    func quota(for identity: Identity?) -> (quota: Quota, isNamed: Bool) {
        guard let plans else { return (quota, true) }
        guard let quota = plans.quota(for: identity) else { return (self.quota, false) }
        return (quota, true)
    }

    func units(told: UInt64?, _ bodyBytes: UInt64) -> UInt64 { cost?.units(told: told, bodyBytes: bodyBytes) ?? 1 }

    /// Redises that it needs.
    package var storesUsed: [String] {
        let own = if case .redis(let name) = store { [name] } else { [String]() }
        return own + (plans?.source.map { [$0.store] } ?? [])
    }

    /// The store in which hosts are counted, for the share that each has while it is away; nil where they are not.
    package var countedStore: String? { if case (.redis(let name), .auto?) = (store, bounds.share) { name } else { nil } }

    /// Whether it counts requests that are under way.
    var isConcurrent: Bool { quota.windows?.isOfRequestsUnderWay ?? false }

    /// Whether who is refused is refused for as long as is said, as far as this host can know.
    var refusalsHold: Bool { quota.lockout != nil || countedStatuses.isEmpty && !isConcurrent }

    func counts(_ status: Int) -> Bool { countedStatuses.isEmpty || countedStatuses.contains(status) }

    /// Whether a plan that was read from elsewhere is one that the file could have: any request can pay, a lease is a part of it, and what is reserved is something.
    func canHave(_ quota: Quota) -> Bool {
        let most = adjusted(quota)
        let burst = most.windows?.count ?? most.burst
        return (cost?.reserved ?? 1) <= burst && lease <= burst && (reserve == 0 || Self.adjusted(quota, reserve: reserve, .zero) != quota)
    }

    /// What a quota is for a request of this limit: that of a plan that was read from elsewhere.
    func adjusted(_ quota: Quota) -> Quota { Self.adjusted(quota, reserve: isCritical ? 0 : reserve, delay) }

    /// What is reserved is a part of what may come at once, of which none waits.
    private static func adjusted(_ quota: Quota, reserve: UInt64, _ delay: Nanoseconds) -> Quota {
        let part = reserve == 0 ? quota : quota.leaving(reserve)
        return delay > .zero ? part.delaying(delay) : part
    }

    /// Reads `NAME PERCENT%;`.
    private static func percent(_ directive: Directive, _ diagnostics: Diagnostics) -> UInt64? {
        guard let word = directive.word("PERCENT%", diagnostics) else { return nil }
        guard word.text.hasSuffix("%"), let percent = UInt64(word.text.dropLast()), 1...99 ~= percent else {
            diagnostics.error("'\(word.text)' is no part", at: word, hint: "write reserve 20%;")
            return nil
        }
        return percent
    }

    /// Reads `limit NAME { … }`; nil when a part of it is wrong.
    package init?(_ directive: Directive, stores: Set<String>, _ diagnostics: Diagnostics) {
        guard directive.hasArguments(1...1, "NAME { … }", diagnostics) else { return nil }
        let errors = diagnostics.count
        let block = Block(of: directive, title: "a limit", diagnostics)
        name = directive.arguments[0].text
        line = diagnostics.line(of: directive.position)
        if !name.utf8.allSatisfy({ $0 < 0x7F && $0 > 0x20 && $0 != 0x22 && $0 != 0x5C }) {
            diagnostics.error("a limit's name is printable ASCII without quotes", at: directive.arguments[0])
        }
        let rateDirective = block.one("rate")
        let isPlanned = rateDirective?.block != nil
        let rate = rateDirective.flatMap { isPlanned ? nil : Rate($0, diagnostics) }
        let burstDirective = block.one("burst")
        let burst = burstDirective?.integer(1...1_000_000_000, diagnostics)
        let windows = Windows.read(block, rate.map { ($0.count, $0.window) }, rateDirective, diagnostics)
        let window =
            isPlanned
            ? block.one("window").flatMap { ["fixed": Windows.Kind.fixed, "sliding": .sliding][$0.arguments.first?.text ?? ""] } : nil
        let allPlans = rateDirective.flatMap { isPlanned ? Plans($0, window, stores: stores, diagnostics) : nil }
        let reserveDirective = block.one("reserve")
        reserve = reserveDirective.flatMap { Self.percent($0, diagnostics) } ?? 0
        let delayDirective = block.one("delay")
        delay = delayDirective?.duration(diagnostics, in: .milliseconds(1)...(.seconds(60))).map { Nanoseconds($0) } ?? .zero
        let (reserved, delay) = (reserve, delay)
        let change = { Self.adjusted($0, reserve: $1 ? 0 : reserved, delay) }
        plans = allPlans?.changing { change($0, false) }
        if let burstDirective, isPlanned {
            diagnostics.error(
                "each plan has its own burst", at: burstDirective.name, hint: "write it behind the plan's rate: pro 6000/minute burst 500;")
        }
        if let burstDirective, let windows, windows.kind != .concurrent {
            diagnostics.error(
                "a window has no burst: all of its count may come at once", at: burstDirective.name, hint: "remove it, or window and quota")
        }
        key = block.one("key")?.words("$VARIABLE …", diagnostics).compactMap { Template($0, diagnostics) } ?? []
        dependsOnClaimsAlone = Self.isOfClaimsAlone(key)
        let togetherDirective = block.one("together")
        together = togetherDirective.flatMap { $0.word("$VARIABLE", diagnostics) }.flatMap { Template($0, diagnostics) }
        if let together, let togetherDirective {
            let variables = key.flatMap(\.variables)
            if together.variables.isEmpty || together.variables.contains(where: { !variables.contains($0) }) {
                diagnostics.error(
                    "what limits stand together by is a part of their keys", at: togetherDirective.name,
                    hint: "name a variable that stands in key: together $claim.org;")
            }
        }
        let fairDirective = block.one("fair")
        sharedBy = fairDirective.flatMap { $0.word("$VARIABLE", diagnostics) }.flatMap { Template($0, diagnostics) }
        var store = Store.memory
        if let word = block.one("store").flatMap({ $0.word("memory or the name of a redis", diagnostics) }), word.text != "memory" {
            store = .redis(word.text)
            if !stores.contains(word.text) {
                let meant = nearest(to: word.text, among: stores)
                diagnostics.error(
                    "there is no redis '\(word.text)'", at: word,
                    hint: meant.map { "did you mean '\($0)'?" } ?? "define it with: redis \(word.text) { … }")
            }
        }
        self.store = store
        let whenFails = block.one("when_store_fails")
        whenStoreFails =
            whenFails?.choice(["open": WhenStoreFails.open, "closed": .closed, "local": .local, "last": .last], diagnostics) ?? .local
        if let whenFails, store == .memory {
            diagnostics.error("when_store_fails is for limits kept in Redis", at: whenFails.name, hint: "add: store NAME; or remove it")
        }
        let leaseDirective = block.one("lease")
        lease = leaseDirective?.integer(2...1_000_000, diagnostics).map { UInt64($0) } ?? 1
        if let leaseDirective, store == .memory {
            diagnostics.error("lease is for limits kept in Redis", at: leaseDirective.name, hint: "add: store NAME; or remove it")
        }
        if let leaseDirective, windows.map({ $0.kind != .concurrent }) ?? (plans?.defaultQuota.windows != nil) {
            diagnostics.error(
                "a lease would outlive its window", at: leaseDirective.name, hint: "remove it, or count by rate and burst alone")
        }
        let most = plans?.all.map(\.quota.burst).min() ?? burst.map { UInt64($0) } ?? rate?.count
        if let leaseDirective, reserveDirective != nil {
            diagnostics.error("a lease is spent by all routes", at: leaseDirective.name, hint: "remove it, or reserve")
        }
        if let leaseDirective, let most, lease > most {
            diagnostics.error(
                "a lease of \(lease) is more than the \(most) that the limit lets through at once", at: leaseDirective.name,
                hint: "take a tenth of it or less: all workers share it")
        }
        let lockoutDirective = block.one("lockout")
        let lockout = lockoutDirective.flatMap { Lockout($0, diagnostics) }
        if lockoutDirective != nil, let extra = rateDirective ?? block.one("quota") ?? block.one("concurrent") {
            diagnostics.error("a limit has a \(extra.name.text) or a lockout, not both", at: extra.name, hint: "use two limits")
        }
        let countStatus = block.one("count_status")
        countedStatuses =
            lockout?.statuses
            ?? (countStatus?.words("STATUS …", diagnostics) ?? []).compactMap { word in
                guard let status = Int(word.text), 200...599 ~= status else {
                    diagnostics.error("'\(word.text)' is not a status", at: word)
                    return nil
                }
                return status
            }
        let costDirective = block.one("cost")
        if lockoutDirective != nil, let extra = leaseDirective ?? countStatus ?? costDirective ?? burstDirective ?? reserveDirective {
            diagnostics.error("a lockout has no \(extra.name.text)", at: extra.name, hint: "remove it, or use two limits")
        } else if let lockoutDirective, !key.isEmpty, !key.flatMap(\.variables).contains(.clientIP) {
            diagnostics.warning(
                "who can name another one's key locks that one out", at: lockoutDirective.name,
                hint:
                    "count by the address as well: key $client.ip \(key.flatMap(\.variables).map { $0.name }.joined(separator: " "));"
            )
        }
        if windows?.kind == .concurrent, let extra = leaseDirective ?? countStatus ?? costDirective ?? burstDirective {
            diagnostics.error(
                "a limit of requests that are under way has no \(extra.name.text)", at: extra.name, hint: "remove it, or use two limits")
        }
        cost = costDirective.flatMap { LimitCost($0, diagnostics) }
        isOfRoute = false
        headers = block.one("headers")?.choice(["draft": LimitHeaders.draft, "legacy": .legacy, "off": .off], diagnostics) ?? .draft
        jitter = UInt64(block.one("retry_jitter")?.integer(0...100, diagnostics) ?? 0)
        let (capDirective, shareDirective) = (block.one("cap"), block.one("share"))
        let shadow = block.one("shadow")
        isShadow = shadow?.takes(0...0, "", diagnostics) ?? false
        allowance = LimitAllowance(block.all("allow"), diagnostics)
        block.finish()
        if rateDirective == nil, block.one("quota") == nil, block.one("concurrent") == nil, lockoutDirective == nil {
            diagnostics.error(
                "a limit has no rate", at: directive.name,
                hint: "add: rate 100/minute; or quota 100000/month; or concurrent 20; or lockout 5/5m { … }")
        }
        if key.isEmpty { diagnostics.error("a limit has no key", at: directive.name, hint: "add: key $client.ip; or key $claim.sub;") }
        if let rate, let burst, windows == nil, !rate.canHave(burst: burst) {
            diagnostics.error(
                "a burst of \(burst) at this rate is not whole again for years", at: burstDirective?.name ?? directive.name,
                hint: "take a burst that grows back within 1000 days, or use quota")
        }
        if diagnostics.count > errors { return nil }
        let all: Quota
        if let lockout {
            all = Quota(count: lockout.failures, window: .seconds(lockout.window), lockout: lockout)
        } else if let allPlans {
            all = allPlans.defaultQuota
        } else if let windows, rate == nil {
            all = Quota(count: windows.count, window: .milliseconds(windows.length), windows: windows)
        } else {
            all = Quota(
                count: rate?.count ?? 1, window: rate?.window ?? Nanoseconds(1), burst: burst.map { UInt64($0) }, windows: windows)
        }
        if let delayDirective, leaseDirective != nil || all.windows != nil || all.lockout != nil {
            diagnostics.error(
                "a delay is of a rate, whose requests have a turn each", at: delayDirective.name,
                hint: leaseDirective != nil ? "remove it, or lease" : "remove it, or count by rate and burst")
        }
        whole = (change(all, true), allPlans?.changing { change($0, true) })
        quota = change(all, false)
        let reservesNothing = zip(plans?.all ?? [], whole.plans?.all ?? []).contains { $0.quota == $1.quota } || quota == whole.quota
        if let reserveDirective, reservesNothing {
            diagnostics.error("of so few nothing can be reserved", at: reserveDirective.name, hint: "take a larger burst, or remove it")
        }
        if let extra = capDirective ?? shareDirective ?? togetherDirective, store == .memory {
            diagnostics.error("\(extra.name.text) is for limits kept in Redis", at: extra.name, hint: "add: store NAME; or remove it")
        }
        let isShared = quota.windows == nil && quota.lockout == nil && plans == nil
        if let shareDirective, !isShared || whenStoreFails != .local {
            diagnostics.error(
                "a share is of a rate and burst, while each host goes on by itself", at: shareDirective.name,
                hint: "use it with rate and when_store_fails local")
        }
        bounds = LimitBounds(cap: capDirective, share: shareDirective, of: isShared ? quota : nil, diagnostics)
        if let costDirective, let cost { check(cost, at: costDirective, diagnostics) }
        if let fairDirective {
            let others = [costDirective, countStatus, leaseDirective, reserveDirective, shadow]
            checkShares(at: fairDirective, isRate: isShared && delay == .zero, others: others, diagnostics)
        }
        if diagnostics.count > errors { return nil }
    }
}
