import Foundation
import Glibc
import TestSockets

/// Passes connections on to a port of this host; what comes back waits for a while first.
final class DelayProxy {
    /// In microseconds, of what comes from now on.
    let delay = Box<UInt32>(0)
    let connections = Box(0)
    private var server: ScriptedServer?
    var port: Int { server?.port ?? 0 }

    init(to target: Int) throws {
        server = try ScriptedServer { [delay, connections] client, _ in
            guard let upstream = try? RawClient(port: target) else { return }
            connections.change { $0 += 1 }
            // Each piece has its own time: many may be on their way at once.
            let pieces = Box<[(bytes: [UInt8], at: Date)]>([])
            let isOver = Flag()
            Thread {
                while let bytes = upstream.waitForBytes(65_536, silence: 600_000) {
                    pieces.change { $0.append((bytes, Date(timeIntervalSinceNow: Double(delay.value) / 1e6))) }
                }
                isOver.set()
            }.start()
            Thread {
                while !isOver.isSet {
                    var due: [[UInt8]] = []
                    pieces.change { list in
                        let now = Date()
                        due = list.prefix { $0.at <= now }.map(\.bytes)
                        list.removeFirst(due.count)
                    }
                    for bytes in due { client.send(bytes) }
                    if due.isEmpty { usleep(500) }
                }
            }.start()
            while let bytes = client.waitForBytes(65_536, silence: 600_000) { upstream.send(bytes) }
            isOver.set()
        }
    }
}
