import RateLimiting
import System
import Time

/// What goes out as calls of the script, and what their replies mean.
extension RedisLink {
    /// What the turn has brought together goes out in as few calls as may be.
    func sendGathered() {
        guard !gathered.isEmpty else { return }
        let works = gathered
        gathered.removeAll(keepingCapacity: true)
        // The connection may have ended in the turn, with all that was gathered.
        guard isReady else { return }
        for call in LimitWork.calls(of: works, isOneServer: isOneServer) { send(call) }
    }

    /// The time of a call is over; its reply may still come.
    func ended(_ works: [LimitWork], lateAt now: Instant) {
        if works.contains(where: \.isQuestion) {
            if breaker.timedOut(at: now) { report(false, "its replies take longer than \(settings.timeout.milliseconds) ms") }
        } else if case .probe? = works.first {
            _ = breaker.timedOut(at: now, isProbe: true)
        }
        for work in works { endWithoutReply(work) }
    }

    /// - Parameters:
    ///   - isLate: whether nobody waits for it any more.
    ///   - length: how long it took.
    func take(_ reply: RedisReply, to works: [LimitWork], isRepeated: Bool, _ isLate: Bool, _ sentAt: Instant, _ length: Nanoseconds) {
        if case .error(let text) = reply {
            return take(error: text, to: works, isRepeated: isRepeated, isLate, sentAt)
        }
        var replies = [reply]
        if works.count > 1 {
            guard case .array(let all) = reply, all.count == works.count else {
                if !isLate { for work in works { endWithoutReply(work) } }
                return fail("a reply of another shape")
            }
            replies = all
        }
        let decisions = zip(works, replies).map { $0.decisions($1) }
        let isWrong = decisions.contains { $0 == nil }
        if !isLate, !isWrong { answered(length, works) }
        for (work, decisions) in zip(works, decisions) {
            for (index, receiver) in work.receivers.enumerated() {
                if isLate {
                    if let decisions { receiver.decidedLate(decisions[index], at: loop.now) }
                } else {
                    metrics?.decided(decisions != nil)
                    receiver.decided(decisions?[index], at: loop.now)
                }
            }
        }
        if isWrong { fail("a reply of another shape") }
    }

    private func answered(_ length: Nanoseconds, _ works: [LimitWork]) {
        guard works.contains(where: \.isQuestion) else {
            if case .probe? = works.first { probed(length) }
            return
        }
        metrics?.batchAnswered(after: length)
        serverMetrics?.answered(after: length)
        pause = retryPauseFirst
        isDoubtful = false
        _ = breaker.answered(after: length, at: loop.now)
        if breaker.isClosed { report(true, "it replies") }
    }

    private func probed(_ length: Nanoseconds) {
        serverMetrics?.answered(after: length)
        isDoubtful = false
        if breaker.answered(after: length, at: loop.now, isProbe: true) {
            // Meanwhile hosts have counted by themselves.
            asked.removeAll(keepingCapacity: true)
            report(true, "it replies in time")
        }
        armTimer()
    }

    private func take(error text: String, to works: [LimitWork], isRepeated: Bool, _ isLate: Bool, _ sentAt: Instant) {
        if text.hasPrefix("NOSCRIPT"), isLate || !isRepeated {
            loadAgain()
            // Who has asked and waits no longer has been decided on by somebody else.
            let again = isLate ? works.filter(\.isRefund) : works
            if !isRepeated, !again.isEmpty { send(again.map { repeated($0, sentAt) }, isRepeated: true) }
            return
        }
        if let redirection = Redirection(text), let owner {
            var isFollowed = true
            for work in works where !redirect(work, redirection, isLate, sentAt, owner) { isFollowed = false }
            if isFollowed { return }
        } else if !isLate {
            for work in works { endWithoutReply(work) }
        }
        // A late probe counted as late.
        if isLate, case .probe? = works.first { return }
        if case .probe? = works.first { refused(text, isProbe: true) } else { refused(text) }
    }

    /// The same once more, for those who wait no longer for it than for the first time.
    private func repeated(_ work: LimitWork, _ sentAt: Instant) -> LimitWork {
        func timed(_ receiver: any RemoteDecisionReceiver) -> any RemoteDecisionReceiver {
            receiver as? RedirectedCall ?? RedirectedCall(receiver, until: sentAt.adding(settings.timeout), on: loop, metrics)
        }
        return switch work {
        case .decision(let receiver, let calls): .decision(timed(receiver), calls: calls)
        case .shared(let receivers, let call): .shared(receivers.map(timed), call)
        case .refund, .probe: work
        }
    }

    /// - Returns: false where it means nothing to who has the links.
    private func redirect(_ work: LimitWork, _ redirection: Redirection, _ isLate: Bool, _ sentAt: Instant, _ owner: any RedisLinkOwner)
        -> Bool
    {
        switch work {
        // Where the key lies elsewhere, the server says so, and so it is well.
        case .probe: if !isLate { probed(loop.now.since(sentAt)) }
        case .refund(let refunds): return owner.redirected(refunds, redirection, by: self)
        case .decision(_, let calls):
            // Where it came late, nobody waits, and it has charged nothing.
            if !isLate { for receiver in work.receivers { owner.redirected(calls, for: receiver, redirection, sentAt: sentAt, by: self) } }
        case .shared(let receivers, let call):
            if !isLate { for receiver in receivers { owner.redirected([call], for: receiver, redirection, sentAt: sentAt, by: self) } }
        }
        return true
    }

    /// The server will not run the script. Where it says that another one should be asked, or that it is not ready, a new
    /// connection may lead to one that does; otherwise (out of memory, a missing permission) it would meet the same. In both cases nobody asks
    /// until a probe has found it well.
    func refused(_ reason: String, isProbe: Bool = false) {
        guard isReady else { return }
        _ = breaker.refused(at: loop.now, isProbe: isProbe)
        // Before Redis 7 what a script met stands in the middle of the error.
        guard notThisServer.contains(where: reason.hasPrefix) || reason.contains("-READONLY ") else {
            report(false, reason)
            if reason.hasPrefix("CLUSTERDOWN") { owner?.linkFailed(self) }
            return armTimer()
        }
        isDoubtful = true
        fail(reason)
    }

    /// Who waits is told that no reply will come.
    func endWithoutReply(_ work: LimitWork) {
        for receiver in work.receivers {
            metrics?.decided(false)
            receiver.decided(nil, at: loop.now)
        }
    }
}

extension LimitWork {
    /// Who waits for it.
    var receivers: [any RemoteDecisionReceiver] {
        switch self {
        case .decision(let receiver, _): [receiver]
        case .shared(let receivers, _): receivers
        case .refund, .probe: []
        }
    }

    fileprivate var isQuestion: Bool {
        switch self {
        case .decision, .shared: true
        case .refund, .probe: false
        }
    }

    fileprivate var isRefund: Bool { if case .refund = self { true } else { false } }

    /// What a reply says to each of those who wait; nil where it has another shape.
    func decisions(_ reply: RedisReply) -> [[GCRA.Decision]]? {
        switch self {
        case .refund, .probe: return []
        case .decision(_, let calls): return LimitScript.decisions(reply, of: calls).map { [$0] }
        case .shared(let receivers, let call):
            guard let decision = LimitScript.decisions(reply, of: [call.asked(for: UInt64(receivers.count))])?.first else { return nil }
            return call.quota.gcra.parts(of: decision, for: receivers.count).map { [$0] }
        }
    }
}

/// How a server's errors begin that is a replica, is loading its data, has handed the key to another, or wants the password again.
private let notThisServer = ["READONLY", "LOADING", "MASTERDOWN", "MOVED", "ASK ", "NOAUTH"]
