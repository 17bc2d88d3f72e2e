/// Waiting for a connection of the group.
extension Exchange {
    /// Tries again to begin, after waiting.
    ///
    /// - Returns: whether the place in the queue is free.
    func connectionMayBeHad(_ ticket: UInt64, of group: UpstreamGroup) -> Bool {
        guard ticket == wait?.ticket, group === self.group else { return true }
        if group.gate?.isOpen == true {
            fail(.circuitOpen)
            return true
        }
        do {
            try connect(fresh: false)
        } catch {
            if pass != nil { tellGate(of: error, .notSent(isReused: false)) }
            fail(error)
            return true
        }
        guard wait == nil else { return false }
        downstream?.uploadMayContinue()
        return true
    }

    func waitedInVain(_ ticket: UInt64, for group: UpstreamGroup, _ error: ForwardingError) {
        if ticket == wait?.ticket, group === self.group { fail(error) }
    }

    /// A server has responded.
    func tellGate(of status: Int) {
        // Taken out while it is changed (decision 011).
        var own = pass
        group?.gate?.responded(status, &own)
        pass = own
    }

    /// A try has failed: a breaker counts it, as an ejection does.
    func tellGate(of error: ForwardingError, _ reach: RequestReach) {
        switch (error, reach) {
        case (.connectFailed, .notSent(isReused: false)), (.connectTimedOut, .notSent(isReused: false)),
            (.tlsFailed, .notSent(isReused: false)),
            (.responseTimedOut, .sent), (.badResponse, .sent), (.unexpectedResponse, .sent), (.closedEarly, .sent(isReused: false)):
            var own = pass
            group?.gate?.failed(error.reason, &own)
            pass = own
        default: break
        }
    }
}
