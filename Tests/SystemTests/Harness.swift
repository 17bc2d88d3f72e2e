import Foundation
import Glibc

/// A folder of one test, removed with it.
final class TemporaryFolder {
    let path: String

    init() {
        path = NSTemporaryDirectory() + "portcullis-test-" + UUID().uuidString
        // Workers run as an unprivileged user and look at key files here.
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        let file = path + "/" + name
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        return file
    }

    func read(_ name: String) -> String { (try? String(contentsOfFile: path + "/" + name, encoding: .utf8)) ?? "" }
}

enum Ports {
    /// A TCP port of the loopback interface that nobody has.
    static func free() -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                _ = bind(descriptor, generic, size)
                _ = getsockname(descriptor, generic, &size)
            }
        }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    static func isOpen(_ port: Int) -> Bool { (try? RawClient(port: port)) != nil }
}

/// Polls until something is so; false after the deadline.
@discardableResult
func eventually(within seconds: Double = 15, _ condition: () -> Bool) -> Bool {
    let end = Date().addingTimeInterval(seconds)
    while Date() < end {
        if condition() { return true }
        usleep(10_000)
    }
    return condition()
}

/// A program that runs beside the test and ends with it.
final class Program {
    private let process = Process()
    private let stopSignal: Int32
    let output: String

    init(_ executable: String, _ arguments: [String], log: String, environment: [String: String] = [:], stopSignal: Int32 = SIGTERM) throws
    {
        output = log
        self.stopSignal = stopSignal
        FileManager.default.createFile(atPath: log, contents: nil)
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: log))
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        process.standardOutput = handle
        process.standardError = handle
        process.standardInput = FileHandle.nullDevice
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        try process.run()
    }

    deinit { stop() }

    var pid: pid_t { process.processIdentifier }
    var isRunning: Bool { process.isRunning }
    var exitStatus: Int32 { process.terminationStatus }
    var log: String { (try? String(contentsOfFile: output, encoding: .utf8)) ?? "" }

    func signal(_ number: Int32) { kill(pid, number) }

    func stop() {
        guard process.isRunning else { return }
        kill(pid, stopSignal)
        if !eventually(within: 8, { !process.isRunning }) { kill(pid, SIGKILL) }
        process.waitUntilExit()
    }
}

struct Output {
    let status: Int32
    let text: String
    let errors: String
}

/// Runs a program to its end.
func run(_ executable: String, _ arguments: [String], input: String? = nil, environment: [String: String] = [:]) throws -> Output {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let (out, errors, feed) = (Pipe(), Pipe(), Pipe())
    process.standardOutput = out
    process.standardError = errors
    process.standardInput = input == nil ? FileHandle.nullDevice : feed
    try process.run()
    if let input {
        feed.fileHandleForWriting.write(Data(input.utf8))
        try feed.fileHandleForWriting.close()
    }
    let text = out.fileHandleForReading.readDataToEndOfFile()
    let complaints = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return Output(
        status: process.terminationStatus, text: String(decoding: text, as: UTF8.self), errors: String(decoding: complaints, as: UTF8.self))
}

/// A connection in clear that says exactly what the test wants.
final class RawClient: Sendable {
    private let descriptor: Int32

    struct Refused: Error {}

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard result == 0 else {
            close(descriptor)
            throw Refused()
        }
    }

    /// Takes over a connection.
    fileprivate init(owning descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Makes the close that comes a reset.
    func resetOnClose() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    func send(_ text: String) { send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            sent += count
        }
    }

    func endWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Everything that comes until the connection ends, until `marker` has come, or until there is silence for so long.
    func read(until marker: String? = nil, silence milliseconds: Int32 = 5_000) -> String {
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

    /// Whether the other side has ended the connection, waiting for it.
    func isClosedByPeer(within milliseconds: Int32 = 5_000) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        var byte: UInt8 = 0
        while poll(&entry, 1, milliseconds) > 0 {
            if recv(descriptor, &byte, 1, 0) <= 0 { return true }
        }
        return false
    }
}

/// An upstream that does what the test says, connection by connection.
final class ScriptedServer: @unchecked Sendable {
    let port: Int
    private let listener: Int32

    /// - Parameter serve: gets each connection on a thread of its own, with its number from 0 on; it ends with the return.
    init(_ serve: @escaping @Sendable (RawClient, Int) -> Void) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        listener = descriptor
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                _ = bind(descriptor, generic, size)
                _ = getsockname(descriptor, generic, &size)
            }
        }
        port = Int(UInt16(bigEndian: address.sin_port))
        guard listen(descriptor, 128) == 0 else { throw RawClient.Refused() }
        Thread {
            var number = 0
            while true {
                let accepted = accept(descriptor, nil, nil)
                guard accepted >= 0 else { return }
                let (client, own) = (RawClient(owning: accepted), number)
                number += 1
                Thread { serve(client, own) }.start()
            }
        }.start()
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }
}
