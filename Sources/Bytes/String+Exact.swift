extension String {
    /// Whether the two are the same bytes. `==` takes text of the same meaning for equal, such as the Kelvin sign and the
    /// letter K; two identifiers that differ in a byte are two identifiers.
    package func isExactly(_ other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}

extension Sequence<String> {
    package func containsExactly(_ text: String) -> Bool { contains { $0.isExactly(text) } }
}
