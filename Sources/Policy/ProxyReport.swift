import Bytes
package import Forwarding
package import HTTPMessage
package import System

/// What a trusted proxy tells of the request as its client sent it: X-Forwarded-For, -Proto and -Host, or `Forwarded` (RFC 7239) where
/// there is no X-Forwarded-For; or in those of the two alone that the file names.
///
/// Each proxy adds an element at the end of a list. The addresses are followed from the end, through proxies that are trusted, to the
/// first that is not: the client. Scheme and host are those of the element that the same proxy added; where a list is shorter, because a
/// proxy replaced it, its first.
package struct ProxyReport {
    /// Nil when the peer itself is the client.
    package private(set) var address: IPAddress?
    package private(set) var isHTTPS: Bool?
    /// Where the host stands in the head; whether it is one is not looked at here.
    package private(set) var host: ByteRange?
    /// Something in Forwarded hides what the proxy has added to it.
    package private(set) var isMalformed = false

    package init(_ head: borrowing RequestHead, trusted: [IPNetwork], in fields: TrustedFields = .any) {
        var hops = 0
        switch fields {
        case .forwarded:
            readForwarded(head, trusted)
            return
        case .any where !head.fields.has(.xForwardedFor) && head.fields.has(.forwarded): readForwarded(head, trusted)
        case .any, .xForwarded: hops = readAddresses(head, trusted)
        }
        if isHTTPS == nil, let scheme = Self.element(Self.elements(of: .xForwardedProto, head), from: hops) {
            isHTTPS = Self.isHTTPS(head.bytes.extracting(scheme))
        }
        if host == nil { host = Self.element(Self.elements(of: .xForwardedHost, head), from: hops).map { ByteRange($0) } }
    }

    /// - Returns: how many proxies stand between the peer and the client's own.
    private mutating func readAddresses(_ head: borrowing RequestHead, _ trusted: [IPNetwork]) -> Int {
        var hops = 0
        let addresses = Self.elements(of: .xForwardedFor, head)
        for (distance, element) in addresses.reversed().enumerated() {
            guard let told = Self.address(head.bytes.extracting(element)) else { break }
            address = told
            hops = distance
            if !trusted.contains(where: { $0.contains(told) }) { break }
        }
        return hops
    }

    private mutating func readForwarded(_ head: borrowing RequestHead, _ trusted: [IPNetwork]) {
        var elements: [ForwardedElement] = []
        for line in head.fields.lines where line.id == .forwarded {
            var reader = ForwardedReader(range: line.value.range)
            while let element = reader.next(in: head.bytes) { elements.append(element) }
            // What follows a malformed element is not known; what came before it, nobody vouches for.
            isMalformed = reader.isMalformed
            if isMalformed { elements = [] }
        }
        guard !isMalformed else { return }
        for element in elements.reversed() {
            guard let node = element.node, let told = Self.address(head.bytes.extracting(node)) else { break }
            address = told
            isHTTPS = element.scheme.flatMap { Self.isHTTPS(head.bytes.extracting($0)) }
            host = element.host.map { ByteRange($0) }
            if !trusted.contains(where: { $0.contains(told) }) { break }
        }
    }

    private static func elements(of name: FieldName, _ head: borrowing RequestHead) -> [Range<Int>] {
        guard head.fields.has(name) else { return [] }
        var found: [Range<Int>] = []
        for line in head.fields.lines where line.id == name {
            var reader = ListElements(range: line.value.range)
            while let element = reader.next(in: head.bytes) { found.append(element) }
        }
        return found
    }

    /// The element that is so many places from the end, or the first of a shorter list.
    private static func element(_ elements: [Range<Int>], from end: Int) -> Range<Int>? {
        elements.isEmpty ? nil : elements[max(0, elements.count - 1 - end)]
    }

    private static func isHTTPS(_ scheme: Span<UInt8>) -> Bool? {
        // A proxy of WebSockets may say wss.
        if scheme.equalsIgnoringCase("https") || scheme.equalsIgnoringCase("wss") { return true }
        return scheme.equalsIgnoringCase("http") || scheme.equalsIgnoringCase("ws") ? false : nil
    }

    /// An address with or without brackets and port.
    private static func address(_ text: Span<UInt8>) -> IPAddress? {
        guard text.count > 0, text.count <= 64 else { return nil }
        let plain = text.text
        if let address = IPAddress(plain) { return address }
        if let authority = Authority(text) {
            let host = text.extracting(authority.host)
            return IPAddress(authority.isIPv6 ? host.extracting(1..<host.count - 1).text : host.text)
        }
        return nil
    }
}
