import Bytes

extension RequestHead {
    /// Whether a browser goes to a new page by this request, so that it can be sent elsewhere to sign in. What a script or another program asks
    /// for is not to be answered by a page of another service.
    ///
    /// Browsers say so in fields that no script can set (Fetch Metadata, "Sec-Fetch-Mode"); without them it is a request that takes HTML and says
    /// nothing that speaks against it.
    package var isNavigation: Bool {
        guard method == .get || method == .head, !fields.has(.upgrade) else { return false }
        for name in ["sec-purpose", "purpose"] {
            // A page that is fetched before anybody asks for it.
            if let purpose = field(named: name), purpose.span.contains("prefetch") { return false }
        }
        let mode = field(named: "sec-fetch-mode")
        let destination = field(named: "sec-fetch-dest")
        if mode != nil || destination != nil || fields.has(.secFetchSite) {
            return mode?.elementsEqual("navigate".utf8) ?? false && destination?.elementsEqual("document".utf8) ?? false
        }
        return field(named: "x-requested-with") == nil && accepts("text/html")
    }

    /// Whether the Accept field names a type, other than by a wildcard, and not with the weight 0 (RFC 9110 §12.5.1).
    package func accepts(_ type: String) -> Bool {
        for line in fields.lines where line.id == .accept {
            var elements = ListElements(range: line.value.range)
            while let element = elements.next(in: bytes) {
                let parts = bytes.extracting(element).text.lowercased().split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" } }
                guard parts.first == type else { continue }
                return !parts.dropFirst().contains { ["q=0", "q=0.0", "q=0.00", "q=0.000"].contains($0) }
            }
        }
        return false
    }
}

extension Span<UInt8> {
    fileprivate func contains(_ text: String) -> Bool { self.text.lowercased().contains(text) }
}
