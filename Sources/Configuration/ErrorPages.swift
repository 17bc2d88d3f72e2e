import ConfigFile
import HTTPMessage

/// The pages that browsers are shown in place of the gateway's own words: `error_page STATUS … FILE;`. Kept in memory.
package final class ErrorPages: Sendable {
    private enum Part: Hashable, Sendable {
        case text([UInt8])
        /// `$status`, `$reason`, `$request.id`.
        case status, reason, requestID
    }

    private let pages: [Int: [Part]]

    private init(_ pages: [Int: [Part]]) { self.pages = pages }

    /// Reads the directives of a block; nil where it has none that is right.
    convenience init?(_ directives: [Directive], files: any FileSource, _ diagnostics: Diagnostics) {
        var pages: [Int: [Part]] = [:]
        for directive in directives {
            if let word = directive.arguments.first(where: { $0.text.hasPrefix("=") || $0.text.hasPrefix("@") }) {
                diagnostics.error(
                    "an error page is a file, and not another place", at: word, hint: "in nginx error_page 401 = @NAME; here: sign_in URL;")
                continue
            }
            guard directive.takes(2...Int.max, "STATUS … FILE", diagnostics), let file = directive.arguments.last else { continue }
            let name = file.text.lowercased()
            guard name.hasSuffix(".html") || name.hasSuffix(".htm") else {
                diagnostics.error(
                    "an error page is a file of HTML, .html", at: file, hint: "other clients get their own form of the refusal")
                continue
            }
            let content: [UInt8]
            do {
                content = try files.read(diagnostics.path(of: file))
            } catch {
                diagnostics.error("cannot read \(error.path): \(error.reason)", at: file)
                continue
            }
            if content.count > Limits.errorPageBytesMax {
                diagnostics.error("an error page has at most \(Limits.errorPageBytesMax >> 10) KiB", at: file)
            }
            for word in directive.arguments.dropLast() {
                guard let status = Int(word.text), 400...599 ~= status else {
                    diagnostics.error("'\(word.text)' is not the status of a refusal", at: word, hint: "write one from 400 to 599")
                    continue
                }
                if pages[status] != nil { diagnostics.error("\(status) has two error pages", at: word) }
                pages[status] = Self.parts(content)
            }
        }
        if pages.isEmpty { return nil }
        self.init(pages)
    }

    /// The page of a status; nil where there is none.
    package func page(_ status: Int, reason: String, requestID: [UInt8]) -> [UInt8]? {
        guard let parts = pages[status] else { return nil }
        var page: [UInt8] = []
        for part in parts {
            switch part {
            case .text(let text): page += text
            case .status: page += [UInt8](String(status).utf8)
            // Both are letters, digits and a few signs that mean nothing in HTML.
            case .reason: page += [UInt8](reason.utf8)
            case .requestID: page += requestID.filter { !"<>&\"'".utf8.contains($0) }
            }
        }
        return page
    }

    /// Only these names are variables: a page may hold scripts, in which a `$` has its own meaning.
    private static func parts(_ content: [UInt8]) -> [Part] {
        var parts: [Part] = []
        var text: [UInt8] = []
        var index = 0
        while index < content.count {
            let found = names.first { content[index...].starts(with: $0.text) && !isName(content, index + $0.text.count) }
            guard let found else {
                text.append(content[index])
                index += 1
                continue
            }
            if !text.isEmpty { parts.append(.text(text)) }
            text = []
            parts.append(found.part)
            index += found.text.count
        }
        if !text.isEmpty { parts.append(.text(text)) }
        return parts
    }

    /// Whether a longer name goes on here.
    private static func isName(_ content: [UInt8], _ index: Int) -> Bool {
        guard index < content.count else { return false }
        let byte = content[index] | 0x20
        return UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "0")...UInt8(ascii: "9") ~= content[index]
            || content[index] == UInt8(ascii: "_")
    }

    private static let names: [(text: [UInt8], part: Part)] = [
        ([UInt8]("$status".utf8), .status), ([UInt8]("$reason".utf8), .reason), ([UInt8]("$request.id".utf8), .requestID),
    ]
}
