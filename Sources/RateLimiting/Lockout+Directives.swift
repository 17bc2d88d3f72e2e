import ConfigFile
import Time

extension Lockout {
    /// Reads `lockout COUNT/TIME { … }`.
    init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        let errors = diagnostics.count
        guard directive.hasArguments(1...1, "COUNT/TIME { status STATUS …; … }", diagnostics),
            let rate = Rate(directive.arguments[0], diagnostics)
        else { return nil }
        let block = Block(of: directive, title: "a lockout", diagnostics)
        func seconds(_ name: String, _ usual: UInt64) -> UInt64 {
            block.one(name)?.duration(diagnostics, in: .seconds(1)...(.seconds(366 * 86_400))).map { Nanoseconds($0).seconds } ?? usual
        }
        func statuses(_ name: String) -> [Int] {
            (block.one(name)?.words("STATUS …", diagnostics) ?? []).compactMap { word in
                guard let status = Int(word.text), 200...599 ~= status else {
                    diagnostics.error("'\(word.text)' is not a status", at: word)
                    return nil
                }
                return status
            }
        }
        failures = rate.count
        window = rate.window.seconds
        self.statuses = statuses("status")
        resetStatuses = statuses("reset_status")
        first = seconds("for", 60)
        growth = UInt64(block.one("grow")?.integer(1...1_000, diagnostics) ?? 2)
        let until = block.one("until")
        most =
            until?.duration(diagnostics, in: .seconds(1)...(.seconds(366 * 86_400))).map { Nanoseconds($0).seconds } ?? max(first, 86_400)
        forgetAfter = seconds("forget", 86_400)
        block.finish()
        if rate.count > 4_000 || rate.window < .seconds(1) {
            diagnostics.error("a lockout counts up to 4000 failures in a second or more", at: directive.arguments[0])
        }
        if self.statuses.isEmpty, directive.block != nil {
            diagnostics.error("which responses are failures?", at: directive.name, hint: "add: status 401 403;")
        }
        if let until, most < first { diagnostics.error("until is shorter than the first lock", at: until.name) }
        if let both = self.statuses.first(where: { resetStatuses.contains($0) }) {
            diagnostics.error("\(both) is a failure and a success", at: directive.name)
        }
        if diagnostics.count > errors { return nil }
    }

    /// As the file says it.
    package var text: String {
        "\(failures)/\(window) \(statuses) for \(first) grow \(growth) until \(most) forget \(forgetAfter) reset \(resetStatuses)"
    }
}
