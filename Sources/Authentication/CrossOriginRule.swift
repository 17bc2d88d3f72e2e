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
    /// Origins that may do it, in the form of ``origin(_:)``.
    private let allowed: Set<[UInt8]>

    package init(_ mode: Mode = .on, allowed: [String] = []) {
        self.mode = mode
        self.allowed = Set(
            allowed.compactMap { text in
                let bytes = [UInt8](text)
                return Self.origin(bytes.span)
            })
    }

    /// Reads the directives of `token { … }`.
    init(_ block: Block, _ diagnostics: Diagnostics) {
        mode = block.one("csrf")?.choice(["on": Mode.on, "off": .off, "strict": .strict], diagnostics) ?? .on
        var origins: Set<[UInt8]> = []
        for word in block.all("csrf_origins").flatMap({ $0.words("https://HOST[:PORT] …", diagnostics) }) {
            let bytes = [UInt8](word.text)
            guard let origin = Self.origin(bytes.span) else {
                diagnostics.error("'\(word.text)' is not an origin", at: word, hint: "write https://app.example.com, without a path")
                continue
            }
            origins.insert(origin)
        }
        allowed = origins
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
            return isOwn || isAllowed(head)
        }
        guard head.fields.has(.origin) else { return mode != .strict }
        return isAllowed(head) || isSame(head, authority, isHTTPS)
    }

    private func isAllowed(_ head: borrowing RequestHead) -> Bool {
        guard !allowed.isEmpty, head.fields.count(of: .origin) == 1, let range = head.value(.origin),
            let origin = Self.origin(head.bytes.extracting(range))
        else { return false }
        return allowed.contains(origin)
    }

    private func isSame(_ head: borrowing RequestHead, _ authority: ByteRange?, _ isHTTPS: Bool) -> Bool {
        guard head.fields.count(of: .origin) == 1, let authority, let range = head.value(.origin),
            let origin = Self.origin(head.bytes.extracting(range))
        else { return false }
        return origin == Self.origin(isHTTPS: isHTTPS, head.bytes.extracting(authority.range))
    }

    /// An origin in one form: lower case, the port always told. Source: RFC 6454 §6.
    private static func origin(_ text: Span<UInt8>) -> [UInt8]? {
        let scheme = text.hasPrefix("https://") ? 8 : text.hasPrefix("http://") ? 7 : 0
        guard scheme > 0 else { return nil }
        return origin(isHTTPS: scheme == 8, text.extracting(scheme..<text.count))
    }

    private static func origin(isHTTPS: Bool, _ bytes: Span<UInt8>) -> [UInt8]? {
        guard let authority = Authority(bytes) else { return nil }
        var origin: [UInt8] = isHTTPS ? [0x73] : []
        authority.appendHost(of: bytes, to: &origin)
        origin.append(0x3A)
        origin.append(decimal: UInt64(authority.port ?? (isHTTPS ? 443 : 80)))
        return origin
    }
}
