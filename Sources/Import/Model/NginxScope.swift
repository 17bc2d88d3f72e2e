/// The blocks of nginx in which a directive holds, outermost first: http, server, location, a location within.
struct NginxScope {
    let levels: [[NginxDirective]]
    /// Variables that are set somewhere in the file. Where none of a scope's own directives sets one, it is empty.
    var declared: Set<String> = []

    /// The innermost block.
    var here: [NginxDirective] { levels.last ?? [] }

    func inner(_ block: [NginxDirective]) -> NginxScope { NginxScope(levels: levels + [block], declared: declared) }

    /// Directives of these names, of the innermost block that has any: those of further out are lost in nginx.
    func nearest(_ names: String...) -> [NginxDirective] {
        for level in levels.reversed() {
            let found = level.filter { names.contains($0.name) }
            if !found.isEmpty { return found }
        }
        return []
    }

    /// The one that holds of directives of which one holds.
    func one(_ name: String) -> NginxDirective? { nearest(name).last }

    /// The last of this name in the innermost block, for what is not inherited.
    func own(_ name: String) -> NginxDirective? { here.last { $0.name == name } }

    /// Whether `NAME on;` holds.
    func isOn(_ name: String) -> Bool { one(name)?.value == "on" }
}
