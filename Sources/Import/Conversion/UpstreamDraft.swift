/// An `upstream` of the file that is written.
struct UpstreamDraft: Equatable {
    let name: String
    /// What it is made of: two locations with the same share it.
    let source: String
    let lines: [GatewayLine]
    let comments: [String]

    var line: GatewayLine { GatewayLine("upstream", name, comments: comments, block: lines) }
}
