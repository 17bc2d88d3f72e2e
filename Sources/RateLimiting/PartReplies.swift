/// What the parts of a store have replied to one request.
final class PartReplies {
    private var parts: [(group: AdmissionProgress.Group, decisions: [GCRA.Decision]?, pending: PendingDecision?)]
    private var left: Int

    /// - Parameter unasked: those that are away.
    init(_ asked: [AdmissionProgress.Group], unasked: [AdmissionProgress.Group]) {
        parts = (asked + unasked).map { ($0, nil, nil) }
        left = asked.count
    }

    /// Keeps one reply; nil for none in time.
    ///
    /// - Returns: whether it was the last.
    func take(_ decisions: [GCRA.Decision]?, _ pending: PendingDecision, at index: Int) -> Bool {
        parts[index].decisions = decisions?.count == parts[index].group.calls.count ? decisions : nil
        parts[index].pending = pending
        left -= 1
        return left == 0
    }

    /// All have replied, and the request is still there.
    func complete() { for part in parts { part.pending?.forgotten = nil } }

    private var replies: [(group: AdmissionProgress.Group, decisions: [GCRA.Decision])] {
        parts.compactMap { part in part.decisions.map { (part.group, $0) } }
    }

    var granted: [(group: AdmissionProgress.Group, decisions: [GCRA.Decision])] { replies.filter { $0.decisions.allSatisfy(\.isAllowed) } }
    var refused: [(group: AdmissionProgress.Group, decisions: [GCRA.Decision])] { replies.filter { !$0.decisions.allSatisfy(\.isAllowed) } }
    /// Those without a reply, and their calls where they were asked: it may still come.
    var missing: [(group: AdmissionProgress.Group, pending: PendingDecision?)] {
        parts.filter { $0.decisions == nil }.map { ($0.group, $0.pending) }
    }
}
