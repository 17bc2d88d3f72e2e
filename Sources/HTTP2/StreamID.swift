/// The number of a stream within its connection (RFC 9113 §5.1.1).
@usableFromInline package struct StreamID: Hashable, Comparable, Sendable {
    @usableFromInline package let number: Int32

    @inlinable package init(_ number: Int32) { self.number = number }

    @inlinable package static func == (left: StreamID, right: StreamID) -> Bool { left.number == right.number }
    @inlinable package static func < (left: StreamID, right: StreamID) -> Bool { left.number < right.number }
    @inlinable package func hash(into hasher: inout Hasher) { hasher.combine(number) }
}
