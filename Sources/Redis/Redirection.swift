/// What a server of a cluster says of keys that are not its own: the errors that begin with MOVED, ASK, TRYAGAIN and CLUSTERDOWN, of the Redis
/// Cluster specification.
enum Redirection: Equatable {
    /// Another server has the slot, for good. Without a host it is the one that was asked, at this port.
    case moved(slot: Int, host: String, port: UInt16)
    /// The slot is on its way to another server, and the keys are there already.
    case ask(slot: Int, host: String, port: UInt16)
    /// The slot is on its way, and some of the keys are here and some are there.
    case tryAgain
    /// Nobody has the slot at present.
    case unserved

    /// Nil for an error that is none of them.
    init?(_ error: String) {
        let words = error.prefix(lengthMax).split(separator: " ")
        switch (words.first, words.count) {
        case ("TRYAGAIN", _): self = .tryAgain
        // As opposed to a server that says that the whole cluster is down.
        case ("CLUSTERDOWN", _) where error.hasPrefix("CLUSTERDOWN Hash slot"): self = .unserved
        case ("MOVED", 3), ("ASK", 3):
            guard let slot = Int(words[1]), 0..<ClusterSlots.count ~= slot else { return nil }
            // Of IPv6 the port stands behind the last colon, and the address has no brackets.
            guard let colon = words[2].lastIndex(of: ":"), let port = UInt16(words[2][words[2].index(after: colon)...]) else { return nil }
            let host = String(words[2][..<colon])
            self = words[0] == "MOVED" ? .moved(slot: slot, host: host, port: port) : .ask(slot: slot, host: host, port: port)
        default: return nil
        }
    }
}

/// An address with its slot is shorter.
private let lengthMax = 256
