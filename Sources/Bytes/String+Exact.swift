extension String {
    /// Whether the two are the same bytes. `==` takes text of the same meaning for equal, such as the Kelvin sign and the
    /// letter K; two identifiers that differ in a byte are two identifiers.
    package func isExactly(_ other: String) -> Bool {
        let (own, others) = (utf8, other.utf8)
        return own.count == others.count && own.span.equals(others.span)
    }
}

extension Sequence<String> {
    package func containsExactly(_ text: String) -> Bool { contains { $0.isExactly(text) } }
}
