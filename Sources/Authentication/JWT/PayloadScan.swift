import Bytes

/// What is looked for in a payload before its signature is checked: the issuer, by whose keys it is, and the subject, which a refusal's log
/// names. One pass over the bytes, without a value made of anything else; what it finds binds nobody until the payload has been read.
struct PayloadScan {
    private(set) var issuer: String?
    private(set) var subject: String?

    /// Finds members of the outermost object. A payload that is no JSON may be scanned too: it then finds something or nothing.
    init(_ payload: Span<UInt8>) {
        var index = 0
        var depth = 0
        var expectsName = false
        while index < payload.count {
            switch payload[index] {
            case 0x22:
                let start = index
                index = Self.endOfString(payload, from: start)
                guard depth == 1, expectsName else { continue }
                expectsName = false
                read(payload.extracting(start..<index), valueAt: &index, payload)
                if issuer != nil, subject != nil { return }
                continue
            case 0x7B, 0x5B:
                depth += 1
                expectsName = payload[index] == 0x7B
            case 0x7D, 0x5D:
                depth -= 1
                expectsName = false
            case 0x2C: expectsName = depth == 1
            default: break
            }
            index += 1
        }
    }

    private mutating func read(_ name: Span<UInt8>, valueAt index: inout Int, _ payload: Span<UInt8>) {
        let isIssuer = name.equals("\"iss\"")
        guard isIssuer || name.equals("\"sub\"") else { return }
        while index < payload.count, payload[index] == 0x3A || payload[index] <= 0x20 { index += 1 }
        guard index < payload.count, payload[index] == 0x22 else { return }
        let start = index
        index = Self.endOfString(payload, from: start)
        guard index - start <= textBytesMax else { return }
        let text = (try? JSONReader.read(payload.extracting(start..<index).copied()))?.string
        if isIssuer { issuer = text } else { subject = text }
    }

    /// The index behind the quote that ends a string.
    private static func endOfString(_ payload: Span<UInt8>, from start: Int) -> Int {
        var index = start + 1
        while index < payload.count {
            if payload[index] == 0x5C {
                index += 2
            } else if payload[index] == 0x22 {
                return index + 1
            } else {
                index += 1
            }
        }
        return payload.count
    }
}

private let textBytesMax = 2_048
