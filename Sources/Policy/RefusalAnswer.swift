package import Configuration
import Authentication
import Authorization
import Bytes
import Forwarding
import HTTPMessage
import RateLimiting

/// The fields and the body of a gateway-made answer.
package struct RefusalAnswer {
    package let status: Int
    /// Whole lines; without framing and connection fields, and without what is added to every answer (``AddedFields``).
    package let fields: [UInt8]
    package let body: [UInt8]

    /// What the asking program reads.
    package enum Form {
        case problem, html, grpc
    }

    package init(_ refusal: Refusal, requestID: [UInt8], challenge: Challenge, form: Form) {
        let status = refusal.status
        var fields: [UInt8] = []
        func field(_ name: String, _ value: String) { fields.append("\(name): \(value)\r\n") }
        switch refusal {
        case .token(.missing): for text in challenge.fields() { field("WWW-Authenticate", text) }
        case .token(let error) where status == 401:
            let cause = "error=\"invalid_token\", error_description=\"\(quoted(error.explanation))\""
            for text in challenge.fields(cause) { field("WWW-Authenticate", text) }
        case .authorization(.scopeMissing(let scopes)):
            field("WWW-Authenticate", challenge.bearer("error=\"insufficient_scope\", scope=\"\(scopes)\""))
        case .authorization(.ruleUnmet): field("WWW-Authenticate", challenge.bearer("error=\"insufficient_scope\""))
        case .methodNotAllowed(let allowed): field("Allow", allowed)
        case .aboutServer:
            field("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
            self.status = status
            self.fields = fields
            body = []
            return
        case .preflight(let lines):
            self.status = status
            self.fields = lines
            body = []
            return
        case .redirect(let place): field("Location", place)
        default: break
        }
        if let seconds = refusal.retryAfter { field("Retry-After", String(seconds)) }
        let title = Refusal.phrase(status)
        let identifier = String(decoding: requestID, as: UTF8.self)
        switch form {
        case .grpc:
            // A head alone, which is its own trailers; the status of HTTP is always 200.
            field("Content-Type", "application/grpc")
            field("grpc-status", String(refusal.grpcStatus))
            field("grpc-message", percentEncoded("\(refusal.detail) (\(refusal.reason), \(identifier))"))
            self.status = 200
            self.fields = fields
            body = []
            return
        case .html:
            field("Content-Type", "text/html; charset=utf-8")
            body = [UInt8](
                """
                <!doctype html><html lang="en"><head><meta charset="utf-8"><title>\(status) \(title)</title></head>
                <body><h1>\(title)</h1><p>\(escaped(refusal.detail))</p><p><small>\(refusal.reason) · \(identifier)</small></p></body></html>

                """)
        case .problem:
            field("Content-Type", "application/problem+json")
            body = [UInt8](
                "{\"type\":\"urn:portcullis:refusal:\(refusal.reason)\",\"title\":\"\(title)\",\"status\":\(status),\"detail\":\"\(escapedJSON(refusal.detail))\","
                    + "\"instance\":\"urn:portcullis:request:\(identifier)\",\"reason\":\"\(refusal.reason)\",\"request_id\":\"\(identifier)\"}\n"
            )
        }
        field("Cache-Control", "no-store")
        self.status = status
        self.fields = fields
    }
}

/// For a quoted-string: without quotes and backslashes, in ASCII (RFC 6750 §3).
private func quoted(_ text: String) -> String { String(text.map { $0 == "\"" || $0 == "\\" || !$0.isASCII ? "'" : $0 }) }

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
