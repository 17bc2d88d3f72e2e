import Authentication
import Authorization
import Benchmark
import Bytes
import ConfigFile
import Configuration
import Forwarding
import HTTP1
import HTTPMessage
import Policy
import RateLimiting
import Routing
import System
import TestSupport
import Time

// What one request costs in the parts that hold no socket. Each figure is for a thousand calls: microseconds are nanoseconds for one.
// Run by hand, from Benchmarks/run; never in a test.

/// Until the year 2100, by a key that was thrown away.
private let token =
    "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6ImJlbmNoIn0.eyJpc3MiOiJodHRwczovL3Nzby5leGFtcGxlLmNvbSIs"
    + "ImF1ZCI6ImFwaS5leGFtcGxlLmNvbSIsInN1YiI6IjAxOTdjMWYyLThhNTUtN2MzZS05ZDFiLTZmMmY2ZjBjMWEyYiIsInRva2Vu"
    + "X3R5cGUiOiJhY2Nlc3MiLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6NDEwMjQ0NDgwMCwic2NvcGVzIjpbInJlYWQ6b3JkZXJzIiwi"
    + "Y3JlYXRlOm9yZGVycyIsInJlYWQ6ZmlsZXMiLCJ1cGRhdGU6dXNlcnMvc2VsZiIsInJlYWQ6YmlsbGluZy9pbnZvaWNlcyJdLCJ0"
    + "ZW5hbnRfaWQiOiJhY21lIiwid29ya3NwYWNlX2lkIjoibWFpbiIsImFjciI6Im1mYSJ9.tdizySInqfUUhxDkmoO1ZnradlSDBSn"
    + "PEzxH_LXJ5iIQASiz5rpXXZP5u2LRXHVuqJRropGMUW5V-7GgixvLBA"
private let keySet = #"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"bench","x":"nJe8HKPHLcjY6KHTFCVUqLA2dG_SpobW2dcuYQ-WAM4"}]}"#

private func repeated(_ name: String, _ body: @escaping () throws -> Void) {
    benchmark("\(name), 1000 times") { for _ in 0..<1_000 { try body() } }
}

private let requestBytes = [UInt8](
    """
    GET /api/orders/4711/items?page=2 HTTP/1.1\r
    Host: api.example.com\r
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r
    Accept: application/json\r
    Accept-Encoding: gzip, br\r
    Accept-Language: en\r
    Authorization: Bearer \(token)\r
    Cookie: theme=dark; lang=en\r
    Connection: keep-alive\r
    \r

    """.utf8)

private let responseBytes = [UInt8](
    """
    HTTP/1.1 200 OK\r
    Server: nginx/1.22.1\r
    Date: Tue, 24 Nov 2026 22:00:00 GMT\r
    Content-Type: application/json\r
    Content-Length: 1024\r
    Connection: keep-alive\r
    ETag: "65f0-4711"\r
    Cache-Control: no-store\r
    \r

    """.utf8)

private let context = RequestContext()
private var requestParser = RequestParser()
private var responseParser = ResponseParser()
private var responseHead = ResponseHead()

repeated("head parse: request") { _ = try requestParser.parse(requestBytes.span, into: &context.head) }
repeated("head parse: answer") { _ = try responseParser.parse(responseBytes.span, into: &responseHead) }

_ = try requestParser.parse(requestBytes.span, into: &context.head)
_ = try responseParser.parse(responseBytes.span, into: &responseHead)
repeated("normalise") { try context.target.normalize(context.head, HeadLimits()) }

// Segments that are named and segments of any kind, as a file of many services has them.
for count in [10, 100, 1_000, 10_000] {
    let position = Position(file: 0, offset: 0, length: 1)
    var table = RouteTable()
    for index in 0..<count {
        let path = "/service\(index % 100)/part\(index)/*/items"
        let pattern = PathPattern(Word(text: path, position: position, isQuoted: false), Diagnostics())!
        _ = table.insert(pattern, hosts: [], PathDemand())
    }
    let wanted = count - 1
    let path = [UInt8]("/service\(wanted % 100)/part\(wanted)/4711/items".utf8)
    let found = RequestContext()
    try found.target.normalize(0..<path.count, of: path.span)
    guard try table.find(host: [], found.target) == wanted else { preconditionFailure("the route is not found") }
    let routes = table
    repeated("route among \(count)") { if try routes.find(host: [], found.target) != wanted { preconditionFailure() } }
}

// What somebody may have the gateway work for before anything is known of them: a target as long as may be, read in every way.
do {
    let piece = "/%5ca;b%2f%c0%af%2561//"
    let position = Position(file: 0, offset: 0, length: 1)
    var table = RouteTable()
    _ = table.insert(PathPattern(Word(text: "/**", position: position, isQuoted: false), Diagnostics())!, hosts: [], PathDemand())
    let routes = table
    var path = [UInt8]("/".utf8)
    while path.count + piece.utf8.count <= 8_000 { path += [UInt8](piece) }
    let found = RequestContext()
    repeated("readings of a path of 8,000 bytes") {
        try found.target.normalize(0..<path.count, of: path.span, segmentsMax: .max)
        _ = try? routes.find(host: [], found.target)
    }
}

private final class NoRequirements: RequirementAnswering {
    func answers(for claims: Claims, of credential: CredentialID) -> RequirementAnswers { RequirementAnswers() }
}

private let requirements = NoRequirements()
private let sources = TokenSources(sources: [.cookie([UInt8]("access_token".utf8)), .bearer])
private let authenticator = Authenticator(
    issuers: [
        Issuer(
            name: "sso", url: "https://sso.example.com", keys: .file("bench"), audiences: ["api.example.com"], algorithms: [.edDSA])
    ],
    sources: sources, cacheCapacity: 1_024,
    cacheHash: SipHash(key0: 1, key1: 2), requirements: requirements)
authenticator.tokens.replaceKeys(of: IssuerID(0), with: try KeySet([UInt8](keySet.utf8)))
private let rule = AuthenticationRule([.issuer(IssuerID(0))])
private let now: UInt64 = 1_800_000_000
guard case .identity(let identity) = try authenticator.tokens.verify(context.head, by: rule, at: now) else {
    preconditionFailure("the token is not good")
}
repeated("cached identity") { _ = try authenticator.tokens.verify(context.head, by: rule, at: now) }

/// Tokens that somebody made up: what they cost besides the check of their signature, which fails, is what an attacker gets for nothing.
private let keys = try KeySet([UInt8](keySet.utf8))
private let parts = token.split(separator: ".")
private let nested = String(repeating: #"{"a":[1,2,{"b":"c"}]},"#, count: 150) + "0"
private let forgeries = [
    ("560 bytes", "\(parts[0]).\(parts[1]).\(String(repeating: "A", count: 86))"),
    (
        "5 KiB of claims",
        "\(parts[0]).\(base64URL(#"{"x":[\#(nested)],"iss":"https://sso.example.com","sub":"a"}"#)).\(String(repeating: "A", count: 86))"
    ),
]

/// Text whose length is a multiple of three after spaces are added, as base64url without padding (RFC 4648 §5).
private func base64URL(_ text: String) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    var bytes = Array(text.utf8)
    while bytes.count % 3 != 0 { bytes.append(0x20) }
    var encoded: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = Int(bytes[start]) << 16 | Int(bytes[start + 1]) << 8 | Int(bytes[start + 2])
        for shift in [18, 12, 6, 0] { encoded.append(alphabet[group >> shift & 63]) }
    }
    return String(decoding: encoded, as: UTF8.self)
}

for (size, text) in forgeries {
    let forged = [UInt8](text.utf8)
    let jws = try CompactJWS(forged.span)
    repeated("signature of a forged token, \(size)") {
        guard (try? keys.verify(jws, forged.span)) == nil else { preconditionFailure("the signature is good") }
    }
    repeated("all of a forged token, \(size)") {
        guard case .pending = try authenticator.tokens.inspect(forged.span, at: now) else {
            preconditionFailure("it does not get as far as its signature")
        }
    }
}

private let words = LimitTable.words(forKeys: 65_536)
private let limits = LimitTable(try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 3, key1: 4))
private let quota = Quota(count: 1_000_000_000, window: .seconds(1))
private var moment: UInt64 = 1_000_000_000
repeated("GCRA: one key") {
    moment += 1
    _ = limits.admit(4_711, quota, now: moment)
}
private var key: UInt64 = 0
repeated("GCRA: 10,000 keys") {
    key = key % 10_000 + 1
    moment += 1
    _ = limits.admit(key &* 0x9E37_79B9_7F4A_7C15, quota, now: moment)
}

private var output = ByteQueue()
private let origin = DownstreamOrigin(peer: [UInt8]("192.0.2.7".utf8), isPeerTrusted: false, isTLS: true, addresses: nil)
private let value = Template(Word(text: "user-1", position: Position(file: 0, offset: 0, length: 0), isQuoted: false), Diagnostics())!
private let header = ForwardingRule.Header(name: "X-User-Id", value: value)
private let forwarding = ForwardingRule(upstream: UpstreamID(0), headers: [header])
private let outgoing = OutgoingHead(
    context, FieldFilter(headers: ["X-User-Id"], hiding: sources.places), ForwardedFields(), forwarding, from: origin)
outgoing.begin(identity, forwarding, from: origin, tunnelLines: [])
try outgoing.render()
private let shape = RequestShape(method: .get, framing: .none, upgrade: nil)
context.identify([UInt8]("0123456789abcdef0123456789abcdef".utf8).span)
repeated("head write: request") {
    output.removeAll()
    try outgoing.write(shape, to: &output)
}
private let requestID = FieldStart("X-Request-Id", isFleeting: true)
repeated("head write: answer") {
    output.removeAll()
    ResponseHeadWriter.write(responseHead, framing: .length(1_024), nil, to: &output)
    output.begin(requestID)
    output.append(context.requestID)
    output.end()
    ResponseHeadWriter.end(keepAlive: true, .http11, to: &output)
}

// A thousand test cases of a file of a hundred routes; the time is of all of them.
private let testedFile =
    """
    listen 127.0.0.1:1 { plaintext; }
    issuer sso { url https://sso.example.com; keys https://sso.example.com/keys; audience api; algorithms EdDSA; scope_match usso; }
    upstream app { server 127.0.0.1:2; }

    """
    + (0..<100).map {
        "route /service\($0)/{id}/** { upstream app; auth sso; scope read:service\($0); set_header X-User-Id $claim.sub; }\n"
    }
    .joined() + "test all { as clerk { scopes read:service7; claim sub clerk; }\n"
    + (0..<1_000).map {
        $0 % 100 == 7
            ? "allow clerk GET /service7/\($0)/x header X-User-Id clerk;\n"
            : "refuse clerk GET /service\($0 % 100)/\($0)/x scope_missing;\n"
    }
    .joined() + "}\n"
private let tested = Settings("f", files: MemoryFiles(["f": testedFile]), environment: [:], processors: 1, Diagnostics())
precondition(tested.tests.first?.cases.count == 1_000, "the file of the benchmark is wrong")
benchmark("policy tests: 1000 cases") {
    let run = PolicyTestRun(tested, at: 1_800_000_000)
    precondition(run.failures.isEmpty, "a case of the benchmark fails")
}

Benchmark.main()
