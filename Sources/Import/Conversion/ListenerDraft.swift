/// A `listen` of the file that is written.
struct ListenerDraft {
    let address: String
    let isTLS: Bool
    let hasProxyProtocol: Bool
    /// CHAIN and KEY of each server on it.
    var certificates: [[String]] = []
    /// Whether nothing below TLS 1.3 is spoken.
    var needsTLS13 = false
    var speaksHTTP2 = false
    /// Whether one of its servers sends its clients to https; then all are sent there.
    var redirects = false
    var exceptions: [String] = []
    var comments: [String] = []
}
