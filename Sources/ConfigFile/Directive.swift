/// A word of the file: bare or quoted, with the environment already put in.
package struct Word: Sendable {
    package let text: String
    package let position: Position
    package let isQuoted: Bool

    package init(text: String, position: Position, isQuoted: Bool) {
        self.text = text
        self.position = position
        self.isQuoted = isQuoted
    }
}

/// `name argument … ;` or `name argument … { … }`.
package struct Directive: Sendable {
    package let name: Word
    package let arguments: [Word]
    /// What stands between the braces; nil when the directive ends with `;`.
    package let block: [Directive]?

    package init(name: Word, arguments: [Word], block: [Directive]?) {
        self.name = name
        self.arguments = arguments
        self.block = block
    }

    /// From the first word to the last one before `;` or `{`.
    package var position: Position {
        let last = arguments.last?.position ?? name.position
        guard last.file == name.position.file else { return name.position }
        return Position(
            file: name.position.file, offset: name.position.offset,
            length: last.offset + last.length - name.position.offset)
    }
}
