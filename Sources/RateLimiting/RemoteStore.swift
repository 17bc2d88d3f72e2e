package import Time
import System

/// One key's part of a call to a store outside the host.
package struct RemoteCall: Sendable {
    /// What the store calls the key; see ``RemoteStore/name(ofKey:limit:)``.
    package let name: [UInt8]
    /// Of the key, in the table of this host.
    package let fingerprint: UInt64
    package let quota: Quota
    /// How many requests are asked for; the store grants as many of them as there are, at least one or none.
    package let count: UInt64
    /// How far ahead of now the key is known to be at least, in nanoseconds; where it is counted in windows, how many requests were.
    package let floor: UInt64
    /// Of windows: the first millisecond of the one that `floor` is of, since 1970.
    package let floorStart: UInt64
    /// What ``LimitTable/standIns`` was when the question was made.
    package let standIns: UInt64

    package init(
        name: [UInt8], fingerprint: UInt64, quota: Quota, count: UInt64 = 1, floor: UInt64 = 0, floorStart: UInt64 = 0, standIns: UInt64 = 0
    ) {
        self.name = name
        self.fingerprint = fingerprint
        self.quota = quota
        self.count = count
        self.floor = floor
        self.floorStart = floorStart
        self.standIns = standIns
    }
}

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

    /// What it calls a key of a limit.
    func name(ofKey key: [UInt8], limit: String) -> [UInt8]

    /// Keys may have been counted without it: the first question about each says what is known here.
    func forgetKeys()

    /// Whether it was asked about a key since it may have lost its data; where it was not, the first question says what is known of the key here
    /// (``RemoteCall/floor``).
    func knows(_ fingerprint: UInt64, name: [UInt8]) -> Bool

    /// Decides on all calls together: all of them are charged, or none.
    func decide(_ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver)

    /// Takes back the charges of one request that does not count after all; nobody waits for it.
    func refund(_ refunds: [RemoteRefund])
}
