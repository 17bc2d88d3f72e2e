package import Time
import System

/// A charge to take back, as far as it has not worn off.
package struct RemoteRefund: Sendable {
    package let call: RemoteCall
    package let charge: GCRA.Charge

    package init(call: RemoteCall, charge: GCRA.Charge) {
        self.call = call
        self.charge = charge
    }
}

/// Receives the reply to one call.
package protocol RemoteDecisionReceiver: AnyObject {
    /// - Parameter decisions: one for each key, in order; nil when the store did not reply in time.
    func decided(_ decisions: [GCRA.Decision]?, at now: Instant)

    /// The store has replied after all, when it was late: what it has charged is charged.
    func decidedLate(_ decisions: [GCRA.Decision], at now: Instant)
}

/// A store that several hosts share. Belongs to the worker's loop.
package protocol RemoteStore: AnyObject {
    /// The calls that can be decided together, by their places in the list, where not all can: those of one server, or of one slot of a cluster. Nil for all.
    func parts(of calls: [RemoteCall]) -> [[Int]]?

    /// False while the server of these calls, of which all are decided together, is known to be away: nothing should wait for it then.
    func isAvailable(for calls: [RemoteCall]) -> Bool

    /// How long a call may take.
    var timeout: Nanoseconds { get }

    /// The server of these calls, of which all are decided together; nil while there is none.
    func server(of calls: [RemoteCall]) -> ObjectIdentifier?

    /// While it is away: when somebody finds out next whether it is back.
    func triesAgainAt(_ calls: [RemoteCall], now: Instant) -> Instant

    /// What it calls a key of a limit.
    ///
    /// - Parameter tag: keys of the same one stand on one server; nil for the key itself.
    func name(ofKey key: [UInt8], limit: String, tag: [UInt8]?) -> [UInt8]

    /// Keys may have been counted without it: the first question about each says what is known here.
    func forgetKeys()

    /// Whether it was asked about a key since it may have lost its data; where it was not, the first question says what is known of the key here
    /// (``RemoteCall/floor``).
    func knows(_ fingerprint: UInt64, name: [UInt8]) -> Bool

    /// Decides on all calls together: all of them are charged, or none.
    func decide(_ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver)

    /// Reads the rates of plans that stand there under a name.
    ///
    /// - Parameter done: called with the fields, or with nil where the store does not say them.
    /// - Returns: whether it was asked.
    func read(rates name: String, _ done: @escaping ([(name: String, value: String)]?) -> Void) -> Bool

    /// This host is there.
    ///
    /// - Parameter heard: called with how many are, where the store says so.
    /// - Returns: whether it was told.
    func meet(_ host: [UInt8], _ heard: @escaping (UInt64) -> Void) -> Bool

    /// An operator says that a key has used nothing.
    func reset(_ call: RemoteCall)

    /// Takes back the charges of one request that does not count after all; nobody waits for it.
    func refund(_ refunds: [RemoteRefund])
}
