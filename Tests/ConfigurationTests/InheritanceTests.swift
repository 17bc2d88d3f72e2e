import Authentication
import ConfigFile
import Configuration
import TestSupport
import Testing

/// What routes have from the file and from the group of their host.
@Suite struct InheritanceTests {
    private func read(_ text: String) -> (Settings, Diagnostics) {
        let base = """
            listen 127.0.0.1:1 { plaintext; }
            issuer sso { url https://sso.example; keys k.json; audience a; algorithms EdDSA; }
            authorizer gate { server 127.0.0.1:2; claim user Remote-User; }
            upstream app { server 127.0.0.1:3; }
            """
        let diagnostics = Diagnostics()
        let files = MemoryFiles(["f": base + text, "k.json": keySet, "p.html": "x"])
        return (Settings("f", files: files, environment: [:], processors: 1, diagnostics), diagnostics)
    }

    private func routes(_ text: String) throws -> [String] {
        let (settings, diagnostics) = read(text)
        try #require(diagnostics.messages == [])
        return settings.routeDirectives.map { $0.text() }
    }

    @Test func whatARouteSaysComesFirstAndTheRestIsAdded() throws {
        let routes = try routes(
            """
            set_header X-User $claim.user;
            set_header X_Zone 'a b';
            sign_in https://sso.example/?rd=$request.url;
            host a.example *.b.example {
                set_header x-zone inner;
                cors { origin https://page.example; }
                route /in/{x} { upstream app; auth sso; set_header X-Own $path.x; set_header X-USER own; }
                route /off { upstream app; auth gate; sign_in off; cors off; }
            }
            route /open { upstream app; public; }
            route /said { public; answer 200 ok; }
            """)
        #expect(
            routes == [
                "route /open {\n    upstream app;\n    public;\n    set_header X_Zone \"a b\";\n}\n",
                "route /said {\n    public;\n    answer 200 ok;\n}\n",
                "route /in/{x} {\n    host a.example *.b.example;\n    upstream app;\n    auth sso;\n    set_header X-Own $path.x;\n"
                    + "    set_header X-USER own;\n    sign_in https://sso.example/?rd=$request.url;\n    set_header x-zone inner;\n"
                    + "    cors {\n        origin https://page.example;\n    }\n}\n",
                "route /off {\n    host a.example *.b.example;\n    upstream app;\n    auth gate;\n    set_header X-User $claim.user;\n"
                    + "    set_header x-zone inner;\n}\n",
            ])
        // What is printed is a file that means the same.
        let again = try self.routes(routes.joined())
        #expect(again == routes)
    }

    @Test func fieldsOfResponsesAreAddedUnlessTheRouteSaysThemOtherwise() throws {
        let routes = try routes(
            """
            add_response_header Vary A; set_response_header X-One outer; remove_response_header Server X-Powered-By; hsts 365d; security_headers;
            route /a { upstream app; public; add_response_header Vary B; add_response_header X-One more; remove_response_header Server; }
            route /b { upstream app; public; remove_response_header X-Two x-one; set_response_header vary C; hsts off; security_headers off; }
            """)
        #expect(
            routes[0]
                == "route /a {\n    upstream app;\n    public;\n    add_response_header Vary B;\n    add_response_header X-One more;\n"
                + "    remove_response_header Server;\n    add_response_header Vary A;\n    set_response_header X-One outer;\n"
                + "    remove_response_header Server X-Powered-By;\n    hsts 365d;\n    security_headers;\n}\n")
        #expect(
            routes[1]
                == "route /b {\n    upstream app;\n    public;\n    remove_response_header X-Two x-one;\n    set_response_header vary C;\n"
                + "    remove_response_header Server X-Powered-By;\n}\n")
    }

    @Test func offTakesOneAwayFromAGroupToo() throws {
        let routes = try routes(
            """
            sign_in /login; hsts 1d; error_page 401 p.html;
            host a.example { sign_in off; route /a { upstream app; auth sso; error_page off; } route /b { upstream app; auth sso; sign_in /own; } }
            route /c { upstream app; auth sso; }
            """)
        #expect(!routes[1].contains("sign_in") && !routes[1].contains("error_page") && routes[1].contains("hsts"))
        #expect(routes[2].contains("sign_in /own;") && routes[0].contains("sign_in /login;") && routes[0].contains("error_page"))
    }

    @Test func aClaimThatTheCredentialCannotHaveIsNotInherited() throws {
        let routes = try routes(
            """
            set_header X-Sub $claim.sub; set_header X-User $claim.user;
            route /a { upstream app; auth gate; } route /b { upstream app; auth sso; } route /c { upstream app; auth any sso gate; }
            """)
        #expect(!routes[0].contains("X-Sub") && routes[0].contains("X-User"))
        #expect(routes[1].contains("X-Sub") && routes[2].contains("X-Sub"))
    }

    @Test(arguments: [
        ("host a.example { route /x { host b.example; upstream app; public; } }", "the group says the host already"),
        ("host a.example { } route / { upstream app; public; }", "this group has no route"),
        ("host a.example { upstream x; route / { upstream app; public; } }", "a group of a host has no directive 'upstream'"),
        ("host a.example; route / { upstream app; public; }", "'host' needs a block"),
        ("host A_.example { route / { upstream app; public; } } host { route /x { upstream app; public; } }", "'host' has 0 arguments"),
        ("set_header Host x; route / { upstream app; public; }", "the gateway itself sets or strips Host"),
        ("set_header X $path.x; route / { upstream app; public; }", "this route's path has no {x}"),
        ("set_header X a; set_header X b; route / { upstream app; public; }", "X is set twice"),
        ("route / { upstream app; public; set_response_header Content-Length 1; }", "frames or names the response"),
        (
            "route / { upstream app; public; cors { origin https://a; } add_response_header Access-Control-Max-Age 1; }",
            "the route's cors says"
        ),
        ("route / { upstream app; public; set_response_header X a; set_response_header x b; }", "X is set twice"),
        ("route / { upstream app; public; add_response_header X a sometimes; }", "'sometimes' is not understood here"),
        ("route / { upstream app; public; hsts 1d preload; }", "browsers preload only with a year and with subdomains"),
        ("route / { upstream app; public; hsts soon; }", "'soon' is not a time"),
        ("route / { upstream app; public; add_response_header X $claim.sub; }", "a public route has no $claim.sub"),
        ("set_header X $claim.usr; route / { upstream app; auth gate; }", "no route inherits this"),
        ("host a { set_header X $claim.usr; route / { upstream app; auth gate; } }", "no route inherits this"),
        ("token { query t; } route / { upstream app; auth sso; set_header X $request.url; }", "may hold a token"),
        ("token { cookie t; } route / { upstream app; auth sso; add_response_header X $cookie.t; }", "may hold a credential"),
        ("sign_in nowhere; route / { upstream app; auth sso; }", "a location begins with /"),
    ]) func complains(text: String, expected: String) {
        let messages = read(text).1.messages
        #expect(messages.contains { $0.contains(expected) }, "\(messages)")
    }
}
