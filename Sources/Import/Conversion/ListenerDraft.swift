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
    /// Whether all its servers send their clients to https.
    var redirects = true
    var exceptions: [String] = []
    var comments: [String] = []
}
