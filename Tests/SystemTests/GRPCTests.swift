import Foundation
import Glibc
import TestSockets
import Testing

/// gRPC through the gateway, with grpcio on both sides.
@Suite(.serialized) struct GRPCTests {
    private static let routes = """
        route /test.Echo/** { upstream echo; auth sso; scope read:orders; set_header X-User-Id $claim.sub; }
        route /slow.Echo/** { upstream echo; auth sso; limit few; add_prefix /test.Echo; strip_prefix /slow.Echo; }
        route /none.Echo/** { upstream nobody; auth sso; }
        route /** { upstream app; public; }
        """

    private struct Parts {
        let stage: Stage
        let server: Program

        func call(_ options: String...) throws -> [String: Any] {
            try Executable.peer("grpc_peer", ["call", "\(stage.gateway.port)", "\(stage.folder.path)/localhost.crt"] + options)
        }
    }

    /// - Parameter behindNginx: whether the gateway's upstream is nginx, which hands on to the server.
    private func parts(behindNginx: Bool = false) throws -> Parts {
        let (port, nginx) = (Ports.free(), Ports.free())
        let stage = try Stage(
            routes: Self.routes,
            general: """
                limit few { rate 2/hour; key $claim.sub; }
                access_log @DIR@/access.log;
                upstream echo { server 127.0.0.1:\(behindNginx ? nginx : port); protocol h2; }
                upstream nobody { server 127.0.0.1:9; protocol h2; }
                """, workers: 1,
            servers: """
                server { listen 127.0.0.1:\(nginx) http2; location / { grpc_pass grpc://127.0.0.1:\(port); grpc_set_header TE $http_te; } }
                """, serverPorts: [nginx])
        return Parts(stage: stage, server: try Executable.peerServer("grpc_peer", port, in: stage.folder))
    }

    @Test(arguments: [false, true]) func allKindsOfCallsPassWithTrailersDeadlinesAndErrors(behindNginx: Bool) throws {
        let parts = try parts(behindNginx: behindNginx)
        let token = try parts.stage.signer.token(subject: "caller")
        let outcome = try parts.call("token=\(token)", "calls=unary,down,up,both,deadline,fail")
        let unary = outcome["unary"] as? [String: Any] ?? [:]
        let answer = unary["answer"] as? [String: String] ?? [:]
        #expect(answer["text"] == "hello", "\(outcome)")
        #expect(answer["user"] == "caller")
        #expect(unary["trailers"] as? [String: String] == ["x-sum": "42"])
        #expect(outcome["down"] as? Int == 500)
        #expect(outcome["up"] as? Int == 500_000)
        #expect(outcome["both"] as? [String] == (0..<20).map { String("message \($0)".reversed()) })
        let deadline = outcome["deadline"] as? Double ?? 0
        #expect(deadline > 0 && deadline < 8)
        let failure = outcome["fail"] as? [String: Any] ?? [:]
        #expect(failure["code"] as? Int == 9)
        #expect(failure["details"] as? String == "not now")
    }

    /// A client of gRPC understands no problem document, also where its head is what is refused.
    @Test func aHeadThatIsTooLargeIsAStatusToo() throws {
        let stage = try Stage(routes: "route /** { upstream app; public; } route /in { upstream app; auth sso; }")
        let answer = try stage.gateway.curl(
            "/test.Echo/Unary",
            ["-d", "x", "-H", "Content-Type: application/grpc", "-H", "X-Large: \(String(repeating: "a", count: 40_000))"])
        #expect(answer.status == 200)
        #expect(answer["grpc-status"] == "8", "\(answer)")
        #expect(answer["content-type"] == "application/grpc")
    }

    @Test func refusalsReachTheClientAsStatuses() throws {
        let parts = try parts()
        func code(_ options: String...) throws -> (Int, String, Int?) {
            let outcome = try Executable.peer(
                "grpc_peer", ["call", "\(parts.stage.gateway.port)", "\(parts.stage.folder.path)/localhost.crt"] + options)
            let unary = outcome["unary"] as? [String: Any] ?? [:]
            return (unary["code"] as? Int ?? 0, unary["details"] as? String ?? "\(outcome)", unary["retry"] as? Int)
        }
        let missing = try code()
        #expect(missing.0 == 16)
        #expect(missing.1.contains("token_missing"), "\(missing.1)")
        let scope = try code("token=\(try parts.stage.signer.token(scopes: ["read:other"]))")
        #expect(scope.0 == 7)
        #expect(scope.1.contains("scope_missing"))
        let token = try parts.stage.signer.token(subject: "eager")
        for _ in 0..<2 { #expect(try code("token=\(token)", "service=/slow.Echo/").0 == 0) }
        let limited = try code("token=\(token)", "service=/slow.Echo/")
        #expect(limited.0 == 8)
        #expect(limited.1.contains("limit_exceeded"))
        // One of two an hour.
        #expect((1_700...1_800).contains(limited.2 ?? 0) && missing.2 == nil, "\(limited)")
        let gone = try code("token=\(token)", "service=/none.Echo/")
        #expect(gone.0 == 14)
        #expect(gone.1.contains("upstream_connect_failed"))
        // The log has the status of HTTP that a browser would have got.
        #expect(eventually { parts.stage.folder.read("access.log").contains("\"status\":401") })
    }

    @Test func aStreamEndsWithItsCredential() throws {
        let parts = try parts()
        let token = try parts.stage.signer.token(expiresIn: -26)
        let outcome = try parts.call("token=\(token)", "calls=forever")
        let forever = outcome["forever"] as? [String: Any] ?? [:]
        #expect(forever["received"] as? [String] == ["first"], "\(outcome)")
        #expect(forever["code"] as? Int == 16)
        #expect(forever["details"] as? String == "the access token has expired")
        #expect(eventually { parts.stage.folder.read("access.log").contains("\"reason\":\"credential_expired\"") })
    }

    @Test func anUpstreamThatDiesIsUnavailableAndComesBack() throws {
        let parts = try parts()
        let token = try parts.stage.signer.token()
        #expect(try parts.call("token=\(token)")["unary"] is [String: Any])
        parts.server.signal(SIGKILL)
        #expect(eventually { !parts.server.isRunning })
        let outcome = try parts.call("token=\(token)")
        #expect((outcome["unary"] as? [String: Any])?["code"] as? Int == 14, "\(outcome)")
    }
}
