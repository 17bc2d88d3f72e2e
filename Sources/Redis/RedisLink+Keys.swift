import RateLimiting

/// Which keys the server was asked about, so that it knows what this host knows of them.
extension RedisLink {
    func forgetKeys() { asked.removeAll(keepingCapacity: true) }

    func knows(_ fingerprint: UInt64) -> Bool { asked.count >= askedMax || asked.contains(fingerprint) }

    /// An operator says that a key has used nothing.
    func reset(_ call: RemoteCall) {
        guard isReady else { return }
        let arguments = LimitScript.arguments(resetting: call)
        asked.remove(call.fingerprint)
        let nothing = RemoteRefund(call: call, charge: GCRA.Charge(end: 0, refundedBefore: 0))
        send(arguments, .refund([nothing], arguments: arguments, isRepeated: false))
    }
}
