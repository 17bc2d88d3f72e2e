import Foundation
import Glibc
import TestSockets
import TestSupport
import Testing

@Suite(.serialized) struct WireTests {
    @Test(.enabled(if: Vectors.areThere, "the vectors are not beside the checkout"))
    func answersH1specAsItAllows() throws {
        let (stage, port) = try plainStage()
        _ = stage
        let cases = try #require(try Vectors.json("h1spec.json") as? [[String: Any]])
        #expect(cases.count == 33)
        for entry in cases {
            let name = entry["id"] as? String ?? "?"
            let allowed = try #require(entry["expect"] as? [[Int]])
            let client = try RawClient(port: port)
            client.send(try #require(entry["payload"] as? String))
            let waitsForNothing = allowed.contains { $0[0] == -1 }
            let text = client.read(until: "\r\n\r\n", silence: waitsForNothing ? 150 : 5_000)
            let status = text.isEmpty ? -1 : Int(text.dropFirst(9).prefix(3)) ?? 0
            #expect(allowed.contains { $0[0] <= status && status <= $0[1] }, "\(name): \(status)")
        }
    }

    @Test(.enabled(if: Vectors.areThere, "the vectors are not beside the checkout"))
    func neverForwardsWhatLLHTTPRefuses() throws {
        let (stage, port) = try plainStage()
        let cases = try #require(try Vectors.json("llhttp_cases.json") as? [[String: Any]])
        var tried = 0
        for entry in cases {
            guard let meta = entry["meta"] as? [String: Any], meta["type"] as? String == "request", meta["pause"] == nil,
                meta["skipBody"] == nil,
                let text = entry["bytes"] as? String, let error = entry["error"] as? String,
                ![
                    "Pause on CONNECT/Upgrade", "Invalid method for HTTP/x.x request", "Expected space after method",
                    "Data after `Connection: close`",
                ].contains(error)
            else { continue }
            tried += 1
            let client = try RawClient(port: port)
            // Every message of the file lacks a Host or has one; without it the response would be 400 for that reason alone.
            var bytes = text.replacingOccurrences(of: " HTTP/1.1\r\n", with: " HTTP/1.1\r\nHost: a\r\n")
            if !bytes.contains("\r\n\r\n") { bytes += "\r\n" }
            client.send(
                bytes.unicodeScalars.allSatisfy { $0.value < 256 } ? bytes.unicodeScalars.map { UInt8($0.value) } : Array(bytes.utf8))
            client.endWriting()
            let answers = client.read(silence: 20_000).components(separatedBy: "HTTP/1.1 ").dropFirst().map { Int($0.prefix(3)) ?? 0 }
            // Of a pipeline the good messages before the bad one are answered; the bad one ends it.
            #expect((answers.last ?? 0) >= 400, "\(entry["name"] ?? ""): \(answers)")
        }
        #expect(tried > 40)
        #expect(try stage.gateway.curl("/").status == 200)
        #expect(!stage.gateway.log.contains("ended unexpectedly"))
    }

    @Test func answersPipelinedRequestsInOrder() throws {
        let (stage, port) = try plainStage()
        _ = stage
        let client = try RawClient(port: port)
        let count = 50
        client.send((1...count).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\($0 == count ? "Connection: close\r\n" : "")\r\n" }.joined())
        let text = client.read()
        let uris = text.components(separatedBy: "\"uri\":\"/").dropFirst().map { Int($0.prefix { $0 != "\"" }) ?? 0 }
        #expect(uris == Array(1...count))
    }

    @Test func closesWhereTheNextRequestWouldBeInDoubt() throws {
        let (stage, port) = try plainStage()
        _ = stage
        let smuggling = [
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcdGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\u{0}c\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: \(String(repeating: "x,", count: 40))\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
        for text in smuggling {
            let client = try RawClient(port: port)
            client.send(text)
            let answer = client.read()
            #expect(answer.hasPrefix("HTTP/1.1 4") || answer.hasPrefix("HTTP/1.1 501"))
            #expect(answer.contains("Connection: close"))
            #expect(answer.contains("X-Request-Id:"))
            #expect(!answer.contains("smuggled\""))
            #expect(answer.components(separatedBy: "HTTP/1.1 ").count == 2)
        }
    }

    @Test func speaksHTTP10() throws {
        let (stage, port) = try plainStage()
        _ = stage
        let client = try RawClient(port: port)
        client.send("GET / HTTP/1.0\r\n\r\n")
        let answer = client.read()
        #expect(answer.hasPrefix("HTTP/1.1 200"))
        #expect(answer.contains("Connection: close"))
        let kept = try RawClient(port: port)
        kept.send("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        #expect(kept.read(until: "\"uri\"").contains("Connection: keep-alive"))
    }

    @Test func takesNoUpgradeToHTTP2AndNoMethodsThatLeadElsewhere() throws {
        let (stage, port) = try plainStage()
        func ask(_ text: String) throws -> String {
            let client = try RawClient(port: port)
            client.send(text)
            return client.read(until: "}", silence: 20_000)
        }
        let upgrade = try ask(
            "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
        #expect(upgrade.hasPrefix("HTTP/1.1 200"))
        #expect(upgrade.contains("\"connection\":\"\""))
        for method in ["TRACE /x", "CONNECT a:443", "CONNECT /x"] {
            #expect(try ask("\(method) HTTP/1.1\r\nHost: a\r\n\r\n").hasPrefix("HTTP/1.1 501"))
        }
        let options = try ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(options.hasPrefix("HTTP/1.1 200"))
        #expect(options.contains("Allow: GET, HEAD"))
        #expect(options.contains("Content-Length: 0"))
        #expect(try ask("GET * HTTP/1.1\r\nHost: a\r\n\r\n").hasPrefix("HTTP/1.1 400"))
        let two = try Executable.peer("http2", ["exchange", "\(stage.gateway.port)", "OPTIONS", "*"])
        #expect((two["headers"] as? [String: String])?[":status"] == "200")
    }

    @Test func asksForTheBodyOnlyWhenTheRequestIsLetIn() throws {
        let (stage, port) = try plainStage()
        let client = try RawClient(port: port)
        client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        // This upstream answers without waiting for the body.
        var answers = client.read(until: "\r\n\r\n")
        #expect(answers.hasPrefix("HTTP/1.1 100 Continue\r\n\r\n"))
        client.send("hello")
        if !answers.contains("\"uri\"") { answers += client.read(until: "\"uri\"") }
        #expect(answers.contains("\r\n\r\nHTTP/1.1 200"))
        let refused = try RawClient(port: port)
        refused.send("POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        #expect(refused.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 401"))
        #expect(try stage.gateway.curl("/", ["-H", "Expect: something-else"]).status == 417)
    }

    @Test func answersHEADWithoutABody() throws {
        let (stage, port) = try plainStage()
        _ = stage
        let client = try RawClient(port: port)
        client.send(
            "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\nHEAD /in HTTP/1.1\r\nHost: a\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        let parts = client.read().components(separatedBy: "HTTP/1.1 ").dropFirst().map { String($0) }
        #expect(parts.count == 3)
        #expect(
            parts.first?.hasPrefix("200") == true && parts.first?.contains("Content-Length:") == true
                && parts.first?.hasSuffix("\r\n\r\n") == true)
        #expect(parts.dropFirst().first?.hasPrefix("401") == true && parts.dropFirst().first?.hasSuffix("\r\n\r\n") == true)
        #expect(parts.last?.contains("/last") == true)
    }

    @Test func keepsAConnectionAfterAShortRefusedBody() throws {
        let (stage, port) = try plainStage()
        _ = stage
        let client = try RawClient(port: port)
        client.send("POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
        #expect(client.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 401"))
        client.send("loGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(client.read().contains("\"uri\":\"/next\""))
    }

    @Test func passesChunkedBodiesAndTrailersOn() throws {
        let echoPort = Ports.free()
        let (stage, port) = try plainStage(
            routes:
                "route /echo { upstream echo; public; set_header X-User-Id \"$request.method\"; } route /in { upstream app; auth sso; }",
            more: "upstream echo { server 127.0.0.1:\(echoPort); }")
        _ = stage
        // A server that answers with what it was sent, byte for byte.
        let server = try EchoServer(port: echoPort)
        let client = try RawClient(port: port)
        client.send(
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 42\r\nX-User-Id: forged\r\nContent-Length: 3\r\n\r\n"
        )
        let answer = client.read(until: "answered")
        #expect(answer.hasPrefix("HTTP/1.1 200"))
        let seen = server.lastRequest
        #expect(seen.contains("Transfer-Encoding: chunked\r\n"))
        #expect(seen.contains("Trailer: X-Sum\r\n"))
        #expect(seen.contains("hello") && seen.contains(" world"))
        #expect(seen.contains("0\r\nX-Sum: 42\r\n\r\n"))
        #expect(!seen.contains("forged") && !seen.contains("x=y"))
    }

    @Test func boundsTheBody() throws {
        let (stage, port) = try plainStage(
            routes: "route /** { upstream app; public; max_body_size 10; } route /in { upstream app; auth sso; }")
        #expect(try stage.gateway.curl("/", ["--data", "0123456789"]).status == 200)
        #expect(try stage.gateway.curl("/", ["--data", "0123456789a"]).status == 413)
        let client = try RawClient(port: port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n")
        #expect(client.read().hasPrefix("HTTP/1.1 413"))
    }

    @Test func endsConnectionsThatSayNothing() throws {
        let echoPort = Ports.free()
        let server = try EchoServer(port: echoPort)
        _ = server
        let (stage, port) = try plainStage(
            routes: "route /** { upstream patient; public; } route /in { upstream app; auth sso; }",
            more: "timeouts { head 300ms; idle 300ms; body 300ms; }\nupstream patient { server 127.0.0.1:\(echoPort); }")
        _ = stage
        let silent = try RawClient(port: port)
        #expect(silent.isClosedByPeer())
        let slow = try RawClient(port: port)
        slow.send("GET / HTTP/1.1\r\nHo")
        #expect(slow.read().hasPrefix("HTTP/1.1 408"))
        let body = try RawClient(port: port)
        body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhal")
        #expect(body.read().hasPrefix("HTTP/1.1 408"))
    }
}

/// A server for one exact exchange: remembers what it was sent and responses 200 after the end of a chunked body.
final class EchoServer {
    private let process: Program
    private let file: String
    private let folder = TemporaryFolder()

    var lastRequest: String { (try? String(contentsOfFile: file, encoding: .utf8)) ?? "" }

    init(port: Int) throws {
        file = folder.path + "/seen"
        process = try perl(
            """
            while (my $client = $server->accept) {
                my $seen = '';
                while (sysread($client, my $part, 65536)) { $seen .= $part; last if $seen =~ /0\\r\\n(?:[^\\r\\n]+\\r\\n)*\\r\\n$/; }
                next if $seen eq '';
                open(my $out, '>', '\(file).new'); print $out $seen; close $out; rename '\(file).new', '\(file)';
                syswrite $client, "HTTP/1.1 200 OK\\r\\nContent-Length: 8\\r\\n\\r\\nanswered";
            }
            """, port, folder)
    }
}

/// A server that reads a body of known length to its end and responses how much it was.
final class SinkServer {
    private let process: Program
    private let folder = TemporaryFolder()

    init(port: Int) throws {
        process = try perl(
            """
            while (my $client = $server->accept) {
                my ($head, $count) = ('', 0);
                while ($head !~ /\\r\\n\\r\\n/) { sysread($client, my $part, 65536) or last; $head .= $part; }
                next unless $head =~ /content-length: (\\d+)/i;
                my $length = $1;
                $count = length($head) - index($head, "\\r\\n\\r\\n") - 4;
                while ($count < $length) { my $got = sysread($client, my $part, 1048576) or last; $count += $got; }
                my $body = "got $count";
                syswrite $client, "HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: " . length($body) . "\\r\\n\\r\\n$body";
            }
            """, port, folder)
    }
}

/// Runs a small server in Perl, which every Debian has; `$server` listens.
private func perl(_ script: String, _ port: Int, _ folder: TemporaryFolder) throws -> Program {
    let listen =
        "use strict; use IO::Socket::INET; my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => \(port), Listen => 50, ReuseAddr => 1) or die;\n"
    let path = try folder.write("server.pl", listen + script)
    let program = try Program("/usr/bin/perl", [path], log: folder.path + "/server.log", stopSignal: SIGKILL)
    guard eventually({ Ports.isOpen(port) }) else { throw StartFailed(log: program.log) }
    return program
}
