/// Learns what becomes of key sets.
protocol KeySetObserver: AnyObject {
    func keySetChanged(_ issuer: Int, _ document: [UInt8])
    /// It has been looked for, and is what it was.
    ///
    /// - Parameter hasFailed: whether nobody could find out whether it has changed.
    func keySetUnchanged(_ issuer: Int, hasFailed: Bool)
    /// It could not be fetched for so long that it is used no longer.
    func keySetWithdrawn(_ issuer: Int)
    /// Everything has been tried once.
    func firstRoundCompleted()
}
