@testable import Authentication
import Authorization
import Bytes
import ConfigFile
@testable import Configuration
@testable import Policy
import HTTP1
import HTTPMessage
import Routing
import TestSupport
import Testing

/// What a configuration decides about a request, without a worker.
@Suite struct PolicyTests {
    private static let file = """
        listen 127.0.0.1:1 { plaintext; }
        issuer sso { url https://sso.example.com; keys /k.json; audience a; algorithms EdDSA; }
        token { cookie access_token; header Authorization; }
        upstream app { server 127.0.0.1:2; }
        route /open { upstream app; public; max_body_size 1k; }
        route /orders/{id} { upstream app; auth sso; method GET { scope read:orders; } method PUT { scope write:orders; require $claim.sub = $path.id; } }
        route /chat { upstream app; auth sso; scope chat; upgrade websocket { scope talk; } cors { origin https://app.example.com; } }
        route example.com/host { upstream app; public; }
        """.replacing("route example.com/host {", with: "route /host { host example.com;")

    private let settings: Settings
    private let policy: Policy

    init() throws {
        let keys = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"kid\":\"a\"}]}"
        let diagnostics = Diagnostics()
        settings = Settings("f", files: MemoryFiles(["f": Self.file, "/k.json": keys]), environment: [:], processors: 1, diagnostics)
        try #require(diagnostics.isEmpty, "\(diagnostics.messages)")
        policy = Policy(settings)
    }

    /// A request as the worker has it when it asks.
    private func context(_ lines: [String]) throws -> RequestContext {
        let context = RequestContext()
        var parser = RequestParser()
        let bytes = [UInt8]((lines + ["", ""]).joined(separator: "\r\n").utf8)
        guard case .complete = try parser.parse(bytes.span, into: &context.head) else { throw MessageError.badRequestLine }
        context.begin(clientIP: [UInt8]("192.0.2.1".utf8), isHTTPS: true)
        if let place = context.head.fields.first(.host)?.value, let named = NamedHost(place, in: context.head.bytes) {
            context.serve(named.authority, at: place, of: context.head.bytes)
        }
        return context
    }

    private func match(_ context: RequestContext, _ form: Policy.Form) throws(Refusal) -> Policy.Outcome {
        try policy.match(context.head, form, &context.target, in: context)
    }

    private func routeMatch(_ lines: [String], _ form: Policy.Form = Policy.Form()) throws -> RouteMatch {
        guard case .match(let match) = try match(try context(lines), form) else { throw MessageError.badRequestLine }
        return match
    }

    /// The route's name, or the reason of the refusal or the reply.
    private func outcome(_ lines: String..., form: Policy.Form = Policy.Form()) throws -> String {
        let context = try context(lines)
        do throws(Refusal) {
            switch try match(context, form) {
            case .match(let match): return match.route.name
            case .reply(let reply): return reply.reason
            }
        } catch {
            return error.reason
        }
    }

    private func identity(_ subject: String, scopes: String, kind: CredentialKind = .field) -> Identity {
        let claims = Claims(
            .object([
                JSONValue.Member(name: "sub", value: .string(subject)), JSONValue.Member(name: "scope", value: .string(scopes)),
            ]))
        let principal = Principal(
            .issuer(IssuerID(0)), subject: subject, claims: claims, expiry: .max,
            answers: settings.requirements.answers(for: claims, of: .issuer(IssuerID(0))), token: nil)
        return Identity(principal, kind: kind)
    }

    @Test func findsTheRouteAndWhatItTakes() throws {
        #expect(try outcome("GET /open HTTP/1.1", "Host: a") == "/open")
        #expect(try outcome("GET /orders/./7 HTTP/1.1", "Host: a") == "/orders/{id}")
        #expect(try outcome("GET /host HTTP/1.1", "Host: Example.COM.") == "example.com/host")
        #expect(try outcome("GET /host HTTP/1.1", "Host: example.org") == "no_route")
        #expect(try outcome("GET /nothing HTTP/1.1", "Host: a") == "no_route")
        #expect(try outcome("DELETE /orders/7 HTTP/1.1", "Host: a") == "method_not_allowed")
        #expect(try outcome("PURGE /orders/7 HTTP/1.1", "Host: a") == "method_not_allowed")
        #expect(try outcome("TRACE /open HTTP/1.1", "Host: a") == "method_not_implemented")
        #expect(try outcome("OPTIONS * HTTP/1.1", "Host: a") == "about_server")
        #expect(try outcome("GET /orders/a%2fb HTTP/1.1", "Host: a") == "target_ambiguous_path")
        #expect(try outcome("GET /%zz HTTP/1.1", "Host: a").hasPrefix("target_"))
        #expect(try outcome("POST /open HTTP/1.1", "Host: a", form: Policy.Form(framing: .length(1_025))) == "body_too_large")
        #expect(try outcome("POST /open HTTP/1.1", "Host: a", form: Policy.Form(framing: .length(1_024))) == "/open")
        let preflight = ["OPTIONS /chat HTTP/1.1", "Host: a", "Access-Control-Request-Method: GET"]
        #expect(try outcome(preflight[0], preflight[1], preflight[2], "Origin: https://app.example.com") == "preflight")
        #expect(try outcome(preflight[0], preflight[1], preflight[2], "Origin: https://evil.example") == "cors_refused")
    }

    @Test func aTunnelHasDemandsOfItsOwn() throws {
        let upgrade = ["GET /chat HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: WebSocket"]
        let tunnel = try routeMatch(upgrade)
        #expect(tunnel.upgrade?.name == [UInt8]("WebSocket".utf8) && tunnel.upgrade?.needsWebSocketKey == false)
        #expect(tunnel.rule === tunnel.route.tunnelRule)
        // With a body, or over HTTP/2, Upgrade means nothing.
        #expect(try routeMatch(upgrade, Policy.Form(framing: .length(1))).upgrade == nil)
        #expect(try routeMatch(upgrade, Policy.Form(isHTTP2: true)).upgrade == nil)
        let plain = try routeMatch(["GET /chat HTTP/1.1", "Host: a"])
        #expect(plain.upgrade == nil && plain.rule === plain.route.anyMethod)
        let connect = Policy.Form(isHTTP2: true, extendedProtocol: [UInt8]("websocket".utf8))
        #expect(try routeMatch(["GET /chat HTTP/1.1", "Host: a"], connect).upgrade?.needsWebSocketKey == true)
        #expect(
            try outcome("GET /chat HTTP/1.1", "Host: a", form: Policy.Form(isHTTP2: true, extendedProtocol: [UInt8]("x".utf8)))
                == "protocol_not_offered")
        #expect(
            try outcome("GET /open HTTP/1.1", "Host: a", form: Policy.Form(isHTTP2: true, extendedProtocol: [UInt8]("websocket".utf8)))
                == "protocol_not_offered")
    }

    @Test func anIdentityMeetsTheDemandsOrDoesNot() throws {
        func reason(_ method: String, _ identity: Identity) throws -> String? {
            let context = try context(["\(method) /orders/alice HTTP/1.1", "Host: a"])
            do throws(Refusal) {
                guard case .match(let match) = try match(context, Policy.Form()) else { return "no match" }
                let permit = try policy.authorize(identity, match, in: context)
                #expect(permit.identity != nil && permit.route == match.route.id)
                return nil
            } catch {
                return error.reason
            }
        }
        #expect(try reason("GET", identity("bob", scopes: "read:orders")) == nil)
        #expect(try reason("GET", identity("bob", scopes: "write:orders")) == "scope_missing")
        #expect(try reason("PUT", identity("alice", scopes: "read:orders write:orders")) == nil)
        #expect(try reason("PUT", identity("bob", scopes: "read:orders write:orders")) == "rule_unmet")
    }

    @Test func aPageOfAnotherOriginHasNoUseOfACookie() throws {
        func reason(_ kind: CredentialKind) throws -> String? {
            let context = try context(["PUT /orders/a HTTP/1.1", "Host: a", "Origin: https://evil.example"])
            do throws(Refusal) {
                guard case .match(let match) = try match(context, Policy.Form()) else { return "no match" }
                _ = try policy.authorize(identity("a", scopes: "write:orders", kind: kind), match, in: context)
                return nil
            } catch {
                return error.reason
            }
        }
        #expect(try reason(.field) == nil)
        #expect(try reason(.cookie) == "csrf_refused")
    }
}
