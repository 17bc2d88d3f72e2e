import Foundation
import TestSockets
import Testing

/// What of a client's own credentials and fields reaches a service: `forward_token`, `keep_cookie`, `remove_header`.
@Suite(.serialized) struct PassedCredentialTests {
    private func stage(_ version: String) throws -> Stage {
        try Stage(
            version: version,
            routes: """
                remove_header X-User-Id;
                route /** { upstream app; auth sso; }
                route /open/** { upstream app; public; }
                route /as/** { upstream app; public; forward_token as_received; }
                route /as-in/** { upstream app; auth sso; forward_token as_received; }
                route /bearer/** { upstream app; auth sso; forward_token bearer; }
                route /set/** { upstream app; public; set_header Authorization 'Basic c2V0'; }
                route /sign-in/** { upstream app; public; keep_cookie access_token; set_header X-Odd mine; remove_header X_odd; }
                route /h2/** { upstream two; public; keep_cookie access_token; forward_token as_received; }
                """,
            general: "upstream two { server 127.0.0.1:\(two); protocol h2; }",
            servers:
                "server { listen 127.0.0.1:\(two) http2; location / { return 200 '{\"cookie\":\"$http_cookie\",\"authorization\":\"$http_authorization\",\"user\":\"$http_x_user_id\"}'; } }",
            serverPorts: [two])
    }

    private let two = Ports.free()
    private let basic = ["-H", "Authorization: Basic YTpi"]

    @Test(arguments: HTTPVersions.all) func authorizationIsJudgedForEachRoute(version: String) throws {
        let stage = try stage(version)
        let token = try stage.signer.token()
        let bearer = ["-H", "Authorization: Bearer \(token)"]
        let foreign = ["-H", "Authorization: Bearer theirs"]
        func seen(_ path: String, _ arguments: [String]) throws -> String? {
            let answer = try stage.gateway.curl(path, arguments)
            return answer.status == 200 ? answer.echoed("authorization") : "\(answer.status)"
        }
        // Other routes set or forward one: Basic goes on all the same.
        #expect(try seen("/open/a", basic) == "Basic YTpi" && seen("/open/a", foreign) == "")
        #expect(try seen("/as/a", basic) == "Basic YTpi" && seen("/as/a", foreign) == "Bearer theirs" && seen("/as/a", []) == "")
        #expect(try seen("/h2/a", foreign) == "Bearer theirs")
        // Of two nobody could say which one a service goes by.
        #expect(try seen("/as/a", basic + ["-H", "Authorization: Basic eDp5"]) == "")
        // A token that let the request in is the gateway's.
        #expect(try seen("/as-in/a", bearer) == "")
        #expect(try seen("/as-in/a", ["-H", "Cookie: access_token=\(token)"] + foreign) == "")
        #expect(try seen("/bearer/a", bearer) == "Bearer \(token)")
        #expect(try seen("/bearer/a", ["-H", "Cookie: access_token=\(token)"] + basic) == "Bearer \(token)")
        #expect(try seen("/set/a", basic) == "Basic c2V0" && seen("/set/a", []) == "Basic c2V0")
    }

    @Test(arguments: HTTPVersions.all) func aRouteKeepsACookie(version: String) throws {
        let stage = try stage(version)
        let cookies = ["-H", "Cookie: a=1; access_token=secret; b=2"]
        #expect(try stage.gateway.curl("/open/a", cookies).echoed("cookie") == "a=1; b=2")
        #expect(try stage.gateway.curl("/sign-in/a", cookies).echoed("cookie") == "a=1; access_token=secret; b=2")
        #expect(try stage.gateway.curl("/h2/a", cookies).echoed("cookie") == "a=1; access_token=secret; b=2")
    }

    @Test(arguments: HTTPVersions.all) func aFieldIsRemovedUnderEverySpelling(version: String) throws {
        let stage = try stage(version)
        for name in ["X-User-Id", "x-user-id", "X_User_Id"] {
            let answer = try stage.gateway.curl("/open/a", ["-H", "\(name): theirs"])
            #expect(answer.status == 200 && answer.echoed("user") == "", "\(name)")
            #expect(try stage.gateway.curl("/h2/a", ["-H", "\(name): theirs"]).echoed("user") == "")
        }
        #expect(try stage.gateway.curl("/open/a", ["-H", "X-Other: theirs", "-H", "X-Odd: theirs"]).status == 200)
        // What the route sets itself is there all the same.
        #expect(try stage.gateway.curl("/sign-in/a", ["-H", "X-Odd: theirs"]).echoed("odd") == "mine")
    }

    @Test(arguments: [
        ("public; forward_token bearer;", "a public route has no token to forward"),
        ("auth gate; forward_token bearer;", "an authorizer gives no token to forward"),
        ("public; keep_cookie other;", "every service gets the cookie other anyway"),
        ("public; remove_header Host;", "the gateway itself sets or strips Host"),
    ]) func complains(directives: String, expected: String) throws {
        let stage = try Stage()
        let text = stage.configuration("authorizer gate { server 127.0.0.1:1; } route /** { upstream app; \(directives) }")
        let output = try stage.check(text)
        #expect(output.status == 1 && output.errors.contains(expected), "\(output.errors)")
    }
}
