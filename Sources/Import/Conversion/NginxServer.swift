/// A server of nginx with its locations.
struct NginxServer {
    let directive: NginxDirective
    let scope: NginxScope
    let locations: [NginxLocation]

    init(_ directive: NginxDirective, in http: NginxScope) {
        self.directive = directive
        scope = http.inner(directive.block ?? [])
        locations = NginxLocation.all(in: scope)
    }

    /// The location that nginx finds for a path, regular expressions left out; nil where there is none.
    func location(for path: String) -> NginxLocation? {
        var longest: (location: NginxLocation, count: Int)?
        for location in locations {
            switch location.matching {
            case .exact(let text) where text == path: return location
            case .prefix(let text, _) where path.hasPrefix(text) && text.utf8.count >= longest?.count ?? 0:
                longest = (location, text.utf8.count)
            default: break
            }
        }
        return longest?.location
    }

    func named(_ name: String) -> NginxLocation? { locations.first { $0.matching == .named(name) } }

    /// Where an internal redirect leads: `@name`, or a path.
    func target(_ text: String) -> NginxLocation? {
        text.hasPrefix("@") ? named(text) : location(for: String(text.prefix { $0 != "?" }))
    }
}
