import RateLimiting

/// Which keys the server was asked about, so that it knows what this host knows of them.
extension RedisLink {
    func forgetKeys() { asked.removeAll(keepingCapacity: true) }

    func knows(_ fingerprint: UInt64) -> Bool { asked.count >= askedMax || asked.contains(fingerprint) }

    /// This host is there. Where the server does not say how many are, that is told once.
    func meet(_ host: [UInt8], _ heard: @escaping (UInt64) -> Void) -> Bool {
        guard isAvailable else { return false }
        call(
            LimitScript.arguments(meeting: settings.keyNames.membersName, host),
            .question { [unowned self] reply in
                if let count = LimitScript.members(reply) { return heard(count) }
                guard case .error(let text) = reply, Redirection(text) == nil else { return }
                if text.hasPrefix("NOSCRIPT") { return loadAgain() }
                tellOnce("gateways cannot be counted, for share auto", text)
            })
        return true
    }

    /// Reads rates of plans. Where the server does not say them, that is told once.
    func read(_ name: [UInt8], _ done: @escaping ([(name: String, value: String)]?) -> Void) -> Bool {
        guard isAvailable else { return false }
        call(
            LimitScript.arguments(ofRates: name),
            .question { [unowned self] reply in
                var wrong: String?
                switch reply {
                case .array(let values):
                    let texts = values.map { if case .string(let bytes) = $0 { String(decoding: bytes, as: UTF8.self) } else { "" } }
                    return done(stride(from: 0, to: texts.count - 1, by: 2).map { (texts[$0], texts[$0 + 1]) })
                case .integer(let count): wrong = "\(count) fields are too many, or too long: up to 4096, of 256 KiB together"
                case .error(let text) where text.hasPrefix("NOSCRIPT"): loadAgain()
                case .error(let text) where Redirection(text) == nil: wrong = text
                default: break
                }
                done(nil)
                if let wrong { tellOnce("rates of plans cannot be read", wrong) }
            })
        return true
    }

    func tellOnce(_ what: String, _ reason: String) {
        if toldOnce.insert(what).inserted { observer?.storeSaid(title, "\(what): \(reason)") }
    }

    /// An operator says that a key has used nothing.
    ///
    /// - Parameters:
    ///   - isHandedOn: by another server of a cluster, which has handed the key to this one but for good (`ASK`).
    ///   - elsewhere: called where another server of a cluster has the key.
    func reset(_ call: RemoteCall, isHandedOn: Bool = false, elsewhere: @escaping (Redirection) -> Void = { _ in }) {
        guard isReady else {
            if earlyResets.count < earlyResetsMax { earlyResets.append((call, isHandedOn)) }
            return
        }
        asked.remove(call.fingerprint)
        // What was asked before says what the host knew then.
        sendGathered()
        reset(call, isHandedOn, isRepeated: false, elsewhere)
    }

    private func reset(_ call: RemoteCall, _ isHandedOn: Bool, isRepeated: Bool, _ elsewhere: @escaping (Redirection) -> Void) {
        if isHandedOn { ask([[UInt8]("ASKING".utf8)], .other) }
        self.call(
            LimitScript.arguments(resetting: call),
            .question { [unowned self] reply in
                guard case .error(let text) = reply else { return }
                if text.hasPrefix("NOSCRIPT"), !isRepeated, isReady {
                    loadAgain()
                    reset(call, isHandedOn, isRepeated: true, elsewhere)
                } else if let redirection = Redirection(text) {
                    elsewhere(redirection)
                }
            })
    }
}

/// Resets that wait for a connection to come about.
private let earlyResetsMax = 64
