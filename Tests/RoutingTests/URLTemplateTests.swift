import Bytes
import ConfigFile
import HTTP1
import HTTPMessage
import Routing
import TestSupport
import Testing

/// URLs with variables in them, and the variables of the URL that was asked for.
@Suite struct URLTemplateTests {
    private func word(_ text: String) -> Word { Word(text: text, position: Position(file: 0, offset: 0, length: 1), isQuoted: true) }

    private func context(_ target: String, isHTTPS: Bool = true, _ fields: String...) throws -> RequestContext {
        let context = RequestContext()
        context.begin(clientIP: [UInt8]("192.0.2.1".utf8), isHTTPS: isHTTPS)
        let lines = ["GET \(target) HTTP/1.1", "Host: A.example:8443"] + fields
        let bytes = [UInt8]((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
        var parser = RequestParser()
        _ = try parser.parse(bytes.span, into: &context.head)
        try context.normalize()
        return context
    }

    private func rendered(_ template: String, _ context: RequestContext) throws -> String {
        let template = try #require(URLTemplate(location: word(template), Diagnostics()))
        return String(decoding: try template.rendered(in: context) { $0 == "sub" ? [UInt8]("a/b".utf8) : nil }, as: UTF8.self)
    }

    @Test func valuesLeadNowhereElse() throws {
        let context = try context("/a/%7Eb//c?x=1&y=%2F&y=%2F")
        #expect(
            try rendered("https://sso.example/?rd=$request.url&m=$request.method", context)
                == "https://sso.example/?rd=https%3A%2F%2FA.example%3A8443%2Fa%2F~b%2F%2Fc%3Fx%3D1%26y%3D%252F%26y%3D%252F&m=GET")
        #expect(try rendered("https://$request.host$request.uri", context) == "https://a.example/a/~b//c?x=1&y=%2F&y=%2F")
        #expect(
            try rendered("$request.scheme://new.example$request.path?from=$request.uri", context).hasSuffix(
                "/a/~b//c?from=%2Fa%2F~b%2F%2Fc%3Fx%3D1%26y%3D%252F%26y%3D%252F"))
        #expect(try rendered("/old$request.path", context) == "/old/a/~b//c")
        #expect(try rendered("/u/$(claim.sub)/$query.y", context) == "/u/a%2Fb/%2F")
        #expect(throws: URLTemplate.UnusableValue.self) { try rendered("/u/$(claim.none)/x", context) }
        #expect(throws: URLTemplate.UnusableValue.self) { try rendered("/u/$query.z", context) }
        let dots = try self.context("/?x=..")
        #expect(throws: URLTemplate.UnusableValue.self) { try rendered("/u/$(query.x)/x", dots) }
    }

    @Test(arguments: [
        "$request.uri", "/$request.uri", "/$request.path", "$request.url", "https://$query.x/", "https://a.example$query.x", "$header.x",
        "//a.example/", "/\\a", "ftp://a.example/", "https://user@a.example/", "https://a.example:x/", "a b", "",
    ])
    func whatCouldLeadElsewhereIsNoLocation(text: String) {
        let diagnostics = Diagnostics()
        #expect(URLTemplate(location: word(text), diagnostics) == nil && !diagnostics.isEmpty)
    }

    @Test func variablesOfTheURL() throws {
        let context = try context("/a/./b?x=a+b%26&z&x=a%20b%26&w=1&w=2&%79=3", isHTTPS: false)
        func value(_ name: String) -> String? {
            Variable(name).flatMap { context.value(of: $0) }.map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(value("request.scheme") == "http" && value("request.path") == "/a/b")
        #expect(value("request.uri") == "/a/b?x=a+b%26&z&x=a%20b%26&w=1&w=2&%79=3")
        #expect(value("request.url") == "http://A.example:8443/a/b?x=a+b%26&z&x=a%20b%26&w=1&w=2&%79=3")
        #expect(value("request.query") == "x=a+b%26&z&x=a%20b%26&w=1&w=2&%79=3")
        // Two values of one name are none: a service might take the other one.
        #expect(value("query.x") == "a b&" && value("query.z") == "" && value("query.w") == nil && value("query.y") == "3")
        #expect(value("query.v") == nil)
        let bare = try self.context("/")
        #expect(Variable("request.query").flatMap { bare.value(of: $0) } == nil)
        #expect(Variable("query.x").flatMap { bare.value(of: $0) } == nil)
    }
}

extension RequestContext {
    /// As `Policy` does it.
    fileprivate func normalize() throws { try Self.normalize(head, &target, self) }

    private static func normalize(_ head: borrowing RequestHead, _ target: inout RequestTarget, _ context: RequestContext) throws {
        try target.normalize(head.targetRange.range, of: head.bytes)
        let envelope = try head.envelope()
        if let host = envelope.host { context.serve(host.authority, at: host.place, of: head.bytes) }
    }
}
