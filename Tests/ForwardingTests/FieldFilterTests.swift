import Authentication
import Bytes
@testable import Forwarding
import HTTPMessage
import TestSupport
import Testing

@Suite struct FieldFilterTests {
    private let filter = FieldFilter(
        headers: ["X-User-Id", "Remote.Groups"],
        hiding: TokenSources(sources: [.cookie([UInt8]("token".utf8)), .bearer, .field([UInt8]("x-api-key".utf8))]).places)
    /// Every byte of a name that is no letter or digit (RFC 9110 §5.6.2).
    private let separators = "!#$%&'*+-.^_`|~"

    private func passes(_ line: String, hasIdentity: Bool = true, isTrusted: Bool = false, authorizations: Int = 1) throws -> Bool {
        let head = try Heads.request("GET / HTTP/1.1", line)
        let sender = FieldFilter.Sender(
            hasIdentity: hasIdentity, speaks: isTrusted ? [.proxy, .trusted] : [], authorizations: authorizations)
        return filter.verdict(on: head.fields.lines[0], in: head.bytes, from: sender) == .keep
    }

    private func passes(trailer name: String) -> Bool {
        let bytes = [UInt8](name.utf8)
        return filter.passes(trailer: bytes.span)
    }

    @Test func noSpellingOfAManagedNamePasses() throws {
        for first in separators {
            for second in separators {
                #expect(try !passes("x\(first)uSer\(second)ID: root"))
                #expect(!passes(trailer: "x\(first)user\(second)id"))
            }
            for name in [
                "Remote\(first)Groups", "X\(first)Api\(first)Key", "Content\(first)Length", "X\(first)Forwarded\(first)For",
                "X\(first)Request\(first)Id",
            ] {
                #expect(try !passes("\(name): x", isTrusted: true), "\(name)")
            }
        }
        for name in ["X-User-Ids", "X-UserId", "XUser-Id", "X-User--Id", "Y-User-Id"] { #expect(try passes("\(name): x"), "\(name)") }
    }

    @Test func whatOnlyAProxyMayTellPassesOnlyFromOne() throws {
        let names = [
            "X-Forwarded-Ssl", "X-Forwarded-Scheme", "X-Forwarded-Uri", "X-Forwarded-User", "X-Forwarded-Anything", "X-Original-URL",
            "X-Rewrite-URL", "True-Client-IP", "Front-End-Https",
        ]
        for name in names {
            #expect(try !passes("\(name): x"), "\(name)")
            #expect(try !passes("\(name): x", hasIdentity: false), "\(name)")
            #expect(try passes("\(name): x", isTrusted: true), "\(name)")
            for separator in "_.~" {
                let other = name.replacing("-", with: String(separator))
                #expect(try !passes("\(other): x", isTrusted: true), "\(other)")
                #expect(!passes(trailer: other), "\(other)")
            }
        }
        for name in ["X-Forwarded-Host", "X-Forwarded-Prefix", "X-Forwarded-Port", "X-Real-IP", "Forwarded"] {
            #expect(try !passes("\(name): x", isTrusted: true), "\(name)")
        }
    }

    @Test func oneCredentialOfAnotherSchemeGoesOnOrNone() throws {
        for value in [
            "Basic YWxpY2U6eA==", "Basic YWxpY2U6eA", "Digest username=\"a, b\", realm=\"x\", nc=00000001", "Negotiate", "NTLM TlRM",
            "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host;x-amz-date, Signature=0",
        ] {
            #expect(try passes("Authorization: \(value)"), "\(value)")
        }
        for value in [
            "Bearer x", "bearer x", "BEARER\tx", "Basic x, Bearer B", "Basic x,Bearer B", "Basic x Bearer B", "Digest a=b, Bearer B",
            "DPoP x",
            "Digest u=\"x, Bearer B\"", "Basic  x y", "Digest a=b,", "Basic x;y", "Basic x,y", "Digest a=b c=d", "Basic \u{e4}",
        ] {
            #expect(try !passes("Authorization: \(value)"), "\(value)")
        }
        #expect(try !passes("Authorization: Basic YWxpY2U6eA==", authorizations: 2))
        // Where no token is looked for in it and none let the request in, it is the service's own.
        let cookies = FieldFilter(headers: [], hiding: TokenSources(sources: [.cookie([UInt8]("token".utf8))]).places)
        let head = try Heads.request("GET / HTTP/1.1", "Authorization: Basic x, Bearer B")
        #expect(
            cookies.verdict(
                on: head.fields.lines[0], in: head.bytes, from: FieldFilter.Sender(hasIdentity: false, speaks: [], authorizations: 1))
                == .keep)
    }

    @Test(arguments: [
        ("theme=dark; token=T; lang=de", "theme=dark; lang=de"), ("token=T; a=1", "a=1"), ("a=1; token=T", "a=1"), ("token=T", ""),
        ("flag; a=1", "flag; a=1"),
        ("flag", "flag"), ("a=1;b=2;token=T;c", "a=1;b=2;c"), ("a=\"x y\";  token=T;  b", "a=\"x y\";  b"), ("a=1;;b=2", "a=1;;b=2"),
        ("=x; token = T; a", "=x; a"),
        ("token; a", "a"), ("Token=x; a", "Token=x; a"), ("a=1; ", "a=1;"), (";token=T;", ";"),
    ])
    func allButTheNamedCookiesGoOnAsTheyCame(value: String, expected: String) throws {
        let head = try Heads.request("GET / HTTP/1.1", "Cookie: \(value)")
        var output = ByteQueue()
        filter.appendCookies(head.fields.lines[0], in: head.bytes, to: &output)
        #expect(output.readable.text == (expected.isEmpty ? "" : "Cookie: \(expected)\r\n"))
    }
}
