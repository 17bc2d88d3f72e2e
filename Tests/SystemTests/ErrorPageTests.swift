import Foundation
import TestSockets
import Testing

/// Pages for browsers in place of the gateway's own words: `error_page`.
@Suite(.serialized) struct ErrorPageTests {
    private static let html = ["-H", "Accept: text/html,application/xhtml+xml,*/*;q=0.8"]

    private func stage(_ version: String) throws -> Stage {
        let stage = try Stage(version: version)
        try stage.folder.write("page.html", "<p>$status $reason $request.id</p><script>$('#x'); $statuses; $5</script>")
        try stage.folder.write("inner.htm", "inner $status")
        try stage.folder.write("gone.html", "gone")
        try stage.gateway.rewrite(
            stage.configuration(
                """
                error_page 400 401 403 404 502 page.html;
                route /a/** { upstream app; auth sso; scope create:orders; }
                route /b/** { upstream app; auth sso; error_page 401 @DIR@/inner.htm; }
                route /gone { public; answer 410; error_page 410 gone.html; }
                route /down { upstream down; public; }
                """, "upstream down { server 127.0.0.1:\(Ports.free()); }"))
        #expect(stage.gateway.reload())
        return stage
    }

    @Test(arguments: HTTPVersions.all) func browsersAreShownThePage(version: String) throws {
        let stage = try stage(version)
        let missing = try stage.gateway.curl("/a/1", Self.html)
        #expect(missing.status == 401 && missing["content-type"] == "text/html; charset=utf-8" && missing["www-authenticate"] != nil)
        let id = missing["x-request-id"] ?? "?"
        #expect(missing.body == "<p>401 token_missing \(id)</p><script>$('#x'); $statuses; $5</script>")
        let poor = try stage.gateway.curl("/a/1", Self.html + ["-H", "Authorization: Bearer \(try stage.signer.token())"])
        #expect(poor.status == 403 && poor.body.hasPrefix("<p>403 scope_missing "))
        #expect(try stage.gateway.curl("/b/1", Self.html).body == "inner 401")
        #expect(try stage.gateway.curl("/down", Self.html).body.hasPrefix("<p>502 upstream_connect_failed "))
        // A bare status that a route answers.
        #expect(try stage.gateway.curl("/gone", Self.html).body == "gone")
        // Where no route is found, the file's.
        #expect(try stage.gateway.curl("/none", Self.html).body.hasPrefix("<p>404 no_route "))
        #expect(try stage.gateway.curl("/a%00", Self.html).body.hasPrefix("<p>400 target_"))
        let head = try stage.gateway.curl("/a/1", Self.html + ["-I"])
        #expect(head.status == 401 && head["content-length"] == "\(missing.body.utf8.count)")
    }

    @Test(arguments: HTTPVersions.all) func othersKeepTheirForm(version: String) throws {
        let stage = try stage(version)
        for accept in ["*/*", "application/json", "text/html;q=0"] {
            let answer = try stage.gateway.curl("/a/1", ["-H", "Accept: \(accept)"])
            #expect(answer.status == 401 && answer["content-type"] == "application/problem+json", "\(accept)")
        }
        if version == HTTPVersions.two {
            let call = try stage.gateway.curl("/a.B/C", Self.html + ["-H", "Content-Type: application/grpc", "-X", "POST"])
            #expect(call["grpc-status"] != nil && call.body.isEmpty)
        }
        #expect(try stage.gateway.curl("/gone").body.contains("route_answer"))
    }

    @Test(arguments: [
        ("error_page 401 none.html;", "cannot read"), ("error_page 200 page.html;", "'200' is not the status of a refusal"),
        ("error_page 401 page.txt;", "an error page is a file of HTML"), ("error_page page.html;", "'error_page' has 1 arguments"),
        ("error_page 401 page.html; error_page 401 403 page.html;", "401 has two error pages"),
        ("error_page 401 large.html;", "at most 256 KiB"),
    ]) func complains(directive: String, expected: String) throws {
        let stage = try Stage()
        try stage.folder.write("page.html", "x")
        try stage.folder.write("large.html", String(repeating: "x", count: 300_000))
        let text = stage.configuration("route /** { upstream app; public; \(directive) }")
        let output = try stage.check(text)
        #expect(output.status == 1 && output.errors.contains(expected), "\(output.errors)")
    }
}
