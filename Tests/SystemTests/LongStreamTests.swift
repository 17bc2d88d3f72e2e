import ConfigFile
import System
import Time
import Foundation
import Configuration
import Gateway
import Processes
import Glibc
import Synchronization
import TestSockets
import Testing

/// A day in the life of a stream: a worker in this process, on a clock of the test's.
@Suite struct LongStreamTests {
    /// Moves on by what the test adds.
    private final class Time: Sendable {
        private let ahead = Atomic<UInt64>(0)
        private let (now, wall) = (Clock.now(), Clock.wall())

        func pass(_ nanoseconds: UInt64) { ahead.add(nanoseconds, ordering: .relaxed) }
        var clock: LoopClock {
            LoopClock(
                now: { self.now.adding(Nanoseconds(self.ahead.load(ordering: .relaxed))) },
                wall: { self.wall + self.ahead.load(ordering: .relaxed) })
        }
    }

    private static let second: UInt64 = 1_000_000_000

    @Test func aStreamLastsADayAndNoLongerThanItsCredential() throws {
        let folder = TemporaryFolder()
        let signer = try Credentials(in: folder)
        let (hour, goesOn) = (Box(0), Flag())
        let upstream = try ScriptedServer { client, _ in
            let isTunnel = client.read(until: "\r\n\r\n").contains("/tunnel")
            client.send(
                isTunnel
                    ? "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                    : "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            var told = 0
            while eventually(within: 60, { hour.value > told || goesOn.isSet }), !goesOn.isSet {
                told = hour.value
                let text = String(format: "hour %04d", told)
                client.send(isTunnel ? [0x81, 9] + Array(text.utf8) : Array("9\r\n\(text)\r\n".utf8))
            }
            _ = client.isClosedByPeer(within: 20_000)
        }
        defer { goesOn.set() }
        let port = Ports.free()
        let file = try folder.write(
            "gateway.conf",
            """
            listen 127.0.0.1:\(port) { plaintext; }
            issuer sso { url https://sso.example.com; keys \(signer.keySetFile); audience api.example.com; algorithms EdDSA; }
            upstream app { server 127.0.0.1:\(upstream.port); stream_timeout 2h; }
            route /** { upstream app; auth sso; upgrade websocket; }
            """)
        let time = Time()
        let loop = try EventLoop(clock: time.clock)
        let (files, diagnostics) = (RecordingFiles(), Diagnostics())
        let settings = Settings(file, files: files, environment: [:], processors: 1, diagnostics)
        try #require(diagnostics.isEmpty, "\(diagnostics.rendered())")
        let (supervisor, own) = try Socket.pair()
        let socket = try Socket.bind(to: try #require(SocketAddress("127.0.0.1:\(port)")))
        let worker = try Worker(
            settings: settings, files: files.bundle, memory: HostMemory(limitKeys: 64), own: ProcessMemory(),
            supervisor: Descriptor(owning: own),
            sockets: [(0, dup(socket.raw))], loop: loop, log: .silent)
        defer { close(supervisor) }
        var keys = [MessageKind.ticketKeys.rawValue] + [UInt8](repeating: 7, count: 80)
        send(supervisor, &keys, keys.count, 0)
        // There is no control process to wait for.
        loop.turn(waitingAtMost: 20)
        time.pass(4 * Self.second)
        func turns(until condition: () -> Bool) -> Bool {
            for _ in 0..<2_000 {
                if condition() { return true }
                loop.turn(waitingAtMost: 5)
            }
            return condition()
        }
        #expect(turns { Ports.isOpen(port) })

        // Twenty-four hours, and the issuer's leeway of half a minute.
        let token = try signer.token(expiresIn: 24 * 3_600)
        func client(_ path: String, _ more: String) throws -> RawClient {
            let client = try RawClient(port: port)
            client.send("GET \(path) HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n\(more)\r\n")
            return client
        }
        let events = try client("/events", "")
        let tunnel = try client("/tunnel", "Connection: Upgrade\r\nUpgrade: websocket\r\n")
        var seen = (events: "", tunnel: "")
        func take(until text: String) -> Bool {
            turns {
                seen.events += events.read(until: text, silence: 0)
                seen.tunnel += tunnel.read(until: text, silence: 0)
                return seen.events.contains(text) && seen.tunnel.contains(text)
            }
        }
        #expect(take(until: "\r\n\r\n"))
        for number in 1...23 {
            // In strides, as an hour passes; timers of all kinds come due on the way.
            for _ in 0..<4 {
                time.pass(15 * 60 * Self.second - Self.second / 4)
                loop.turn(waitingAtMost: 0)
            }
            hour.value = number
            #expect(take(until: String(format: "hour %04d", number)), "hour \(number): \(seen)")
        }
        #expect(!seen.events.contains("\r\n0\r\n\r\n") && !seen.tunnel.contains("has expired"))
        time.pass(3_600 * Self.second)
        loop.turn(waitingAtMost: 0)
        time.pass(120 * Self.second)
        let haveEnded = turns {
            seen.events += events.read(silence: 0)
            seen.tunnel += tunnel.read(silence: 0)
            return seen.events.hasSuffix("\r\n0\r\n\r\n") && seen.tunnel.contains("has expired")
        }
        #expect(haveEnded, "\(seen.events.suffix(60)) \(seen.tunnel.suffix(60))")
        withExtendedLifetime(worker) {}
    }
}
