import Bytes
import ConfigFile

/// Writes JSON for programs that read what a command prints: objects and arrays, nested as needed.
struct JSONText {
    private var bytes: [UInt8] = []
    /// Whether the next member is the first of its object.
    private var isFirst = true

    var text: String { String(decoding: bytes, as: UTF8.self) }

    mutating func object(_ body: (inout JSONText) -> Void) {
        bytes.append(UInt8(ascii: "{"))
        isFirst = true
        body(&self)
        bytes.append(UInt8(ascii: "}"))
        isFirst = false
    }

    mutating func object(_ name: String, _ body: (inout JSONText) -> Void) {
        begin(name)
        object(body)
    }

    mutating func objects<Element>(_ name: String, of elements: [Element], _ body: (inout JSONText, Element) -> Void) {
        begin(name)
        bytes.append(UInt8(ascii: "["))
        for (index, element) in elements.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            object { body(&$0, element) }
        }
        bytes.append(UInt8(ascii: "]"))
        isFirst = false
    }

    mutating func member(_ name: String, _ value: String) {
        begin(name)
        append(value)
    }

    mutating func member(_ name: String, _ value: Int) {
        begin(name)
        bytes.append("\(value)")
    }

    mutating func member(_ name: String, _ value: Bool) {
        begin(name)
        bytes.append(value ? "true" : "false")
    }

    /// The members `file` and `line`.
    mutating func place(_ line: SourceLine) {
        member("file", line.file)
        member("line", line.line)
    }

    /// The member `route`, where one was found.
    mutating func route(_ route: (name: String, line: SourceLine)?) {
        guard let route else { return }
        object("route") { output in
            output.member("name", route.name)
            output.place(route.line)
        }
    }

    mutating func member(_ name: String, _ values: [String]) {
        begin(name)
        bytes.append(UInt8(ascii: "["))
        for (index, value) in values.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            append(value)
        }
        bytes.append(UInt8(ascii: "]"))
    }

    private mutating func begin(_ name: String) {
        if !isFirst { bytes.append(UInt8(ascii: ",")) }
        isFirst = false
        append(name)
        bytes.append(UInt8(ascii: ":"))
    }

    private mutating func append(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": bytes.append("\\\"")
            case "\\": bytes.append("\\\\")
            case "\n": bytes.append("\\n")
            case "\r": bytes.append("\\r")
            case "\t": bytes.append("\\t")
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                bytes.append("\\u")
                bytes.append(hexadecimal: UInt64(scalar.value), digits: 4)
            default: bytes.append(String(Character(scalar)))
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
