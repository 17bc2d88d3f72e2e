import Bytes

/// What the Connection fields of one head say, read once. Source: RFC 9110 §7.6.1.
///
/// A head with more than ``Limits/connectionOptionsMax`` of them is refused where its framing is read. Here they are counted, and
/// what they say is not kept any more: two bytes of a head would otherwise hold sixteen of memory.
package struct ConnectionOptions: Sendable {
    package private(set) var count = 0
    package private(set) var saysClose = false
    package private(set) var saysKeepAlive = false
    /// The options that may name a field; those two name none.
    private var others: [Range<Int>] = []

    init() {}

    init(_ fields: borrowing FieldTable, _ bytes: Span<UInt8>) {
        guard fields.has(.connection) else { return }
        for line in fields.lines where line.id == .connection {
            var elements = ListElements(range: line.value.range)
            while let element = elements.next(in: bytes) {
                count += 1
                let option = bytes.extracting(element)
                if option.equalsIgnoringCase(keepAlive.span) {
                    saysKeepAlive = true
                } else if option.equalsIgnoringCase(close.span) {
                    saysClose = true
                } else if count <= Limits.connectionOptionsMax {
                    others.append(element)
                }
            }
        }
    }

    /// Whether any of them may name a field.
    package var namesFields: Bool { !others.isEmpty }

    /// Whether a field of this name belongs to the connection alone.
    ///
    /// - Parameter bytes: the head's.
    package func names(_ name: Span<UInt8>, in bytes: Span<UInt8>) -> Bool {
        for range in others where bytes.extracting(range).equalsIgnoringCase(name) { return true }
        return false
    }
}

private let keepAlive: [UInt8] = Array("keep-alive".utf8)
private let close: [UInt8] = Array("close".utf8)
