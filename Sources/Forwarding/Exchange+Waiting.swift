/// Waiting for a connection of the group.
extension Exchange {
    /// Tries again to begin, after waiting.
    ///
    /// - Returns: whether the place in the queue is free.
    func connectionMayBeHad(_ ticket: UInt64, of group: UpstreamGroup) -> Bool {
        guard ticket == wait?.ticket, group === self.group else { return true }
        do {
            try connect(fresh: false)
        } catch {
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
}
