/// An `authorizer` of the file that is written; what its routes want of it is added as they are read.
final class AuthorizerDraft {
    let name: String
    /// What it is made of: two locations that ask the same way share it.
    let source: [GatewayLine]
    let comments: [String]
    private(set) var claims: [(claim: String, field: String)] = []
    private(set) var passedFields: [String] = []
    var followsRefusal = false

    init(name: String, source: [GatewayLine], comments: [String]) {
        self.name = name
        self.source = source
        self.comments = comments
    }

    /// The claim that holds a field of its response.
    ///
    /// - Parameters:
    ///   - field: as in `$upstream_http_NAME`.
    ///   - called: what nginx calls it; nil for any name.
    func claim(for field: String, called: String?) -> String {
        let name = Self.fieldName(field)
        if let known = claims.first(where: { $0.field == name }) { return known.claim }
        var claim = called ?? field
        var number = 2
        while claims.contains(where: { $0.claim == claim }) {
            claim = "\(called ?? field)_\(number)"
            number += 1
        }
        claims.append((claim, name))
        return claim
    }

    /// Has a field of its response reach the client.
    func pass(_ field: String) {
        let name = Self.fieldName(field)
        if !passedFields.contains(name) { passedFields.append(name) }
    }

    /// `x_user_id` as `X-User-Id`.
    private static func fieldName(_ field: String) -> String {
        field.split(separator: "_", omittingEmptySubsequences: false).map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined(
            separator: "-")
    }

    var line: GatewayLine {
        var block = source + claims.map { GatewayLine("claim", $0.claim, $0.field) }
        if !passedFields.isEmpty { block.append(GatewayLine(words: ["pass_response"] + passedFields)) }
        if followsRefusal { block.append(GatewayLine("on_refusal", "follow")) }
        return GatewayLine("authorizer", name, comments: comments, block: block)
    }
}
