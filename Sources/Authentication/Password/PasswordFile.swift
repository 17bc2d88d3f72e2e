import Bytes
package import ConfigFile
import System

/// The users of a file as htpasswd writes it: `htpasswd NAME FILE;`.
package final class PasswordFile: Sendable {
    package let name: String
    package let line: SourceLine
    private let hashes: [String: PasswordHash]
    /// The first of the file: checked in place of that of a user who is not there, so that nobody learns from the time who is.
    private let stranger: PasswordHash

    package var users: [String] { hashes.keys.sorted() }

    /// Reads the directive and its file; nil when a part of it is wrong.
    package init?(_ directive: Directive, files: any FileSource, _ diagnostics: Diagnostics) {
        guard directive.takes(2...2, "NAME FILE", diagnostics) else { return nil }
        let errors = diagnostics.count
        let word = directive.arguments[1]
        let content: [UInt8]
        do {
            content = try files.read(diagnostics.path(of: word))
        } catch {
            diagnostics.error("cannot read \(error.path): \(error.reason)", at: word)
            return nil
        }
        var hashes: [String: PasswordHash] = [:]
        var first: PasswordHash?
        for (index, line) in content.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let text = String(decoding: line.filter { $0 != 0x0D }, as: UTF8.self)
            if text.isEmpty || text.hasPrefix("#") { continue }
            let place = "line \(index + 1) of \(word.text)"
            let parts = text.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count >= 2, !parts[0].isEmpty else {
                diagnostics.error("\(place) has no user and hash", at: word, hint: "a line is USER:HASH")
                continue
            }
            do {
                let hash = try PasswordHash(String(parts[1]))
                first = first ?? hash
                if hashes.updateValue(hash, forKey: String(parts[0])) != nil {
                    diagnostics.error("\(place): '\(parts[0])' stands twice", at: word)
                }
            } catch {
                diagnostics.error(
                    "\(place): the hash of '\(parts[0])' \(error == .malformed ? "is malformed" : "is of a method that is not safe, or not known here")",
                    at: word,
                    hint: "make one with: htpasswd -B -C 10, or openssl passwd -6")
            }
            if diagnostics.count > errors + 10 { return nil }
        }
        if hashes.isEmpty, diagnostics.count == errors {
            diagnostics.error("\(word.text) has no user", at: word, hint: "a line is USER:HASH")
        }
        guard diagnostics.count == errors, let stranger = first else { return nil }
        name = directive.arguments[0].text
        line = diagnostics.line(of: directive.position)
        self.hashes = hashes
        self.stranger = stranger
    }

    /// What to check a user's password with; a user who is not there has a hash too, and no password for it counts.
    func hash(of user: String) -> (hash: PasswordHash, isKnown: Bool) {
        hashes[user].map { ($0, true) } ?? (stranger, false)
    }
}

/// A file of passwords of the configuration, by its place among them.
package struct PasswordFileID: Hashable, Sendable {
    package let index: Int

    package init(_ index: Int) { self.index = index }
}
