import Foundation
import TestSockets
import Testing

/// What routes say in responses: `add_response_header`, `set_response_header`, `remove_response_header`, `hsts`, `security_headers`.
@Suite(.serialized) struct ResponseFieldTests {
    private func stage(_ version: String) throws -> (stage: Stage, plain: Int) {
        let (site, plain) = (Ports.free(), Ports.free())
        let stage = try Stage(
            version: version,
            routes: """
                security_headers; hsts 365d subdomains; add_response_header X-File file always; add_response_header X-Some some;
                remove_response_header X-Powered-By;
                route /** { upstream site; auth sso; set_response_header X-Theirs $claim.sub; add_response_header X-Path $request.path always; }
                route /open/** {
                    upstream site; public; set_response_header X-File open always; set_response_header Cache-Control private always;
                    add_response_header X-Missing $header.x-none; add_response_header X-Bad $query.bad; security_headers off; hsts off;
                }
                route /own { upstream site; public; set_response_header Referrer-Policy no-referrer; remove_response_header X-Frame-Options; }
                route /own-always { public; answer 200 x; set_response_header Referrer-Policy no-referrer always; }
                route /said { public; answer 200 said; }
                """,
            general: "upstream site { server 127.0.0.1:\(site); } listen 127.0.0.1:\(plain) { plaintext; }",
            servers: """
                server { listen 127.0.0.1:\(site); add_header X-Theirs theirs always; add_header X-Powered-By PHP always;
                         add_header X-Frame-Options DENY always; location / { return 200 ok; } }
                """, serverPorts: [site])
        return (stage, plain)
    }

    @Test(arguments: HTTPVersions.all) func theyStandInTheUpstreamsResponses(version: String) throws {
        let (stage, plain) = try stage(version)
        let token = ["-H", "Authorization: Bearer \(try stage.signer.token(subject: "ann"))"]
        let answer = try stage.gateway.curl("/a/%7Eb", token)
        #expect(answer.status == 200 && answer["x-theirs"] == "ann" && answer["x-path"] == "/a/~b" && answer["x-powered-by"] == nil)
        #expect(
            answer["x-file"] == "file" && answer["x-some"] == "some"
                && answer["strict-transport-security"] == "max-age=31536000; includeSubDomains")
        // The upstream's own word is the stronger one, where it is only completed.
        #expect(answer["x-frame-options"] == "DENY" && answer["x-content-type-options"] == "nosniff")
        #expect(answer["referrer-policy"] == "strict-origin-when-cross-origin")
        let open = try stage.gateway.curl("/open/a?bad=a%0D%0AX-Evil:1")
        #expect(open.status == 200 && open["x-file"] == "open" && open["x-theirs"] == "theirs" && open["x-frame-options"] == "DENY")
        // A value that is missing, or that no field can carry, is left out.
        #expect(open["x-missing"] == nil && open["x-bad"] == nil && open["x-evil"] == nil)
        #expect(open["strict-transport-security"] == nil && open["x-content-type-options"] == nil && open["cache-control"] == "private")
        // A browser pays no heed to it in clear, and nobody may say it there.
        let clear = try stage.gateway.curl("/a", token, scheme: "http", port: plain)
        #expect(clear["x-file"] == "file" && clear["strict-transport-security"] == nil)
    }

    @Test(arguments: HTTPVersions.all) func andInTheGatewaysOwnWhereTheFileSaysAlways(version: String) throws {
        let (stage, _) = try stage(version)
        let refused = try stage.gateway.curl("/a")
        #expect(refused.status == 401 && refused["x-file"] == "file" && refused["x-path"] == "/a" && refused["x-some"] == nil)
        #expect(refused["x-theirs"] == nil && refused["x-frame-options"] == "SAMEORIGIN" && refused["www-authenticate"] != nil)
        #expect(refused["strict-transport-security"] == "max-age=31536000; includeSubDomains" && refused["cache-control"] == "no-store")
        // What the route answers by itself is its response.
        let said = try stage.gateway.curl("/said")
        #expect(said.status == 200 && said["x-file"] == "file" && said["x-some"] == "some" && said["x-content-type-options"] == "nosniff")
        // A request that no route is found for.
        let wrong = try stage.gateway.curl("/a%00b")
        #expect(wrong.status == 400 && wrong["x-file"] == "file" && wrong["x-frame-options"] == "SAMEORIGIN")
    }

    @Test(arguments: HTTPVersions.all) func whatARouteSaysItselfIsNotCompleted(version: String) throws {
        let (stage, plain) = try stage(version)
        for path in ["/own", "/own-always"] {
            let client = try RawClient(port: plain)
            client.send("GET \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            let text = client.read().lowercased()
            #expect(
                text.components(separatedBy: "referrer-policy: ").count == 2 && text.contains("referrer-policy: no-referrer"), "\(text)")
        }
        #expect(try stage.gateway.curl("/own")["x-frame-options"] == nil)
    }

    @Test func aFieldIsThereOnce() throws {
        let (stage, plain) = try stage(HTTPVersions.one)
        let client = try RawClient(port: plain)
        client.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        let text = client.read()
        func count(_ name: String) -> Int { text.lowercased().components(separatedBy: "\r\n\(name): ").count - 1 }
        #expect(
            count("x-frame-options") == 2 && count("cache-control") == 2 && count("x-file") == 2 && count("x-content-type-options") == 1)
        _ = stage
    }
}
