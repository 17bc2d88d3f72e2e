import Foundation
import Glibc

/// 127.0.0.`host`.
private func loopback(_ host: UInt8 = 1, port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = (0x7F00_0000 | UInt32(host)).bigEndian
    return address
}

/// Lends an address as the system's calls want it.
private func withAddress(_ address: inout sockaddr_in, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
}

package enum Ports {
    /// The next to try: below those that the system gives to outgoing connections, which could take one at any moment.
    private static let next = Box<Int>(Int.random(in: 10_000..<30_000))

    /// A TCP port of the loopback interface that nobody has; never the same twice.
    package static func free() -> Int {
        while true {
            let port = next.change { $0 = $0 < 32_000 ? $0 + 1 : 10_000 }
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(descriptor) }
            var address = loopback(port: port)
            if withAddress(&address, { bind(descriptor, $0, $1) }) == 0 { return port }
        }
    }

    package static func isOpen(_ port: Int) -> Bool { (try? RawClient(port: port)) != nil }
}

/// Polls until something is so; false after the deadline.
@discardableResult
package func eventually(within seconds: Double = 15, _ condition: () -> Bool) -> Bool {
    let end = Date().addingTimeInterval(seconds)
    while Date() < end {
        if condition() { return true }
        usleep(10_000)
    }
    return condition()
}

/// A connection in clear that says exactly what the test wants.
package final class RawClient: Sendable {
    private let descriptor: Int32

    package struct Refused: Error {}

    /// - Parameters:
    ///   - host: the last byte of the client's own address, 127.0.0.`host`.
    ///   - receiveBytes: how much the system may hold that is not read.
    package init(port: Int, from host: UInt8 = 1, receiveBytes: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        if var receiveBytes { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBytes, socklen_t(MemoryLayout<Int32>.size)) }
        var own = loopback(host, port: 0)
        let bound = withAddress(&own) { bind(descriptor, $0, $1) }
        var address = loopback(port: port)
        // The descriptor is closed by `deinit`: an object whose fields are all there has one even when its initializer throws.
        guard bound == 0, withAddress(&address, { connect(descriptor, $0, $1) }) == 0 else { throw Refused() }
    }

    /// Takes over a connection.
    fileprivate init(owning descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Makes the close that comes a reset.
    package func resetOnClose() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    package func send(_ text: String) { send(Array(text.utf8)) }

    package func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            sent += count
        }
    }

    package func endWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Everything that comes until the connection ends, until `marker` has come, or until there is silence for so long.
    package func read(until marker: String? = nil, silence milliseconds: Int32 = 5_000) -> String {
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            if let marker, String(decoding: received, as: UTF8.self).contains(marker) { break }
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, milliseconds) > 0 else { break }
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            received.append(contentsOf: buffer[..<count])
        }
        return String(decoding: received, as: UTF8.self)
    }

    /// How many bytes of what is there now were read, at most so many; nil when the connection has ended.
    package func take(_ most: Int) -> Int? { takeBytes(most)?.count }

    /// At most so many bytes, of what is there now; nil when the connection has ended.
    package func takeBytes(_ most: Int) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: most)
        let count = recv(descriptor, &buffer, most, Int32(MSG_DONTWAIT))
        if count > 0 { return Array(buffer[..<count]) }
        return count < 0 && errno == EAGAIN ? [] : nil
    }

    /// At most so many bytes, once some are there; nil when the connection has ended, or nothing comes for so long.
    package func waitForBytes(_ most: Int, silence milliseconds: Int32 = 20_000) -> [UInt8]? {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, milliseconds) > 0 else { return nil }
        return takeBytes(most)
    }

    /// One answer with a Content-Length, whole; empty when the connection ends before.
    fileprivate func readAnswer() -> String {
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let text = String(decoding: received, as: UTF8.self)
            if let end = text.range(of: "\r\n\r\n"), let field = text.range(of: "content-length: ", options: .caseInsensitive),
                let length = Int(text[field.upperBound...].prefix { $0.isNumber }), text[end.upperBound...].utf8.count >= length
            {
                return text
            }
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 20_000) > 0 else { return "" }
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { return "" }
            received.append(contentsOf: buffer[..<count])
        }
    }

    /// Passes bytes both ways until one side ends.
    package func splice(with other: RawClient) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            var entries = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: other.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&entries, 2, 20_000) > 0 else { return }
            for (from, to) in [(0, other), (1, self)] where entries[from].revents != 0 {
                let count = recv(entries[from].fd, &buffer, buffer.count, 0)
                guard count > 0 else { return }
                to.send(Array(buffer[..<count]))
            }
        }
    }

    /// Whether the connection has been reset or its other side closed (POLLRDHUP), without reading from it.
    package var isBroken: Bool {
        var entry = pollfd(fd: descriptor, events: Int16(0x2000), revents: 0)
        return poll(&entry, 1, 0) > 0
    }

    /// Whether the other side has ended the connection, waiting for it.
    package func isClosedByPeer(within milliseconds: Int32 = 5_000) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        var byte: UInt8 = 0
        while poll(&entry, 1, milliseconds) > 0 {
            if recv(descriptor, &byte, 1, 0) <= 0 { return true }
        }
        return false
    }
}

/// Many requests over kept connections, by a client that never sends one twice: what was lost shows.
package enum PlainLoad {
    /// How often each status came; 0 stands for a request that got no whole response. The responses must have a Content-Length.
    package static func run(port: Int, request: String, count: Int, parallel: Int) -> [Int: Int] {
        let left = Box(count)
        let statuses = Box<[Int: Int]>([:])
        let running = Box(parallel)
        for _ in 0..<parallel {
            Thread {
                var client: RawClient?
                while left.change({ $0 -= 1 }) >= 0 {
                    let used = client ?? (try? RawClient(port: port))
                    client = used
                    var answer = ""
                    if let used {
                        used.send(request)
                        answer = used.readAnswer()
                    }
                    let status = Int(answer.split(separator: " ").dropFirst().first ?? "") ?? 0
                    statuses.change { $0[status, default: 0] += 1 }
                    if status == 0 || answer.contains("Connection: close") { client = nil }
                }
                running.change { $0 -= 1 }
            }.start()
        }
        eventually(within: 120) { running.value == 0 }
        return statuses.value
    }
}

/// A socket that is bound to a free port of 127.0.0.1, and its address.
private func boundToLoopback(port: Int = 0) -> (descriptor: Int32, address: sockaddr_in) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
            _ = bind(descriptor, generic, size)
            _ = getsockname(descriptor, generic, &size)
        }
    }
    return (descriptor, address)
}

/// A listener whose queue is full: the kernel answers no further attempt to connect.
package final class FullListener {
    package let port: Int
    private var descriptors: [Int32] = []

    package init() throws {
        let (listener, address) = boundToLoopback()
        port = Int(UInt16(bigEndian: address.sin_port))
        descriptors = [listener]
        guard listen(listener, 0) == 0 else { throw RawClient.Refused() }
        for _ in 0..<4 {
            let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
            withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = connect(client, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            descriptors.append(client)
        }
    }

    deinit { for descriptor in descriptors { close(descriptor) } }
}

/// An upstream that does what the test says, connection by connection.
package final class ScriptedServer: @unchecked Sendable {
    package let port: Int
    private let listener: Int32

    /// - Parameters:
    ///   - asked: the port; 0 for a free one.
    ///   - serve: gets each connection on a thread of its own, with its number from 0 on; it ends with the return.
    package init(port asked: Int = 0, _ serve: @escaping @Sendable (RawClient, Int) -> Void) throws {
        let (descriptor, address) = boundToLoopback(port: asked)
        listener = descriptor
        port = Int(UInt16(bigEndian: address.sin_port))
        guard listen(descriptor, 128) == 0 else {
            close(descriptor)
            throw RawClient.Refused()
        }
        Thread {
            var number = 0
            // Closed here, after the last `accept`, so that its number is not another socket's by then.
            defer { close(descriptor) }
            while true {
                let accepted = accept(descriptor, nil, nil)
                guard accepted >= 0 else { return }
                let (client, own) = (RawClient(owning: accepted), number)
                number += 1
                Thread { serve(client, own) }.start()
            }
        }.start()
    }

    private let isStopped = Flag()

    /// Takes no more connections. Once: the number may be another socket's afterwards.
    package func stop() { if isStopped.setFirst() { shutdown(listener, Int32(SHUT_RDWR)) } }

    deinit { stop() }
}

package final class Flag: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false

    package init() {}

    package var isSet: Bool { lock.withLock { value } }
    package func set() { lock.withLock { value = true } }

    /// Whether it was not set before.
    package func setFirst() -> Bool {
        lock.withLock {
            defer { value = true }
            return !value
        }
    }
}

package final class Box<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var held: Value

    package init(_ value: Value) { held = value }

    package var value: Value {
        get { lock.withLock { held } }
        set { lock.withLock { held = newValue } }
    }

    /// Changes the value and returns the new one.
    @discardableResult
    package func change(_ body: (inout Value) -> Void) -> Value {
        lock.withLock {
            body(&held)
            return held
        }
    }
}
