import Foundation
import Glibc
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
        let most = Box<Int>()
        let done = Flag()
        let watcher = Thread {
            while !done.isSet {
                most.value = max(most.value ?? 0, Gateway.residentKiB(worker))
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
        let growth = (most.value ?? 0) - before
        #expect(growth < 1_024, "the worker grew by \(growth) KiB")
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
        for client in clients { #expect(client.isClosedByPeer(within: 10_000)) }
    }
}
