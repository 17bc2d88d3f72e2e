/// What came of a request.
package struct ProbeOutcome: Sendable {
    package let status: Int
    /// Fields of the response, in lower case.
    package let fields: [(name: String, value: String)]
    /// What the service was sent, where one was asked.
    package let received: Received?

    /// A request as the service got it.
    package struct Received: Sendable {
        var service = ""
        var method = ""
        var target = ""
        var fields: [(name: String, value: String)] = []
    }

    package init(status: Int, fields: [(name: String, value: String)], body: String) {
        self.status = status
        self.fields = fields.map { ($0.name.lowercased(), $0.value) }
        guard body.hasPrefix("service ") else {
            received = nil
            return
        }
        var received = Received()
        for line in body.split(whereSeparator: \.isNewline) {
            let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else { continue }
            switch parts[0] {
            case "service": received.service = parts[1]
            case "method": received.method = parts[1]
            case "target": received.target = parts[1]
            default:
                let field = parts[1].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                if field.count == 2 { received.fields.append((field[0].lowercased(), String(field[1].drop { $0 == " " }))) }
            }
        }
        self.received = received
    }

    /// The values of a field, with commas between them; empty without one.
    func field(_ name: String) -> String { fields.filter { $0.name == name }.map(\.value).joined(separator: ", ") }
}
