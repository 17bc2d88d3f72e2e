/// How much more than their first windows the streams of a connection, or of a whole worker, may have: what peers may send that nobody takes
/// at present is held here.
package final class WindowBudget {
    private var left: Int
    private let whole: WindowBudget?

    /// - Parameter whole: a larger budget that this one is a part of.
    package init(bytes: Int, of whole: WindowBudget? = nil) {
        left = bytes
        self.whole = whole
    }

    fileprivate func take(_ count: Int) -> Bool {
        guard count <= left, whole?.take(count) ?? true else { return false }
        left -= count
        return true
    }

    fileprivate func give(_ count: Int) {
        left += count
        whole?.give(count)
    }
}

/// The receive window of one stream, which grows with what has been consumed: a peer far away needs as much of it as it can send while an
/// update is on its way. Source: RFC 9113 §5.2.
package struct StreamWindow {
    private var size: Int
    private var consumed = 0
    /// What was taken from the budget.
    private var taken = 0

    /// - Parameter size: the window that the session's settings give every stream.
    package init(size: Int = 65_535) { self.size = size }

    /// Bytes have gone on.
    ///
    /// - Parameter most: how large the window may become.
    /// - Returns: its new size, where it grows: four times the old one, as soon as as much as the old one has been consumed.
    package mutating func consumed(_ count: Int, most: Int, _ budget: WindowBudget) -> Int? {
        guard size < most else { return nil }
        consumed += count
        return consumed >= size ? grow(to: min(most, size * 4), budget) : nil
    }

    /// Makes the window larger before anything has been consumed; nil where that cannot be.
    package mutating func grow(to wanted: Int, _ budget: WindowBudget) -> Int? {
        consumed = 0
        guard wanted > size, budget.take(wanted - size) else { return nil }
        taken += wanted - size
        size = wanted
        return wanted
    }

    /// The stream is over.
    package mutating func end(_ budget: WindowBudget) {
        if taken > 0 { budget.give(taken) }
        taken = 0
    }
}
