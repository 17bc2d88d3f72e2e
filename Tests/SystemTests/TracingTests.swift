import Foundation
import Glibc
import TestSockets
import Testing

/// Spans as a real collector takes them.
@Suite("Tracing", .serialized) struct TracingTests {
    private let healthPort = Ports.free()
    private static let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    private func stage(
        _ collector: Int, sample: String = "100%", general: String = "", trusted: Bool = true, routes: String = Stage.usualRoute
    ) throws
        -> Stage
    {
        try Stage(
            routes: routes,
            general: """
                health 127.0.0.1:\(healthPort); access_log @DIR@/access.log;
                tracing { endpoint http://127.0.0.1:\(collector); sample \(sample); service tested; }
                \(trusted ? "trusted_proxies 127.0.0.1;" : "") \(general)
                """,
            servers:
                "server { listen 127.0.0.1:\(echoPort); location / { return 200 '$http_traceparent|$http_baggage|$http_tracestate'; } }",
            serverPorts: [echoPort])
    }
    private let echoPort = Ports.free()

    private var echoRoutes: String {
        "upstream echo { server 127.0.0.1:\(echoPort); } route /echo/** { public; upstream echo; } route /** { auth sso; upstream app; }"
    }

    @Test("A collector takes a span of the request, and one of each try, with what became of them")
    func spans() throws {
        let folder = TemporaryFolder()
        let collector = try Collector(in: folder)
        let stage = try stage(collector.port)
        let token = try stage.signer.token()
        #expect(
            try stage.gateway.curl("/orders/1?secret=yes", ["-H", "Authorization: Bearer \(token)", "-H", "traceparent: \(Self.parent)"])
                .status == 200)
        #expect(try stage.gateway.curl("/orders/2").status == 401)
        #expect(eventually(within: 30) { collector.log.contains("token_missing") && collector.log.contains("GET app") }, "\(collector.log)")
        let log = collector.log
        #expect(log.contains("GET /**") && log.contains("tested") && log.contains("authenticated"))
        #expect(log.contains("0af7651916cd43dd8448eb211c80319c") && log.contains("b7ad6b7169203331"))
        #expect(log.contains("127.0.0.1") && log.contains("\(stage.backendPort)"))
        #expect(!log.contains("secret"))
        #expect(stage.folder.read("access.log").contains("\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\""))
    }

    @Test("The upstream's parent is the gateway's span; of an untrusted peer the trace is kept, and neither its flag nor its baggage")
    func context() throws {
        let folder = TemporaryFolder()
        let collector = try Collector(in: folder)
        for (trusted, version) in [(true, HTTPVersions.one), (true, HTTPVersions.two), (false, HTTPVersions.two)] {
            let stage = try stage(collector.port, sample: "0%", trusted: trusted, routes: echoRoutes)
            stage.gateway.version = version
            let told = try stage.gateway.curl(
                "/echo/x", ["-H", "traceparent: \(Self.parent)", "-H", "baggage: user=1", "-H", "tracestate: a=b"]
            ).body.split(separator: "|", omittingEmptySubsequences: false)
            let parts = try #require(told.first).split(separator: "-")
            #expect(parts.count == 4 && parts[1] == "0af7651916cd43dd8448eb211c80319c" && parts[2] != "b7ad6b7169203331", "\(told)")
            #expect(parts.last == (trusted ? "01" : "00"))
            #expect(told[1] == (trusted ? "user=1" : ""))
            #expect(told[2] == "a=b")
            // What other tracers say of a trace goes with the trace.
            for fields in [
                ["-H", "traceparent: nonsense"], [], ["-H", "traceparent: \(Self.parent)", "-H", "traceparent: \(Self.parent)"],
            ] {
                let told = try stage.gateway.curl("/echo/x", fields + ["-H", "tracestate: a=b"]).body.split(
                    separator: "|", omittingEmptySubsequences: false)
                #expect(told[2] == "" && !told[0].contains("0af7651916cd43dd8448eb211c80319c"), "\(told)")
            }
            // One that is none begins a trace of its own.
            for wrong in [
                "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "nonsense",
                "00-\(String(repeating: "0", count: 32))-b7ad6b7169203331-01",
            ] {
                let own = try stage.gateway.curl("/echo/x", ["-H", "traceparent: \(wrong)"]).body.split(separator: "|").first ?? ""
                #expect(own.utf8.count == 55 && own.hasSuffix("-00") && !own.contains("b7ad6b7169203331"), "\(own)")
            }
        }
    }

    @Test("Without tracing the context passes as it came, and stands in the log")
    func off() throws {
        let stage = try Stage(
            routes: echoRoutes, general: "access_log @DIR@/access.log;",
            servers: "server { listen 127.0.0.1:\(echoPort); location / { return 200 '$http_traceparent|$http_baggage'; } }",
            serverPorts: [echoPort])
        let body = try stage.gateway.curl("/echo/x", ["-H", "traceparent: \(Self.parent)", "-H", "baggage: user=1"]).body
        #expect(body == "\(Self.parent)|user=1")
        #expect(eventually { stage.folder.read("access.log").contains("\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\"") })
    }

    @Test("A collector that hangs, is away or talks nonsense costs spans, which are counted, and no request")
    func hostile() throws {
        let silent = try ScriptedServer { client, _ in _ = client.isClosedByPeer(within: 60_000) }
        let rude = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            client.send("\u{0}\u{1}nonsense\r\n\r\n")
        }
        for (port, name) in [(silent.port, "silent"), (rude.port, "rude"), (Ports.free(), "away")] {
            let stage = try stage(port, routes: echoRoutes)
            #expect(try stage.gateway.load("/echo/x", count: 2_000, parallel: 8) == [200: 2_000], "\(name)")
            #expect(
                eventually(within: 40) {
                    let text = (try? run(Executable.curl, ["-s", "-m", "10", "http://127.0.0.1:\(healthPort)/metrics"]).text) ?? ""
                    let line = text.split(separator: "\n").first {
                        $0.hasPrefix("portcullis_trace_spans_dropped_total{reason=\"collector\"}")
                    }
                    return line.flatMap { Int($0.split(separator: " ").last ?? "") } ?? 0 > 0
                }, "\(name)")
            #expect(stage.gateway.log.contains("the collector of traces at 127.0.0.1:\(port) takes no spans"))
            #expect(try run(Executable.curl, ["-s", "http://127.0.0.1:\(healthPort)/readyz"]).text == "ready\n")
        }
    }

    @Test("Each request has its own spans and no other's, in both versions of HTTP", arguments: [HTTPVersions.one, HTTPVersions.two])
    func ownSpans(version: String) throws {
        let collector = try SpanCollector()
        let stage = try stage(collector.port)
        stage.gateway.version = version
        let bearer = ["-H", "Authorization: Bearer \(try stage.signer.token())"]
        func trace(_ number: Int) -> [String] {
            ["-H", "traceparent: 00-\(String(repeating: "\(number)", count: 32))-b7ad6b7169203331-01"]
        }
        // One after the other, over the same connection where there is one.
        for number in 1...6 {
            let status = try stage.gateway.curl("/orders/\(number)", (number % 2 == 1 ? bearer : []) + trace(number)).status
            #expect(status == (number % 2 == 1 ? 200 : 401))
        }
        #expect(eventually(within: 30) { collector.spans.count >= 9 })
        for number in 1...6 {
            let own = collector.of(String(repeating: "\(number)", count: 32))
            let server = try #require(own.first { $0.kind == 2 })
            #expect(
                server.parent == "b7ad6b7169203331" && server.ended >= server.began && server.attributes["url.path"] == "/orders/\(number)")
            #expect(server.attributes["network.protocol.version"] == (version == HTTPVersions.two ? "2" : "1.1"))
            if number % 2 == 1 {
                let client = try #require(own.first { $0.isClient })
                #expect(own.count == 2 && client.parent == server.id && client.attributes["http.response.status_code"] == "200")
                #expect(client.attributes["server.address"] == "127.0.0.1" && client.attributes["server.port"] == "\(stage.backendPort)")
                #expect(client.began >= server.began && client.ended <= server.ended && client.status == 0)
                #expect(server.events.map(\.name) == ["authenticated"])
            } else {
                #expect(own.count == 1 && server.reason == "token_missing" && server.status == 0, "\(own)")
            }
        }
    }

    @Test("The server that answers is told the span of its own try; what went wrong stands in the others, and behind the head too")
    func tries() throws {
        let collector = try SpanCollector()
        let told = Box<[String]>([])
        let down = Ports.free()
        let server = try ScriptedServer { client, _ in
            let head = client.read(until: "\r\n\r\n")
            guard !head.isEmpty else { return }
            let number = told.change { $0.append(head.components(separatedBy: "traceparent: ").last.map { String($0.prefix(55)) } ?? "") }
                .count
            if head.contains("GET /cut") { return client.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc") }
            if number == 1 { return client.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") }
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        let stage = try stage(
            collector.port,
            routes: """
                upstream echo { server 127.0.0.1:\(down); server 127.0.0.1:\(server.port); retry { tries 2; budget 100% min 10/s; } }
                route /** { public; upstream echo; } route /unused { auth sso; upstream app; }
                """)
        let trace = "0af7651916cd43dd8448eb211c80319c"
        #expect(try stage.gateway.curl("/", ["-H", "traceparent: \(Self.parent)"]).status == 200)
        #expect(eventually(within: 30) { collector.of(trace).count == 4 }, "\(collector.spans)")
        let own = collector.of(trace)
        let tries = own.filter(\.isClient).sorted { $0.began < $1.began }
        let server200 = try #require(tries.first { $0.attributes["http.response.status_code"] == "200" })
        let server503 = try #require(tries.first { $0.attributes["http.response.status_code"] == "503" })
        let refused = try #require(tries.first { $0.attributes["http.response.status_code"] == nil })
        #expect(refused.reason == "upstream_connect_failed" && refused.attributes["server.port"] == "\(down)" && refused.status == 2)
        #expect(Set(tries.map(\.id)).count == 3)
        let parents = told.value.map { $0.split(separator: "-")[2] }
        #expect(parents == [Substring(server503.id), Substring(server200.id)])
        let events = try #require(own.first { $0.kind == 2 }).events.filter { $0.name == "retry" }
        #expect(events.compactMap { $0.attributes["portcullis.reason"] }.sorted() == ["status_503", "upstream_connect_failed"])
        // A response that is cut short.
        _ = try stage.gateway.curl("/cut", ["-H", "traceparent: 00-\(String(repeating: "7", count: 32))-b7ad6b7169203331-01"])
        #expect(eventually(within: 30) { collector.of(String(repeating: "7", count: 32)).count >= 2 })
        let cut = collector.of(String(repeating: "7", count: 32)).filter(\.isClient)
        #expect(
            cut.last?.attributes["http.response.status_code"] == "200" && cut.last?.reason == "upstream_closed_early"
                && cut.last?.status == 2)
    }

    @Test("A request that is refused before it is read has a span, and none holds what stands before a path")
    func refusedEarly() throws {
        let collector = try SpanCollector()
        let stage = try stage(collector.port)
        let port = stage.gateway.port
        _ = try run(
            Executable.curl,
            [
                "-sk", "--http1.1", "-m", "10", "--request-target", "http://user:secret@127.0.0.1:\(port)/a?b=c",
                "https://127.0.0.1:\(port)/",
            ])
        _ = try run(Executable.curl, ["-sk", "--http1.1", "-m", "10", "-H", "Content-Length: nonsense", "https://127.0.0.1:\(port)/bad"])
        #expect(eventually(within: 30) { collector.spans.count == 2 }, "\(collector.spans)")
        #expect(collector.spans.allSatisfy { $0.kind == 2 && $0.attributes["http.response.status_code"] == "400" && $0.reason != nil })
        #expect(!collector.spans.contains { $0.attributes.values.contains { $0.contains("secret") } })
        #expect(!stage.folder.read("access.log").contains("secret"))
    }

    @Test("Spans that a collector could not take are sent again; those of the last moment go out before the process ends")
    func sentAgain() throws {
        let collector = try SpanCollector { $0 < 2 ? "503 Not now" : "200 OK" }
        let stage = try stage(collector.port, routes: echoRoutes)
        #expect(try stage.gateway.load("/echo/x", count: 100, parallel: 4) == [200: 100])
        #expect(eventually(within: 30) { collector.spans.count == 200 }, "\(collector.spans.count)")
        #expect(collector.requests >= 3)
        #expect(try stage.gateway.load("/echo/x", count: 100, parallel: 4) == [200: 100])
        #expect(stage.gateway.reload())
        #expect(try stage.gateway.load("/echo/x", count: 100, parallel: 4) == [200: 100])
        stage.gateway.stop()
        #expect(eventually(within: 30) { collector.spans.count == 600 }, "\(collector.spans.count)")
        #expect(Set(collector.spans.map(\.id)).count == 600)
    }

    @Test("Exemplars lead from a bucket to a trace")
    func exemplars() throws {
        let stage = try stage(Ports.free(), routes: echoRoutes)
        let own = try stage.gateway.curl("/echo/x").body
        let trace = own.split(separator: "-").dropFirst().first ?? ""
        #expect(trace.utf8.count == 32)
        #expect(
            eventually {
                let text = try? run(
                    Executable.curl,
                    ["-s", "-H", "Accept: application/openmetrics-text", "http://127.0.0.1:\(healthPort)/metrics"]
                ).text
                return text?.contains("# {trace_id=\"\(trace)\"}") ?? false
            })
    }
}

/// A collector of OpenTelemetry, which writes down what it takes.
private final class Collector {
    let port = Ports.free()
    private let program: Program

    init(in folder: TemporaryFolder) throws {
        let found = try run(
            "\(Executable.root)/.build/python/bin/python",
            ["-c", "import os, rotel; print(os.path.dirname(rotel.__file__) + '/rotel-agent')"])
        let agent = found.text.trimmingCharacters(in: .whitespacesAndNewlines)
        program = try Program(
            agent,
            [
                "start", "--otlp-grpc-endpoint", "127.0.0.1:\(Ports.free())", "--otlp-http-endpoint", "127.0.0.1:\(port)", "--exporter",
                "blackhole",
                "--debug-log", "traces", "--debug-log-verbosity", "detailed", "--pid-file", "\(folder.path)/rotel.pid",
            ], log: "\(folder.path)/rotel.log", stopSignal: SIGKILL)
        let port = port
        guard eventually(within: 30, { Ports.isOpen(port) }) else { throw StartFailed(log: program.log) }
    }

    var log: String { program.log }
}
