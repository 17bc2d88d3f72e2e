import Foundation
import Glibc
import TestSockets
import Testing

@Suite(.serialized) struct StreamingTests {
    private static let bytes = 2_147_483_648

    @Test func twoGigabytesStreamEachWayThroughLittleMemory() throws {
        let port = Ports.free()
        let folder = TemporaryFolder()
        // A sparse file costs no disk.
        let file = folder.path + "/big"
        FileManager.default.createFile(atPath: file, contents: nil)
        try FileHandle(forWritingTo: URL(fileURLWithPath: file)).truncate(atOffset: UInt64(Self.bytes))
        let sinkPort = Ports.free()
        let sink = try SinkServer(port: sinkPort)
        _ = sink
        let stage = try Stage(
            routes: """
                route /files/** { upstream files; public; strip_prefix /files; }
                route /sink { upstream sink; public; max_body_size unlimited; }
                route /in { upstream app; auth sso; }
                """,
            general: "upstream files { server 127.0.0.1:\(port); }\nupstream sink { server 127.0.0.1:\(sinkPort); }", workers: 1,
            servers: "server { listen 127.0.0.1:\(port); location / { root \(folder.path); } }", serverPorts: [port])
        let worker = try #require(stage.gateway.children("worker").first)
        _ = try stage.gateway.curl("/files/none")
        let before = Gateway.residentKiB(worker)
        let most = Box(0)
        let done = Flag()
        let watcher = Thread {
            while !done.isSet {
                most.value = max(most.value, Gateway.residentKiB(worker))
                usleep(50_000)
            }
        }
        watcher.start()
        let down = try stage.gateway.curl(
            "/files/big", ["-o", "/dev/null", "-m", "300", "-w", "\n%{size_download} %{http_code}\n%{http_code}"])
        #expect(down.body.contains("\(Self.bytes) 200"))
        let up = try stage.gateway.curl("/sink", ["-m", "300", "-X", "POST", "-T", file, "-H", "Expect:"])
        #expect(up.body == "got \(Self.bytes)")
        done.set()
        let growth = most.value - before
        // Over HTTP/2 the window of an upload may be full of what the upstream does not take at once.
        #expect(growth < 9_216, "the worker grew by \(growth) KiB")
    }

    @Test func aClientThatAsksAndNeverReadsIsLetGo() throws {
        let (stage, port) = try plainStage(more: "timeouts { write 500ms; idle 60s; head 60s; body 60s; }")
        let request = "GET /in HTTP/1.1\r\nHost: a\r\n\r\n"
        // One that only asks, one that goes on asking while its responses wait, one that stops within a body.
        let many = String(repeating: request, count: 30_000)
        let tails = ["", "GET /in HT", "POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n1234"]
        let clients = try tails.map { tail in
            let client = try RawClient(port: port)
            let sender = Thread { client.send(many + tail) }
            sender.start()
            return client
        }
        for client in clients { #expect(eventually { client.isBroken }) }
        #expect(try stage.gateway.curl("/").status == 200)
    }

    @Test func aLargeUploadThatIsRefusedAtOnceStillGetsTheRefusal() throws {
        let (stage, port) = try plainStage()
        let client = try RawClient(port: port)
        client.send("POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n")
        client.send(String(repeating: "x", count: 8_000_000))
        #expect(client.read(until: "}").hasPrefix("HTTP/1.1 401"))
        _ = stage
    }

    @Test func aSlowReaderHoldsTheUpstreamBack() throws {
        let port = Ports.free()
        let plain = Ports.free()
        let folder = TemporaryFolder()
        FileManager.default.createFile(atPath: folder.path + "/big", contents: nil)
        try FileHandle(forWritingTo: URL(fileURLWithPath: folder.path + "/big")).truncate(atOffset: 268_435_456)
        let stage = try Stage(
            routes: "route /** { upstream files; public; } route /in { upstream app; auth sso; }",
            general: "listen 127.0.0.1:\(plain) { plaintext; }\nupstream files { server 127.0.0.1:\(port); }\ntimeouts { write 1s; }",
            workers: 1,
            servers: "server { listen 127.0.0.1:\(port); location / { root \(folder.path); } }", serverPorts: [port])
        let worker = try #require(stage.gateway.children("worker").first)
        let before = Gateway.residentKiB(worker)
        let clients = try (0..<10).map { _ in try RawClient(port: plain) }
        for client in clients { client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n") }
        #expect(try stage.gateway.curl("/none").status == 404)
        #expect(Gateway.residentKiB(worker) - before < 10 * 512)
        // Who takes nothing for the write timeout is let go.
        for client in clients { #expect(eventually { client.isBroken }) }
    }
}
