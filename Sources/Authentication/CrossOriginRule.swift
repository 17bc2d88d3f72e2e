import Bytes
import ConfigFile
package import HTTPMessage

/// Whether a page of another origin may have a browser use a credential that it sends by itself: `csrf` and `csrf_origins` of `token`.
///
/// By the rule of Go's CrossOriginProtection. Browsers say with Sec-Fetch-Site whose page asks, and older ones with Origin; who says
/// neither is no browser, and has its credential from where it sends it on purpose.
package struct CrossOriginRule: Sendable {
    package enum Mode: Sendable {
        case on, off
        /// Refused too is what says neither.
        case strict
    }

    package let mode: Mode
    /// Origins whose pages may.
    package let allowed: Origins

    package init(_ mode: Mode = .on, allowed: [String] = []) {
        self.mode = mode
        var origins = Origins()
        for text in allowed { origins.insert(text) }
        self.allowed = origins
    }

    /// Reads the directives of `token { … }`.
    init(_ block: Block, _ diagnostics: Diagnostics) {
        mode = block.one("csrf")?.choice(["on": Mode.on, "off": .off, "strict": .strict], diagnostics) ?? .on
        allowed = Origins(block.all("csrf_origins").flatMap { $0.words("https://HOST[:PORT] …", diagnostics) }, diagnostics)
    }

    /// Whether a request with an ambient credential may pass.
    ///
    /// - Parameters:
    ///   - isUpgrade: whether it opens a tunnel, which lets a page talk whatever its method.
    ///   - authority: of the request's own origin; nil where it names none.
    package func allows(_ head: borrowing RequestHead, isUpgrade: Bool, authority: ByteRange?, isHTTPS: Bool) -> Bool {
        guard mode != .off else { return true }
        switch head.method {
        case .get, .head, .options: if !isUpgrade { return true }
        default: break
        }
        if head.fields.has(.secFetchSite) {
            var isOwn = head.fields.count(of: .secFetchSite) == 1
            for line in head.fields.lines where line.id == .secFetchSite {
                let site = head.bytes.extracting(line.value.range)
                if !site.equals("same-origin"), !site.equals("none") { isOwn = false }
            }
            return isOwn || allowed.name(originOf: head)
        }
        guard head.fields.has(.origin) else { return mode != .strict }
        return allowed.name(originOf: head) || isSame(head, authority, isHTTPS)
    }

    private func isSame(_ head: borrowing RequestHead, _ authority: ByteRange?, _ isHTTPS: Bool) -> Bool {
        guard let authority, let origin = Origins.origin(of: head) else { return false }
        return origin == Origins.origin(isHTTPS: isHTTPS, head.bytes.extracting(authority.range))
    }
}
