import ConfigFile

/// Who asks a server, and the password, which may change while the gateway runs: `username`, `password` and `password_file`.
package final class RedisLogin {
    private let username: String?
    /// Nil where the server wants to know nothing.
    private var password: String?
    /// The file that it is read from; nil where it stands in the configuration.
    package let passwordFile: String?

    /// Reads the directives of a block.
    init(_ block: Block, files: any FileSource, _ diagnostics: Diagnostics) {
        let user = block.one("username")
        let inline = block.one("password")
        let file = block.one("password_file")
        if let file, inline != nil {
            diagnostics.error("there are a password and a password_file", at: file.name, hint: "remove one of them")
        }
        if let user, inline == nil, file == nil {
            diagnostics.error("a username needs a password", at: user.name, hint: "add: password_file FILE;")
        }
        username = user?.word("NAME", diagnostics)?.text
        password = inline?.word("PASSWORD", diagnostics)?.text
        guard let word = file?.word("FILE", diagnostics) else {
            passwordFile = nil
            return
        }
        let path = diagnostics.path(of: word)
        passwordFile = path
        do {
            password = Self.text(try files.read(path))
            if password == nil { diagnostics.error("\(word.text) is empty", at: word) }
        } catch {
            diagnostics.error("cannot read \(error.path): \(error.reason)", at: word)
        }
    }

    /// What a connection begins with; nil for nothing.
    var command: [String]? { password.map { password in username.map { ["AUTH", $0, password] } ?? ["AUTH", password] } }

    /// The file has another content.
    ///
    /// - Returns: whether that is another password.
    func replace(_ content: [UInt8]) -> Bool {
        guard let text = Self.text(content), text != password else { return false }
        password = text
        return true
    }

    /// Without the newline at its end; nil for nothing.
    private static func text(_ content: [UInt8]) -> String? {
        let text = String(decoding: content, as: UTF8.self)
        let bare = text.last?.isNewline == true ? String(text.dropLast()) : text
        return bare.isEmpty ? nil : bare
    }
}
