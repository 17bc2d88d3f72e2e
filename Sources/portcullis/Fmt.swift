import ArgumentParser
import ConfigFile
import System

struct Fmt: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lay a configuration file out: lines stand under their blocks. What stands in a line stays as it is.",
        discussion:
            "Prints the file; with -w it is written, with -d the lines are shown that would change, and the exit status is 1 where there are any."
    )

    @Argument(help: "The file.") var path = "/etc/portcullis/gateway.conf"
    @Flag(name: .short, help: "Write the file.") var write = false
    @Flag(name: .short, help: "Show the lines that change.") var diff = false

    func validate() throws {
        if write, diff { throw ValidationError("-w writes the file, -d does not: take one of them") }
    }

    func run() throws {
        let bytes: [UInt8]
        do {
            bytes = try LocalFiles.read(path)
        } catch {
            complain("cannot read \(path): \(error.reason)")
            throw ExitCode(1)
        }
        let diagnostics = Diagnostics()
        guard let layout = FileLayout(bytes, path: path, diagnostics) else {
            complain(diagnostics.rendered())
            throw ExitCode(1)
        }
        let text = layout.text
        if write {
            guard text != bytes else { return }
            do {
                try LocalFiles.write(text, to: path)
            } catch {
                complain("cannot write \(path): \(error.reason)")
                throw ExitCode(1)
            }
        } else if diff {
            let changes = Self.changes(from: bytes, to: text)
            print(changes, terminator: "")
            if !changes.isEmpty { throw ExitCode(1) }
        } else {
            print(String(decoding: text, as: UTF8.self), terminator: "")
        }
    }

    /// The lines that are taken away and put in.
    private static func changes(from before: [UInt8], to after: [UInt8]) -> String {
        func lines(_ bytes: [UInt8]) -> [String] {
            var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
            if lines.last == "" { lines.removeLast() }
            return lines
        }
        var text = ""
        for change in lines(after).difference(from: lines(before)) {
            switch change {
            case .remove(let offset, let line, _): text += "-\(offset + 1): \(line)\n"
            case .insert(let offset, let line, _): text += "+\(offset + 1): \(line)\n"
            }
        }
        return text
    }
}
