package import ConfigFile
import Configuration
import Policy

/// Reads what was written as `check` does, and closes what it would refuse: a file that passes, whatever the input was.
///
/// Left alone is what only the machine can mend, such as a certificate that is not there.
package struct CheckedImport {
    package private(set) var gateway: [GatewayLine]
    /// What `check` still says.
    package private(set) var problems: [String] = []
    private let record: ImportRecord
    private let files: any FileSource
    private let imported: NginxImport

    package init(_ imported: NginxImport, files: any FileSource) {
        gateway = imported.gateway
        record = imported.record
        self.imported = imported
        self.files = files
        for _ in 0..<12 {
            problems = messages()
            let found = problems.compactMap { problem in Self.line(of: problem).flatMap { place(ofLine: $0) }.map { ($0, problem) } }
            let mendable = found.filter { gateway[$0.0.top].name != "listen" && !Self.isOfTheMachine($0.1) }
            if mendable.isEmpty { break }
            // From the end, so that the places of the others stay.
            var done: Set<Place> = []
            // A line that is gone has no places any more, and those before it stand where they stood.
            var gone: Set<Int> = []
            for (place, problem) in mendable.sorted(by: { ($0.0.top, $0.0.inner ?? -1) > ($1.0.top, $1.0.inner ?? -1) })
            where !gone.contains(place.top) && done.insert(place).inserted {
                let count = gateway.count
                mend(place, problem)
                if gateway.count < count { gone.insert(place.top) }
            }
        }
    }

    /// The file that is written.
    package var text: String { imported.heading + gateway.map { $0.text() }.joined() }

    private struct Place: Hashable {
        var top: Int
        var inner: Int?
    }

    private func messages() -> [String] {
        let diagnostics = Diagnostics()
        let settings = Settings(
            "gateway.conf", files: FilesWithOne("gateway.conf", Array(gateway.map { $0.text() }.joined().utf8), besides: files),
            environment: [:], processors: 1,
            diagnostics)
        if diagnostics.isEmpty { PolicyTestRun.check(settings, at: 1_800_000_000, diagnostics) }
        return diagnostics.messages
    }

    /// Whether a file is missing, or holds something else.
    private static func isOfTheMachine(_ problem: String) -> Bool { problem.contains("cannot read") || problem.contains(" PEM ") }

    /// The line in `gateway.conf:LINE:COLUMN: …`.
    private static func line(of problem: String) -> Int? {
        problem.hasPrefix("gateway.conf:") ? Int(problem.dropFirst(13).prefix { $0 != ":" }) : nil
    }

    private func place(ofLine line: Int) -> Place? {
        var at = 1
        for (top, one) in gateway.enumerated() {
            let count = one.lineCount
            guard line >= at + count else {
                guard one.name == "host" || one.name == "test", let block = one.block else { return Place(top: top) }
                var inner = at + one.comments.reduce(0) { $0 + $1.split(whereSeparator: \.isNewline).count } + 1
                if line < inner { return Place(top: top) }
                for (index, child) in block.enumerated() {
                    if line < inner + child.lineCount { return Place(top: top, inner: index) }
                    inner += child.lineCount
                }
                return Place(top: top)
            }
            at += count
        }
        return nil
    }

    private mutating func mend(_ place: Place, _ problem: String) {
        let reason = problem.split(separator: ": ", maxSplits: 1).dropFirst().first.map(String.init) ?? problem
        let line = gateway[place.top]
        if let inner = place.inner, let child = line.block?[inner] {
            // A case that does not hold any more was about a route that is closed now.
            if line.name == "host", child.block?.contains(where: { $0.words == GatewayLine.closed.words }) == false {
                let route = closed(child, reason)
                gateway[place.top].block?[inner] = route
            } else {
                gateway[place.top].block?.remove(at: inner)
            }
            if gateway[place.top].block?.isEmpty ?? true { remove(place.top, reason) }
            return
        }
        if line.name == "route", line.block?.contains(where: { $0.words == GatewayLine.closed.words }) == false {
            gateway[place.top] = closed(line, reason)
        } else {
            record.refuse("'\(line.words.joined(separator: " "))' is left out: \(reason)", line.source)
            remove(place.top, reason)
        }
    }

    /// Without the routes of a host its requests would come to those for every host: they are closed with it.
    private mutating func remove(_ index: Int, _ reason: String) {
        let line = gateway.remove(at: index)
        guard line.name == "host" else { return }
        for (other, route) in gateway.enumerated() where route.name == "route" {
            let shut = closed(route, "the routes of \(line.words.dropFirst().joined(separator: " ")) are left out: \(reason)")
            gateway[other] = shut
        }
    }

    private func closed(_ route: GatewayLine, _ reason: String) -> GatewayLine {
        record.refuse("its route is closed: \(reason)", route.source)
        var route = route
        route.comments.append("REFUSED \(reason)")
        route.block = [GatewayLine("public"), GatewayLine.closed]
        return route
    }
}
