import Time
import Authentication
import Bytes
import CLinux
import HTTPMessage
import System
import TLS

/// Gets one document, blocking.
protocol DocumentFetching: Sendable {
    var url: String { get }
    func run() throws(KeySetFetch.Failure) -> KeySetFetch.Document
}

/// Fetches one document over https, blocking; runs on a thread of its own, never on a loop.
///
/// One request on one connection, without redirects: a key set has one address, and the file names it.
struct KeySetFetch: DocumentFetching {
    struct Document: Sendable {
        let bytes: [UInt8]
        /// Seconds for which it is fresh, by its Cache-Control; nil when it does not say.
        let maxAge: UInt64?
    }

    struct Failure: Error, Sendable {
        let reason: String
    }

    let url: String
    /// The certificates to trust; nil for the system's trust store.
    let trustedPEM: [UInt8]?
    let proxy: KeyProxy?

    func run() throws(Failure) -> Document {
        guard let (host, port, path) = Self.parts(of: url) else { throw Failure(reason: "\(url) is not an https URL") }
        let context: ClientContext
        do {
            context = try ClientContext(trustedPEM: trustedPEM, certificate: nil)
        } catch {
            throw Failure(reason: error.explanation)
        }
        var last = Failure(reason: "\(host) has no address")
        let authority = port == 443 ? host : "\(host):\(port)"
        let request =
            "GET \(path) HTTP/1.1\r\nHost: \(authority)\r\nAccept: application/jwk-set+json, application/json\r\n"
            + "Accept-Encoding: identity\r\nUser-Agent: portcullis\r\nConnection: close\r\n\r\n"
        let (place, placePort) = proxy.map { ($0.host, $0.port) } ?? (host, port)
        let tunnel = proxy.map {
            HTTPSClient.Tunnel(authority: "\(host.contains(":") ? "[\(host)]" : host):\(port)", authorization: $0.authorization)
        }
        if proxy != nil { last = Failure(reason: "the proxy \(place) has no address") }
        // A few addresses, each with a time of its own: the first may lead nowhere.
        for address in NameLookup(host: place).run().prefix(3) {
            let client = HTTPSClient(context, bodyBytesMax: Limits.keySetBytesMax, within: fetchMax)
            do {
                return try document(of: try client.exchange(request, with: host, at: .ip(address, port: placePort), through: tunnel))
            } catch {
                last = Failure(reason: error.reason)
            }
        }
        throw last
    }

    private func document(of response: consuming HTTPSClient.Response) throws(HTTPSClient.Failure) -> Document {
        if 300..<400 ~= response.head.status, let location = response.field("location") {
            throw HTTPSClient.Failure(
                reason:
                    "the key server answered \(response.head.status) and names \(location); redirects are not followed: write that address as keys"
            )
        }
        guard response.head.status == 200 else { throw HTTPSClient.Failure(reason: "the key server answered \(response.head.status)") }
        if let coding = response.field("content-encoding"), coding.lowercased() != "identity" {
            throw HTTPSClient.Failure(reason: "the key server answered in the coding \(coding), which was not asked for")
        }
        return Document(bytes: response.body, maxAge: maxAge(response.head))
    }

    private func maxAge(_ head: borrowing ResponseHead) -> UInt64? {
        for line in head.fields.lines where head.bytes.extracting(line.name.range).equalsIgnoringCase("cache-control") {
            var elements = ListElements(range: line.value.range)
            while let element = elements.next(in: head.bytes) {
                let directive = head.bytes.extracting(element)
                if directive.equalsIgnoringCase("no-store") || directive.equalsIgnoringCase("no-cache") { return 0 }
                if directive.count > 8, directive.extracting(0..<8).equalsIgnoringCase("max-age=") {
                    return directive.extracting(8..<directive.count).decimal(max: 1 << 32)
                }
            }
        }
        return nil
    }

    /// Host, port and path of `https://host[:port]/path`.
    static func parts(of url: String) -> (host: String, port: UInt16, path: String)? {
        guard url.hasPrefix("https://") else { return nil }
        let rest = url.dropFirst(8)
        let slash = rest.firstIndex(where: { $0 == "/" || $0 == "?" }) ?? rest.endIndex
        let authority = String(rest[..<slash])
        var path = String(rest[slash...])
        if !path.hasPrefix("/") { path = "/" + path }
        let authorityBytes = [UInt8](authority)
        guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), Authority(authorityBytes.span) != nil
        else {
            return nil
        }
        if let (host, port) = SocketAddress.split(authority) { return (host, port, path) }
        let host = authority.hasPrefix("[") ? String(authority.dropFirst().dropLast()) : authority
        return host.contains(":") && !authority.hasPrefix("[") ? nil : (host, 443, path)
    }
}

private let fetchMax = Nanoseconds.seconds(4)
