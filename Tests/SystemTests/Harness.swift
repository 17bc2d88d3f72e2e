import Foundation
import Glibc
import TestSockets

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

/// A program that runs beside the test and ends with it.
final class Program {
    private let process = Process()
    private let stopSignal: Int32
    let output: String

    init(_ executable: String, _ arguments: [String], log: String, environment: [String: String] = [:], stopSignal: Int32 = SIGTERM) throws
    {
        output = log
        self.stopSignal = stopSignal
        _ = FileManager.default.createFile(atPath: log, contents: nil)
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
    /// Looked up in /proc: Foundation sees the end of a program only when nobody holds the descriptors that it inherited.
    var isRunning: Bool { Self.isAlive(pid) }

    var exitStatus: Int32 {
        process.waitUntilExit()
        return process.terminationStatus
    }
    var log: String { (try? String(contentsOfFile: output, encoding: .utf8)) ?? "" }

    func signal(_ number: Int32) { kill(pid, number) }

    func stop() {
        guard isRunning else { return }
        kill(pid, stopSignal)
        if !eventually(within: 8, { !isRunning }) { kill(pid, SIGKILL) }
    }

    /// The processes that a process has started.
    static func children(of process: pid_t) -> [pid_t] {
        let list = (try? String(contentsOfFile: "/proc/\(process)/task/\(process)/children", encoding: .utf8)) ?? ""
        return list.split(separator: " ").compactMap { pid_t($0) }
    }

    /// Whether the process runs; one that has ended and was not yet reaped does not.
    static func isAlive(_ process: pid_t) -> Bool {
        guard let status = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else { return false }
        return status.split(separator: ")").last?.split(separator: " ").first != "Z"
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
