import Bytes

/// Request and response of `grpc.health.v1.Health/Check`, and what a response says. Source: grpc/grpc, doc/health-checking.md, and
/// doc/PROTOCOL-HTTP2.md for the framing.
enum GRPCHealth {
    static let path = "/grpc.health.v1.Health/Check"

    /// `HealthCheckRequest { string service = 1; }` as one message that is not compressed.
    ///
    /// - Parameter service: empty for the server as a whole; at most 127 bytes of the configuration's.
    static func request(for service: String) -> [UInt8] {
        let name = Array(service.utf8)
        precondition(name.count < 128, "a service's name is longer than its length's one byte can say")
        let message = name.isEmpty ? [] : [0x0A, UInt8(name.count)] + name
        return [0, 0, 0, 0, UInt8(message.count)] + message
    }

    /// What is wrong; nil where the service is served.
    static func failure(in response: HTTP2Client.Response, of service: String) -> String? {
        guard response.status == 200 else { return "it answered \(response.status), not a response of gRPC" }
        guard let text = response.fields["grpc-status"], let status = Int(text) else { return "its response has no grpc-status" }
        let subject = service.isEmpty ? "the server" : "the service \(service)"
        switch status {
        case 0: break
        case 5: return "it does not know \(subject) (grpc-status 5)"
        case 12: return "it has no health service (grpc-status 12)"
        default: return "its health service answered grpc-status \(status)"
        }
        switch servingStatus(in: response.body) {
        case 1: return nil
        case 2: return "\(subject) is NOT_SERVING"
        case 0, 3: return "it does not know \(subject)"
        case let other?: return "\(subject) is in state \(other), which is none of the protocol's"
        case nil: return "its response is not a message of the health service"
        }
    }

    /// `HealthCheckResponse { ServingStatus status = 1; }`; 0 where the field is left out, nil where the bytes are no such message.
    private static func servingStatus(in body: [UInt8]) -> UInt64? {
        guard body.count >= 5, body[0] == 0 else { return nil }
        let length = body[1..<5].reduce(0) { $0 << 8 | Int($1) }
        guard length == body.count - 5 else { return nil }
        var rest = body[5...]
        var status: UInt64 = 0
        while !rest.isEmpty {
            guard let key = varint(&rest) else { return nil }
            switch key & 7 {
            case 0:
                guard let value = varint(&rest) else { return nil }
                if key >> 3 == 1 { status = value }
            case 2:
                // A field of a later version of the protocol.
                guard let count = varint(&rest), count <= UInt64(rest.count) else { return nil }
                rest = rest.dropFirst(Int(count))
            default: return nil
            }
        }
        return status
    }

    /// Source: protobuf.dev, "Encoding".
    private static func varint(_ bytes: inout ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 63, by: 7) {
            guard let byte = bytes.popFirst() else { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }
}
