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
        let browser = try Program(
            Executable.chromium,
            [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--ignore-certificate-errors",
                "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
                "--user-data-dir=\(stage.folder.path)/browser", "https://localhost:\(stage.gateway.port)/sign-in",
            ], log: "\(stage.folder.path)/browser.log")
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
}
