import Authentication
import Bytes
import ConfigFile

/// `sticky cookie NAME { … }`: a client goes on with the server that answered it first, which a cookie names by a mark that only the gateways
/// can make, and that says nothing of the server's address.
package final class StickyCookie: Sendable {
    package let name: String
    private let path: String
    let variable: Variable
    private let secret: SharedSecret
    /// What follows the value.
    private let attributes: [UInt8]

    /// Nil where a part of it is wrong.
    init?(_ directive: Directive, files: any FileSource, _ diagnostics: Diagnostics) {
        let errors = diagnostics.count
        let words = directive.arguments
        guard words.count == 2, words[0].text == "cookie", directive.block != nil else {
            diagnostics.error(
                "sticky needs a cookie and a secret", at: directive.name, hint: "write: sticky cookie NAME { secret FILE; }")
            return nil
        }
        name = words[1].text
        if name.isEmpty || !name.utf8.allSatisfy(ASCII.isToken) {
            diagnostics.error("'\(name)' is not the name of a cookie", at: words[1], hint: "use letters, digits, - and _")
        }
        variable = .cookie(name)
        let block = Block(of: directive, title: "sticky", diagnostics)
        let file = block.one("secret")
        let path = block.one("path")?.word("/PATH", diagnostics)
        self.path = path?.text ?? "/"
        if let path, path.text.first != "/" || !path.text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x3B }) {
            diagnostics.error("'\(path.text)' is not the path of a cookie", at: path, hint: "write a path that begins with /")
        }
        let age = block.one("max_age")?.duration(diagnostics, in: .seconds(1)...(.seconds(400 * 86_400)))
        let sites = ["lax": "Lax", "strict": "Strict", "none": "None"]
        let site = block.one("same_site")?.choice(sites, diagnostics) ?? "Lax"
        block.finish()
        // Browsers take no such cookie otherwise (RFC 6265bis §4.1.3).
        if name.hasPrefix("__Host-"), let path, path.text != "/" {
            diagnostics.error("the path of a cookie whose name begins with __Host- is /", at: path)
        }
        let maxAge = age.map { "; Max-Age=\($0.components.seconds)" } ?? ""
        attributes = [UInt8]("; Path=\(self.path)\(maxAge); Secure; HttpOnly; SameSite=\(site)\r\n".utf8)
        guard let file else {
            diagnostics.error(
                "sticky has no secret", at: directive.name,
                hint: "add: secret FILE; with 32 bytes or more, the same for all gateways; make one with: openssl rand -base64 48")
            return nil
        }
        guard let read = Issuer.SecretFile(file, diagnostics),
            let secret = SharedSecret(read, at: file.arguments[0], files: files, diagnostics)
        else { return nil }
        self.secret = secret
        if diagnostics.count > errors { return nil }
    }

    /// The value of the cookie for a server: the same in all gateways that have the secret. A character of Base64 has six bits: 128 in all.
    func mark(of server: String, in upstream: String) -> [UInt8] {
        Base64URL.encode(Array(secret.digest([UInt8]("sticky\u{0}\(upstream)\u{0}\(server)".utf8)).prefix(16)))
    }

    /// The field line that gives a client its server's mark. Source: RFC 6265 §4.1.
    func line(_ mark: [UInt8]) -> [UInt8] { [UInt8]("Set-Cookie: \(name)=".utf8) + mark + attributes }
}
