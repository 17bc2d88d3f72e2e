import Foundation
import TestSockets
import Testing

/// Where a browser without a good credential goes: `sign_in`, and `on_refusal follow` of an authorizer.
@Suite(.serialized) struct SignInTests {
    private static let navigation = ["-H", "Sec-Fetch-Mode: navigate", "-H", "Sec-Fetch-Dest: document", "-H", "Accept: text/html"]

    private func stage(_ version: String, _ authorizer: ScriptedAuthorizer? = nil) throws -> Stage {
        try Stage(
            version: version,
            routes: """
                route /** { upstream app; auth sso; sign_in https://sso.example.com/login?rd=$request.url; }
                route /orders/** { upstream app; auth sso; scope create:orders; sign_in /login?rd=$request.uri; }
                route /gate/** { upstream app; auth gate; sign_in /login; }
                route /follow/** { upstream app; auth follower; sign_in /login; }
                route /none/** { upstream app; auth sso; }
                """,
            general: """
                authorizer gate { server 127.0.0.1:\(authorizer?.port ?? 1); pass_response Set-Cookie; }
                authorizer follower { server 127.0.0.1:\(authorizer?.port ?? 1); pass_response Set-Cookie; on_refusal follow; }
                """)
    }

    @Test(arguments: HTTPVersions.all) func onlyNavigationsAreSentToSignIn(version: String) throws {
        let stage = try stage(version)
        let gateway = stage.gateway!
        let location = "https://sso.example.com/login?rd=https%3A%2F%2F127.0.0.1%3A\(gateway.port)%2Fa%2F~b%3Fx%3D1%26y"
        let page = try gateway.curl("/a/%7Eb?x=1&y", Self.navigation)
        #expect(page.status == 302 && page["location"] == location && page["cache-control"] == "no-store" && page.body.isEmpty)
        // A browser that says nothing of itself, and HEAD.
        #expect(try gateway.curl("/a", ["-H", "Accept: text/html,*/*;q=0.8"]).status == 302)
        #expect(try gateway.curl("/a", Self.navigation + ["-I"]).status == 302)
        // A token that is no good is none.
        let old = try ["-H", "Cookie: access_token=\(stage.signer.token(expiresIn: -600))"]
        #expect(try gateway.curl("/a", Self.navigation + old).status == 302)
        #expect(try gateway.curl("/orders/1", Self.navigation)["location"] == "/login?rd=%2Forders%2F1")
        let others: [[String]] = [
            [], ["-H", "Accept: */*"], ["-H", "Accept: text/html;q=0, */*"], ["-H", "Accept: application/json"],
            ["-H", "Accept: text/html", "-H", "X-Requested-With: XMLHttpRequest"],
            ["-H", "Accept: text/html", "-H", "Sec-Fetch-Mode: cors", "-H", "Sec-Fetch-Dest: empty"],
            ["-H", "Accept: text/html", "-H", "Sec-Fetch-Mode: navigate", "-H", "Sec-Fetch-Dest: iframe"],
            ["-H", "Accept: text/html", "-H", "Sec-Fetch-Site: same-origin"],
            Self.navigation + ["-H", "Sec-Purpose: prefetch"], Self.navigation + ["-H", "Purpose: prefetch"],
            Self.navigation + ["-d", "x=1"],
            ["-H", "Accept: text/event-stream"], ["-X", "OPTIONS", "-H", "Accept: text/html"],
        ]
        for arguments in others {
            let answer = try gateway.curl("/a", arguments)
            #expect(answer.status == 401 && answer["www-authenticate"] != nil && answer["location"] == nil, "\(arguments)")
        }
        // Who is known and may not is not sent to sign in again; nor is anybody where the route does not say so.
        let poor = try ["-H", "Authorization: Bearer \(stage.signer.token(scopes: ["read:orders"]))"]
        #expect(try gateway.curl("/orders/1", Self.navigation + poor).status == 403)
        #expect(try gateway.curl("/none/1", Self.navigation).status == 401)
    }

    @Test func otherProtocolsGetTheirOwnForm() throws {
        let stage = try stage(HTTPVersions.one)
        let socket = try stage.gateway.curl(
            "/a", ["-H", "Accept: text/html", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13"])
        #expect(socket.status == 401)
        stage.gateway.version = HTTPVersions.two
        let call = try stage.gateway.curl("/a.B/C", ["-H", "Content-Type: application/grpc", "-X", "POST", "-H", "TE: trailers"])
        #expect(call.status == 200 && call["grpc-status"] == "16" && call["location"] == nil)
    }

    @Test(arguments: HTTPVersions.all) func anAuthorizerSaysWhere(version: String) throws {
        let mode = Box("")
        let authorizer = try ScriptedAuthorizer { _ in
            switch mode.value {
            case "401": ScriptedAuthorizer.response(401, ["Location: https://auth.example/?rd=x", "Set-Cookie: csrf=1"])
            case "302": ScriptedAuthorizer.response(302, ["Location: https://auth.example/?rd=x", "Set-Cookie: csrf=1"])
            case "403": ScriptedAuthorizer.response(403, ["Location: https://auth.example/?rd=x"])
            default: ScriptedAuthorizer.response(401)
            }
        }
        let gateway = try stage(version, authorizer)
        for status in ["401", "302"] {
            mode.value = status
            let followed = try gateway.gateway.curl("/follow/a", Self.navigation)
            #expect(followed.status == 302 && followed["location"] == "https://auth.example/?rd=x" && followed["set-cookie"] == "csrf=1")
            #expect(try gateway.gateway.curl("/follow/a").status == 401)
            #expect(try gateway.gateway.curl("/gate/a", Self.navigation)["location"] == "/login")
        }
        mode.value = "403"
        #expect(try gateway.gateway.curl("/follow/a", Self.navigation).status == 403)
        mode.value = "bare"
        #expect(try gateway.gateway.curl("/follow/a", Self.navigation)["location"] == "/login")
    }

    /// Who says that a browser asks fails all the same.
    @Test func failuresCountAlsoWhereTheyLeadToSignIn() throws {
        let stage = try Stage(
            routes: "route /** { upstream app; auth sso; limit guesses; sign_in /login; }",
            general: "limit guesses { rate 2/hour; key $client.ip; count_status 401; }", workers: 1)
        var statuses: [Int] = []
        for number in 0..<4 { statuses.append(try stage.gateway.curl("/\(number)", Self.navigation).status) }
        #expect(statuses == [302, 302, 429, 429])
    }

    @Test(arguments: HTTPVersions.all) func anAuthorizersWordOutweighsATokens(version: String) throws {
        let authorizer = try ScriptedAuthorizer { _ in
            ScriptedAuthorizer.response(401, ["Location: https://auth.example/", "Set-Cookie: csrf=1"])
        }
        let stage = try Stage(
            version: version, routes: "route /a { upstream app; auth any gate sso; } route /b { upstream app; auth any sso gate; }",
            general: "authorizer gate { server 127.0.0.1:\(authorizer.port); on_refusal follow; pass_response Set-Cookie; }")
        let old = try ["-H", "Cookie: access_token=\(stage.signer.token(expiresIn: -600))"]
        for path in ["/a", "/b"] {
            let answer = try stage.gateway.curl(path, Self.navigation + old)
            #expect(answer.status == 302 && answer["location"] == "https://auth.example/" && answer["set-cookie"] == "csrf=1", "\(path)")
        }
    }

    @Test(arguments: [
        ("route /a { upstream app; public; sign_in /x; }", "a public route asks nobody to sign in"),
        ("route /a { upstream app; auth sso; sign_in $header.x; }", "a location begins with / or with https://HOST/"),
        ("route /a { upstream app; auth sso; sign_in /x?u=$claim.sub; }", "who has to sign in has no $claim.sub"),
        ("route /a { upstream app; auth sso; sign_in /x?u=$cookie.access_token; }", "$cookie.access_token may hold a credential"),
        ("route /a { upstream app; auth sso; sign_in; }", "'sign_in' has 0 arguments"),
    ]) func complains(route: String, expected: String) throws {
        let stage = try Stage()
        let output = try stage.check(stage.configuration("route /** { upstream app; public; } " + route))
        #expect(output.status == 1 && output.errors.contains(expected), "\(output.errors)")
    }
}
