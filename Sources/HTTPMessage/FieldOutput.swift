package import Bytes

/// Where fields are written piece by piece: as lines of HTTP/1, or as a block of HTTP/2.
package protocol FieldOutput: ~Copyable {
    /// Begins a field. What is appended goes on with its value, until ``end()``.
    mutating func begin(_ field: FieldStart)
    mutating func append(_ bytes: Span<UInt8>)
    mutating func append(_ text: String)
    mutating func append(decimal value: UInt64)
    mutating func end()
    /// Appends whole field lines, as HTTP/1 writes them.
    mutating func append(lines: [UInt8])
}

/// A field's name and what its value always begins with, put together once.
package final class FieldStart: Sendable {
    /// `Name: ` and the beginning of the value, as a line of HTTP/1 has them.
    package let line: [UInt8]
    /// In lower case, as HTTP/2 has it.
    package let name: [UInt8]
    package let value: [UInt8]
    /// Whether the value is another one each time: then a table of what was sent before is no use for it.
    package let isFleeting: Bool

    package init(_ name: String, _ value: String = "", isFleeting: Bool = false) {
        line = [UInt8]("\(name): \(value)")
        self.name = [UInt8](name.lowercased())
        self.value = [UInt8](value)
        self.isFleeting = isFleeting
    }
}

extension ByteQueue: FieldOutput {
    package mutating func begin(_ field: FieldStart) { append(field.line) }
    package mutating func end() { appendLineEnd() }
    package mutating func append(lines: [UInt8]) { append(lines) }
}
