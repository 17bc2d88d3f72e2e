import Observability
import Time
import Bytes
import HTTP1
import HTTPMessage
import Time
package import System

/// Sending a request once more.
extension Exchange: TimerHandler {
    /// Sends the request once more where that is safe, and says whether it did.
    ///
    /// A request that never set out, because its connection did not open or was found closed, may go to another server. So
    /// may one, if it has no body or a short one, of which a server of HTTP/2 says that it did nothing about it. A
    /// connection that was kept alive may have been closed by the server at the moment of its next use: then an idempotent
    /// request without a body goes out again.
    func retry(after error: ForwardingError, on failed: any UpstreamChannel) throws(ForwardingError) -> Bool {
        guard state == .awaited, let group else { return false }
        switch failed.reached {
        case .notSent(let isReused):
            // Where a refusal comes at once, each address is worth a try.
            let isImmediate = if case .connectFailed = error { true } else { false }
            let most = min(group.addressCount, isImmediate ? Limits.refusedAttemptsMax : Limits.connectAttemptsMax)
            guard isReused || attempt + 1 < most else { return false }
            if !isReused { attempt += 1 }
            return try move(from: failed, in: group)
        case .refused(isKept: true):
            guard attempt + 1 < Limits.connectAttemptsMax else { return false }
            attempt += 1
            return try move(from: failed, in: group)
        case .refused(isKept: false):
            guard error == .closedEarly, shape.framing.isEmpty, attempt < Limits.connectAttemptsMax else { return false }
        case .sent(let isReused):
            if repeats(for: error == .closedEarly ? .reset : error == .responseTimedOut ? .timeout : [], error.reason, after: failed) {
                return true
            }
            let mayRepeat = repeatsIdempotent && isReused && attempt == 0 && shape.method.isIdempotent && shape.framing.isEmpty
            guard error == .closedEarly, mayRepeat else { return false }
        case .responseBegan: return false
        }
        attempt += 1
        try connect(fresh: true)
        return true
    }

    /// Hands a request that did nothing on to another connection; false where there is none.
    private func move(from failed: any UpstreamChannel, in group: UpstreamGroup) throws(ForwardingError) -> Bool {
        guard
            let channel = try group.acquire(
                fresh: true, for: outgoing.origin, key: key(in: group), bound: mayBind ? boundServer(in: group) : nil)
        else { return false }
        use(channel, of: channel.server, isMoved: true)
        failed.moveUnsent(to: channel)
        return true
    }

    /// Sends a request again whose server did not answer it well, to another server if there is one; says whether it did.
    func repeats(for condition: RetryRule.Conditions, _ reason: String, after failed: any UpstreamChannel) -> Bool {
        guard state == .awaited, let group, let rule = group.settings.retry, !condition.isEmpty, rule.conditions.isSuperset(of: condition),
            kept != nil
        else { return false }
        guard repetitions + 1 < rule.tries else {
            group.metrics.retryDenied("tries")
            return false
        }
        guard group.gate?.isOpen != true else {
            group.metrics.retryDenied("circuit_open")
            return false
        }
        guard group.hasRetry else {
            group.metrics.retryDenied("budget")
            return false
        }
        if rule.backoff > .zero, repetitions > 0 || !group.hasOther(than: failed.server) {
            willRepeat(reason, in: group)
            if tryCount > 0 { tryEnded(at: group.now) }
            failed.cancel()
            channel = nil
            let timer = Timer(self)
            backoffTimer = timer
            group.set(timer, after: rule.backoff(before: repetitions))
            return true
        }
        guard let next = try? group.acquire(fresh: true, for: outgoing.origin, after: failed.server, key: key(in: group)) else {
            group.metrics.retryDenied("no_server")
            return false
        }
        willRepeat(reason, in: group)
        outgoing.attempt = tryCount
        use(next, of: next.server)
        outgoing.server = next.server.hostText
        failed.cancel()
        do {
            if outgoing.trace != nil { try outgoing.render() }
            try next.send(head: outgoing)
        } catch {
            next.cancel()
            fail(error)
            return true
        }
        sendKept(on: next)
        return true
    }

    /// What of the request decides which server it goes to; nil where nothing does, or the request has no such thing.
    func key(in group: UpstreamGroup) -> UInt64? {
        guard let variable = group.keyVariable, let value = outgoing.value(of: variable), !value.isEmpty else { return nil }
        return UpstreamGroup.hash(value)
    }

    private func willRepeat(_ reason: String, in group: UpstreamGroup) {
        group.retried()
        repetitions += 1
        attempt += 1
        group.metrics.retried(reason)
        group.log.debug { "upstream \(group.settings.name): a request goes out once more, because of \(reason)" }
    }

    /// What of the body has gone out before; the rest follows from the client.
    func sendKept(on channel: any UpstreamChannel) {
        if let kept, !kept.isEmpty { channel.send(kept.span) }
        if !isUploadOver {
            downstream?.uploadMayContinue()
        } else if !shape.framing.isEmpty {
            channel.endRequest(trailers: [])
        }
    }

    /// The pause before a repetition is over.
    package func fired(_ timer: Timer) {
        endBackoff()
        guard state == .awaited else { return }
        if group?.gate?.isOpen == true { return fail(.circuitOpen) }
        do {
            try connect(fresh: true)
        } catch {
            if pass != nil { tellGate(of: error, .notSent(isReused: false)) }
            fail(error)
        }
    }

    func endBackoff() {
        backoffTimer?.cancel()
        backoffTimer = nil
    }

    /// How long the head of a response may take, where the request may go out again.
    func setPatience(_ length: Nanoseconds?) {
        var changed = silence
        changed.ofTry = length
        silence = changed
    }

    /// A body that has come to be too long is not kept: then the request goes out once.
    func keep(_ bytes: Span<UInt8>) {
        guard var body = exchange(&kept, with: nil), body.count + bytes.count <= keptBytesMax else {
            setPatience(nil)
            channel?.isLastTry()
            return
        }
        body.append(bytes)
        kept = body
    }
}

extension RequestShape {
    /// Whether the body is not known to be too long to be kept.
    var isShort: Bool { if case .length(let count) = framing { count <= UInt64(keptBytesMax) } else { true } }
}

/// Of a body that may go out again.
private let keptBytesMax = 65_536
