/// One key's part of a call to a store outside the host.
package struct RemoteCall: Sendable {
    /// What the store calls the key; see ``RemoteStore/name(ofKey:limit:)``.
    package let name: [UInt8]
    /// Of the key, in the table of this host.
    package let fingerprint: UInt64
    package let quota: Quota
    /// How many requests are asked for.
    package let count: UInt64
    /// Whether the store grants as many of them as there are, at least one or none; otherwise all or none.
    package let isDivisible: Bool
    /// How far ahead of now the key is known to be at least, in nanoseconds; where it is counted in windows, how many requests were.
    package let floor: UInt64
    /// Of windows: the first millisecond of the one that `floor` is of, since 1970.
    package let floorStart: UInt64
    /// What ``LimitTable/standIns`` was when the question was made.
    package let standIns: UInt64

    /// The same for so many requests, of which as many are granted as the quota has.
    package func asked(for count: UInt64) -> RemoteCall {
        RemoteCall(
            name: name, fingerprint: fingerprint, quota: quota, count: count, isDivisible: true, floor: floor, floorStart: floorStart,
            standIns: standIns)
    }

    /// What a store is told of an attempt that is over, of a lockout.
    func ended(_ outcome: Lockout.Outcome) -> RemoteRefund {
        RemoteRefund(call: self, charge: GCRA.Charge(end: outcome.rawValue, refundedBefore: 0))
    }

    package init(
        name: [UInt8], fingerprint: UInt64, quota: Quota, count: UInt64 = 1, isDivisible: Bool = false, floor: UInt64 = 0,
        floorStart: UInt64 = 0, standIns: UInt64 = 0
    ) {
        self.name = name
        self.fingerprint = fingerprint
        self.quota = quota
        self.count = count
        self.isDivisible = isDivisible
        self.floor = floor
        self.floorStart = floorStart
        self.standIns = standIns
    }
}
