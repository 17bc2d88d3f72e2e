import ArgumentParser
import CLinux
import ConfigFile
import Import
import Processes
import Supervisor
import System

struct ImportNginx: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import-nginx",
        abstract: "Write a gateway.conf for an nginx.conf.",
        discussion: """
            Reads what nginx reads, with all includes, or what 'nginx -T' prints. The file goes to standard output; what became of each line \
            to standard error: converted, converted with a note, or refused with the reason. A location that is refused gets a route that \
            answers 501, so that nothing that it guarded is open.

            --prove writes no file: it runs both programs beside each other on free ports of 127.0.0.1, before services that tell what they are \
            sent, and an authorizer that knows the cookie session=good. It needs nginx on this machine, and touches nothing that runs.

            Exits with 0 if the file was written, or nothing differs that is not noted; 1 if the input is wrong, the file does not pass 'check', \
            --strict finds a refusal or --prove a difference; 2 if the trial did not come about.
            """)

    @Argument(help: "The file of nginx; - for standard input, as in: nginx -T | portcullis import-nginx -") var file: String
    @Option(name: [.short, .long], help: "Write the file there, and not to standard output.") var output: String?
    @Option(name: .customLong("files"), help: "HOST:PORT of a file server behind, for locations with root and alias.") var fileServer:
        String?
    @Flag(help: "Leave regular expressions that only deny, and have no route, to the services behind, in place of closing what they cover.")
    var dropDenials = false
    @Flag(help: "Fail if something is refused.") var strict = false
    @Flag(help: "Show only what is noted or refused.") var brief = false
    @Flag(help: "Start nginx with the old file and the gateway with the new one, send both the same requests, and print what differs.")
    var prove = false
    @Option(help: "With --prove: the gateway.conf that nginx is compared with, such as an edited one.") var against: String?
    @Flag(help: "With --prove: print the noted differences one by one.") var verbose = false

    func run() throws {
        let imported = try read()
        let checked = CheckedImport(imported, files: FilesBeside(RecordingFiles(), folder: folder))
        if prove { return try runTrial(imported.replacing(try against.map(readGateway) ?? checked.gateway)) }
        let text = checked.text
        if let output {
            do {
                try LocalFiles.write(Array(text.utf8), to: output)
            } catch {
                complain("\(output) cannot be written: \(error.reason)")
                throw ExitCode(1)
            }
        } else {
            print(text, terminator: "")
        }
        complain(brief ? imported.record.briefText : imported.record.text)
        if !checked.problems.isEmpty {
            complain("What was written does not pass check yet:\n" + checked.problems.joined(separator: "\n"))
            throw ExitCode(1)
        }
        if strict, imported.record.refusals > 0 { throw ExitCode(1) }
    }

    private func runTrial(_ imported: NginxImport) throws {
        ProcessRights.ignoreSignals([SIGPIPE])
        do {
            guard try TrialRun.prove(imported, folder: folder.isEmpty ? "." : folder, isVerbose: verbose) else { throw ExitCode(1) }
        } catch let error as TrialError {
            complain(error.reason)
            throw ExitCode(2)
        } catch let error as SystemError {
            complain("the trial did not come about: \(error.description)")
            throw ExitCode(2)
        }
    }

    private func readGateway(_ path: String) throws -> [GatewayLine] {
        let diagnostics = Diagnostics()
        let directives = Parser(files: RecordingFiles(), environment: Environment.all, diagnostics: diagnostics).parse(path)
        guard diagnostics.isEmpty else {
            complain(diagnostics.rendered())
            throw ExitCode(1)
        }
        return directives.map { GatewayLine($0) }
    }

    private func read() throws -> NginxImport {
        let files: any FileSource
        if file == "-" {
            files = FilesWithOne("-", try StandardInput.all(bytesMax: 16 << 20), besides: RecordingFiles())
        } else {
            files = RecordingFiles()
        }
        do throws(NginxSyntaxError) {
            return try NginxImport(file, files: files, options: ImportOptions(fileServer: fileServer, dropsDenials: dropDenials))
        } catch {
            complain(error.description)
            throw ExitCode(1)
        }
    }

    /// Of the file of nginx; empty for the working directory.
    private var folder: String { file.lastIndex(of: "/").map { String(file[..<$0]) } ?? "" }
}

/// Files of the system; relative paths begin in a folder.
final class FilesBeside: FileSource {
    private let files: any FileSource
    private let folder: String

    init(_ files: any FileSource, folder: String) {
        self.files = files
        self.folder = folder
    }

    private func path(_ name: String) -> String { name.hasPrefix("/") || folder.isEmpty ? name : folder + "/" + name }

    func read(_ path: String) throws(FileError) -> [UInt8] { try files.read(self.path(path)) }
    func list(_ pattern: String) throws(FileError) -> [String] { try files.list(path(pattern)) }
}
