import Bytes
import HTTPMessage

/// The body of a gateway-made response, with the fields that describe it. A call of gRPC has fields alone.
struct ReplyContent {
    let fields: [UInt8]
    let body: [UInt8]

    init(status: Int, reason: String, detail: String, requestID: [UInt8], form: ReplyForm, grpcStatus: Int = 13, retryAfter: UInt64? = nil)
    {
        let title = Reply.phrase(status)
        let identifier = String(decoding: requestID, as: UTF8.self)
        switch form {
        case .grpc:
            let message = "\(detail) (\(reason), \(identifier))"
            var lines = [UInt8](
                "Content-Type: application/grpc\r\ngrpc-status: \(grpcStatus)\r\ngrpc-message: \(percentEncoded(message))\r\n".utf8)
            if let retryAfter {
                lines.append("grpc-status-details-bin: ")
                lines += GRPCStatusDetails.retry(after: retryAfter, status: grpcStatus, message: message)
                lines += [0x0D, 0x0A]
            }
            fields = lines
            body = []
        case .html:
            fields = [UInt8]("Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n")
            body = [UInt8](
                """
                <!doctype html><html lang="en"><head><meta charset="utf-8"><title>\(status) \(title)</title></head>
                <body><h1>\(title)</h1><p>\(escaped(detail))</p><p><small>\(reason) · \(identifier)</small></p></body></html>

                """)
        case .problem:
            fields = [UInt8]("Content-Type: application/problem+json\r\nCache-Control: no-store\r\n")
            body = [UInt8](
                "{\"type\":\"urn:portcullis:refusal:\(reason)\",\"title\":\"\(title)\",\"status\":\(status),\"detail\":\"\(escapedJSON(detail))\","
                    + "\"instance\":\"urn:portcullis:request:\(identifier)\",\"reason\":\"\(reason)\",\"request_id\":\"\(identifier)\"}\n"
            )
        }
    }
}

/// As a message of gRPC is sent: printable ASCII but for the percent sign.
private func percentEncoded(_ text: String) -> String {
    var encoded: [UInt8] = []
    for byte in text.utf8 {
        if (0x20..<0x7F).contains(byte), byte != 0x25 {
            encoded.append(byte)
        } else {
            encoded.append(0x25)
            encoded.append(hexadecimal: UInt64(byte), digits: 2)
        }
    }
    return String(decoding: encoded, as: UTF8.self)
}

private func escaped(_ text: String) -> String {
    text.reduce(into: "") { result, character in
        switch character {
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "&": result += "&amp;"
        case "\"": result += "&quot;"
        default: result.append(character)
        }
    }
}

private func escapedJSON(_ text: String) -> String {
    text.unicodeScalars.reduce(into: "") { result, scalar in
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case _ where scalar.value < 0x20: result += " "
        default: result.unicodeScalars.append(scalar)
        }
    }
}
