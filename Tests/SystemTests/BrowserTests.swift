import Foundation
import Glibc
import TestSockets
import Testing

/// A browser, with an HTTP-only cookie, on a page that opens an EventSource and a WebSocket through the gateway.
@Suite(.serialized) struct BrowserTests {
    private static let page = """
        <!doctype html><title>page</title><script>
        const told = {cookie: document.cookie};
        const tell = () => { if (told.events && told.socket) fetch("/report?" + new URLSearchParams(told)); };
        const events = new EventSource("/events/x");
        events.onmessage = event => { told.events = event.data; events.close(); tell(); };
        const socket = new WebSocket(`wss://${location.host}/ws/x`);
        socket.onmessage = event => { if (!told.hello) { told.hello = event.data; socket.send("ping"); } else { told.socket = event.data; tell(); } };
        socket.onerror = () => fetch("/report?socket=failed");
        </script>
        """

    @Test func opensEventsAndASocketWithAnHTTPOnlyCookie() throws {
        let report = Box("")
        let token = Box("")
        let site = try ScriptedServer { client, _ in
            while true {
                let head = client.read(until: "\r\n\r\n", silence: 30_000)
                guard let path = head.split(separator: " ").dropFirst().first else { return }
                switch path {
                case "/sign-in":
                    client.send(
                        "HTTP/1.1 303 See Other\r\nLocation: /page\r\nContent-Length: 0\r\n"
                            + "Set-Cookie: access_token=\(token.value); Path=/; Secure; HttpOnly; SameSite=Lax\r\n\r\n")
                case "/page":
                    client.send(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: \(Self.page.utf8.count)\r\n\r\n\(Self.page)")
                case "/events/x":
                    client.send(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                            + "d\r\ndata: hello\n\n\r\n")
                case let path where path.hasPrefix("/report"):
                    report.value = String(path)
                    client.send("HTTP/1.1 204 No Content\r\n\r\n")
                default: client.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                }
            }
        }
        let port = Ports.free()
        let stage = try Stage(
            routes: """
                route /ws/** { upstream ws; auth sso; scope read:orders; upgrade websocket; set_header X-User-Id $claim.sub; }
                route /other { upstream app; public; }
                route /sign-in { upstream site; public; }
                route /** { upstream site; auth sso; scope read:orders; }
                """,
            general: "upstream ws { server 127.0.0.1:\(port); } upstream site { server 127.0.0.1:\(site.port); }", workers: 1)
        token.value = try stage.signer.token(subject: "browser")
        let server = try Executable.peerServer("websocket_peer", port, in: stage.folder)
        let browser = try chromium(in: stage, at: "https://localhost:\(stage.gateway.port)/sign-in")
        #expect(eventually(within: 60) { !report.value.isEmpty }, "\(browser.log.suffix(2_000))")
        let query = URLComponents(string: report.value)?.queryItems ?? []
        func value(_ name: String) -> String? { query.first { $0.name == name }?.value?.replacingOccurrences(of: "+", with: " ") }
        #expect(value("events") == "hello", "\(report.value)")
        #expect(value("socket") == "ping")
        #expect(value("hello")?.contains("\"user\": \"browser\"") ?? false)
        // No script sees the token, and it reaches no server.
        #expect(value("cookie") == "")
        #expect(value("hello")?.contains("\"cookie\": \"\"") ?? false)
        browser.stop()
        server.stop()
    }

    /// Chromium without a window, which goes to `url`; every host's name is this machine's.
    private func chromium(in stage: Stage, at url: String) throws -> Program {
        try Program(
            Executable.chromium,
            [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--ignore-certificate-errors",
                "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
                "--host-resolver-rules=MAP * 127.0.0.1", "--user-data-dir=\(stage.folder.path)/browser", url,
            ], log: "\(stage.folder.path)/browser.log")
    }

    /// A site that signs in at /sign-in, with `cookies`, shows `page` at /page, and notes the targets of all else that reaches it.
    private func site(_ page: Box<String>, cookies: Box<[String]>, seen: Box<[String]>) throws -> ScriptedServer {
        try ScriptedServer { client, _ in
            while true {
                let head = client.read(until: "\r\n\r\n", silence: 30_000)
                let words = head.split(separator: " ")
                guard words.count > 2 else { return }
                let length = head.range(of: "content-length: ", options: .caseInsensitive).flatMap {
                    Int(head[$0.upperBound...].prefix { $0.isNumber })
                }
                let answer: String
                switch words[1] {
                case "/sign-in":
                    answer =
                        "303 See Other\r\nLocation: /page\r\nContent-Length: 0\r\n"
                        + cookies.value.map { "Set-Cookie: \($0); Path=/; Secure; HttpOnly; SameSite=None\r\n" }.joined() + "\r\n"
                case "/page":
                    let page = page.value
                    answer = "200 OK\r\nContent-Type: text/html\r\nContent-Length: \(page.utf8.count)\r\n\r\n\(page)"
                default:
                    let cookies = head.range(of: "\r\ncookie: ", options: .caseInsensitive).map {
                        head[$0.upperBound...].prefix { !$0.isNewline }.components(separatedBy: "; ").count
                    }
                    seen.change { $0.append("\(words[0]) \(words[1]) \(cookies ?? 0)") }
                    answer = "200 OK\r\nContent-Length: 0\r\n\r\n"
                }
                client.send("HTTP/1.1 \(answer)")
                // What is left of a body ends with its connection.
                if let length, length > 0 { return }
            }
        }
    }

    /// Over HTTP/2 a browser sends each cookie as a field of its own.
    @Test func sends150Cookies() throws {
        let (cookies, seen) = (Box<[String]>([]), Box<[String]>([]))
        let site = try site(
            Box(
                "<!doctype html><title>page</title><script>fetch('/api/' + performance.getEntriesByType('navigation')[0].nextHopProtocol, {method: 'POST', body: 'x'})</script>"
            ),
            cookies: cookies, seen: seen)
        let stage = try Stage(
            routes: """
                route /sign-in { upstream site; public; }
                route /** { upstream site; auth sso; scope read:orders; }
                """, general: "upstream site { server 127.0.0.1:\(site.port); } access_log @DIR@/access.log;")
        cookies.value = ["access_token=\(try stage.signer.token())"] + (0..<150).map { "cookie\($0)=a-value-of-some-length-\($0)" }
        let browser = try chromium(in: stage, at: "https://localhost:\(stage.gateway.port)/sign-in")
        #expect(eventually(within: 60) { seen.value.contains { $0.hasPrefix("POST /api/") } }, "\(browser.log.suffix(2_000))")
        // All but the token.
        #expect(seen.value.contains("POST /api/h2 150"), "\(seen.value)")
        browser.stop()
    }

    /// A browser without a session goes to the page that signs it in, which knows where it came from; a page of another origin reads why it
    /// was refused.
    @Test func isSentToSignInAndReadsRefusals() throws {
        let reports = Box<[String]>([])
        let login =
            "<!doctype html><title>login</title><script>fetch('/report/in?' + new URLSearchParams({from: location.search}))</script>"
        let page = """
            <!doctype html><title>other</title><script>
            fetch("https://localhost:@PORT@/api/x", {credentials: "include", headers: {"X-Own": "1"}})
              .then(r => r.json().then(j => `${r.status} ${j.reason}`), e => "unreadable")
              .then(text => fetch("/report/cors?" + new URLSearchParams({text})));
            </script>
            """
        let port = Box(0)
        let site = try ScriptedServer { client, _ in
            while true {
                let head = client.read(until: "\r\n\r\n", silence: 30_000)
                guard let path = head.split(separator: " ").dropFirst().first else { return }
                if path.hasPrefix("/report/") { reports.change { $0.append(String(path)) } }
                let text = path.hasPrefix("/login") ? login : path == "/page" ? page.replacing("@PORT@", with: "\(port.value)") : ""
                client.send("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
            }
        }
        let stage = try Stage(
            routes: """
                route /private/** { upstream site; auth sso; sign_in /login?rd=$request.url; }
                route /api/** {
                    upstream site; auth sso;
                    cors { origin https://other.example:@PORT@; credentials; headers X-Own; }
                }
                route /login { upstream site; public; } route /page { upstream site; public; } route /report/** { upstream site; public; }
                """, general: "upstream site { server 127.0.0.1:\(site.port); }", workers: 1)
        port.value = stage.gateway.port
        let first = try chromium(in: stage, at: "https://localhost:\(port.value)/private/a?x=1&y")
        #expect(eventually(within: 60) { reports.value.contains { $0.hasPrefix("/report/in") } }, "\(first.log.suffix(2_000))")
        first.stop()
        let target = "https://localhost:\(port.value)/private/a?x=1&y"
        let sent = URLComponents(string: reports.value.first { $0.hasPrefix("/report/in") } ?? "")?.queryItems?.first?.value ?? ""
        #expect(URLComponents(string: sent)?.queryItems?.first { $0.name == "rd" }?.value == target, "\(sent)")
        let second = try chromium(in: stage, at: "https://other.example:\(port.value)/page")
        #expect(eventually(within: 60) { reports.value.contains { $0.hasPrefix("/report/cors") } }, "\(second.log.suffix(2_000))")
        #expect(reports.value.contains("/report/cors?text=401+token_missing"), "\(reports.value)")
        second.stop()
    }

    /// What a page of another site can make the browser send carries the cookie, and gets no further than the gateway.
    @Test func aPageOfAnotherSiteCanOnlyRead() throws {
        let (cookies, seen) = (Box<[String]>([]), Box<[String]>([]))
        // One page on three hosts acts on the first of them in every way. Chromium sends no cookies with frames and fetches of another
        // site, but it does for a host of the same site, and for a form that leaves the page.
        let page = """
            <!doctype html><title>page</title><iframe name="frame"></iframe>
            <form id="form" method="post" target="frame"><input name="a" value="b"></form>
            <script>
            const who = location.hostname.split(".")[0], target = `https://own.test:${location.port}/act/${who}`;
            const form = document.getElementById("form");
            form.action = target + "/form";
            const tried = [
              fetch(target + "/fetch", {method: "POST", mode: "no-cors", credentials: "include", body: "x"}).catch(() => {}),
              fetch(target + "/read", {mode: "no-cors", credentials: "include"}).catch(() => {}),
              new Promise(done => { document.querySelector("iframe").onload = done; form.submit(); }),
              new Promise(done => { new WebSocket(target.replace("https", "wss") + "/socket").onerror = done; }),
            ];
            navigator.sendBeacon(target + "/beacon", "x");
            Promise.all(tried).then(() => fetch("/told/" + who)).then(() => {
              if (who == "own") location = `https://sibling.own.test:${location.port}/page`;
              if (who == "sibling") location = `https://evil.example:${location.port}/page`;
              if (who == "evil") { form.target = "_top"; form.action = target + "/top"; form.submit(); }
            });
            </script>
            """
        let site = try site(Box(page), cookies: cookies, seen: seen)
        let stage = try Stage(
            token: "cookie access_token;",
            routes: """
                route /act/** { upstream site; auth sso; upgrade websocket; }
                route /** { upstream site; public; }
                """, general: "upstream site { server 127.0.0.1:\(site.port); } access_log @DIR@/access.log;")
        cookies.value = ["access_token=\(try stage.signer.token())", "other=1"]
        let browser = try chromium(in: stage, at: "https://own.test:\(stage.gateway.port)/sign-in")
        func line(_ path: String) -> String? {
            stage.folder.read("access.log").split(whereSeparator: \.isNewline).first { $0.contains("\"\(path)\"") }.map(String.init)
        }
        // A beacon may come when its page is long gone.
        let acts = ["own/beacon", "sibling/fetch", "sibling/form", "sibling/socket", "sibling/beacon", "evil/top"]
        #expect(
            eventually(within: 90) { acts.allSatisfy { line("/act/\($0)") != nil } },
            "\(acts.filter { line("/act/\($0)") == nil }): \(browser.log.suffix(2_000))")
        browser.stop()
        let acted = Set(seen.value.filter { $0.contains("/act/") })
        #expect(
            acted == [
                "POST /act/own/fetch 1", "GET /act/own/read 1", "POST /act/own/form 1", "GET /act/own/socket 1", "POST /act/own/beacon 1",
                "GET /act/sibling/read 1",
            ], "\(seen.value)")
        // The browser did send the cookie: without one the reason would be another.
        for act in acts.dropFirst() {
            let line = line("/act/\(act)")
            #expect(line?.contains("csrf_refused") ?? false, "\(act): \(line ?? "none")")
        }
    }

    /// A browser asks first whether a page may; `cors` answers, and has the one page read what the other may not.
    @Test func aPageOfANamedOriginUsesAnAPI() throws {
        let (page, seen) = (Box(""), Box<[String]>([]))
        let site = try site(page, cookies: Box([]), seen: seen)
        let stage = try Stage(
            routes: """
                route /api/** { upstream site; auth sso; scope read:orders;
                  cors { origin https://app.test:@PORT@; methods PUT; headers Authorization X-Custom; expose X-Request-Id; } }
                route /** { upstream site; public; }
                """, general: "upstream site { server 127.0.0.1:\(site.port); }")
        page.value = """
            <!doctype html><title>page</title><script>
            const place = `https://api.test:${location.port}/api/${location.hostname}`;
            fetch(place, {method: "PUT", headers: {"X-Custom": "1", Authorization: "Bearer \(try stage.signer.token())"}, body: "x"})
              .then(answer => `${answer.status}-${(answer.headers.get("X-Request-Id") ?? "").length}`, () => "kept")
              .then(what => fetch(`/told/${location.hostname}/${what}`))
              .then(() => { if (location.hostname == "app.test") location = `https://evil.example:${location.port}/page`; });
            </script>
            """
        let browser = try chromium(in: stage, at: "https://app.test:\(stage.gateway.port)/page")
        #expect(eventually(within: 60) { seen.value.contains { $0.contains("/told/evil.example/") } }, "\(browser.log.suffix(2_000))")
        browser.stop()
        #expect(
            seen.value.filter { $0.contains("/told/") || $0.contains("/api/") } == [
                "PUT /api/app.test 0", "GET /told/app.test/200-32 0", "GET /told/evil.example/kept 0",
            ], "\(seen.value)")
    }
}
