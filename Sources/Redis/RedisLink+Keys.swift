import RateLimiting

/// Which keys the server was asked about, so that it knows what this host knows of them.
extension RedisLink {
    func forgetKeys() { asked.removeAll(keepingCapacity: true) }

    func knows(_ fingerprint: UInt64) -> Bool { asked.count >= askedMax || asked.contains(fingerprint) }

    /// An operator says that a key has used nothing.
    ///
    /// - Parameter elsewhere: called where another server of a cluster has the key.
    func reset(_ call: RemoteCall, elsewhere: @escaping (Redirection) -> Void = { _ in }) {
        guard isReady else { return }
        asked.remove(call.fingerprint)
        let answer = { (reply: RedisReply) in
            if case .error(let text) = reply, let redirection = Redirection(text) { elsewhere(redirection) }
        }
        self.call(LimitScript.arguments(resetting: call), .question(answer))
    }
}
