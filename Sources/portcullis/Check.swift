import Administration
import ArgumentParser
import ConfigFile
import Configuration
import Control
import Processes
import Redis
import System

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read the configuration as 'run' would, and show its errors or what it means.")

    @OptionGroup var file: ConfigurationOption
    @Flag(help: "Take what is hardly meant for an error.") var strict = false
    @Flag(help: "Print the routes as they are understood: each with what it inherits from the file and from the group of its host.")
    var effective = false
    @Flag(
        help:
            "Ask each Redis whether limits will work there: its rights, version, memory and TLS. Writes one key, which ends within a second."
    )
    var live = false
    @Flag(help: "Print what is wrong, or hardly meant, as JSON: for editors and pipelines.") var json = false

    func run() throws {
        if json { return try printReports() }
        let (settings, _) = try readSettings(file.config, isStrict: strict)
        let text = effective ? settings.routeDirectives.map { $0.text() }.joined(separator: "\n") : Summary(settings).text
        print(effective ? settings.redaction(text) : text, terminator: "")
        if live { try checkLive(settings) }
    }

    private func checkLive(_ settings: Settings) throws {
        let loop = try EventLoop()
        var isGood = true
        print("")
        for redis in settings.redis {
            let check = LiveCheck(
                redis, countsHosts: settings.countsHosts(in: redis.name), readsRates: settings.readsRates(in: redis.name), on: loop,
                resolve: { NameLookup(host: $0).run() })
            for finding in check.run() {
                let word = ["good": "ok", "warning": "warning", "error": "error"]["\(finding.severity)"] ?? ""
                print("redis      \(redis.name)  \(word): \(finding.text)" + (finding.hint.map { "\n           = \($0)" } ?? ""))
                if finding.severity == .error || strict && finding.severity == .warning { isGood = false }
            }
        }
        if settings.redis.isEmpty { print("there is no redis in the file to be asked") }
        if !isGood { throw ExitCode(1) }
    }

    private func printReports() throws {
        let diagnostics = Diagnostics()
        _ = TestedConfiguration(path: file.config).read(files: RecordingFiles(), diagnostics)
        let isGood = diagnostics.isEmpty && !(strict && diagnostics.hasWarnings)
        let reports = diagnostics.reports.map { report in
            JSON.object([
                ("severity", .text(report.isError ? "error" : "warning")), ("file", report.file.map { .text($0) } ?? .null),
                ("line", .number(UInt64(max(0, report.line)))), ("column", .number(UInt64(max(0, report.column)))),
                ("message", .text(report.message)), ("hint", report.hint.map { .text($0) } ?? .null),
            ])
        }
        print(
            String(
                decoding: JSON.object([("file", .text(file.config)), ("ok", .bool(isGood)), ("reports", .array(reports))]).line,
                as: UTF8.self), terminator: "")
        if !isGood { throw ExitCode(1) }
    }
}
