import ConfigFile
import Forwarding
import HTTPMessage

/// Directives of the file, or of the group of a host, that hold for every route below.
///
/// What a route says comes first: a directive that says the same thing otherwise is not inherited, and every other one is, so that nothing is
/// lost where a route adds something of its own (as it would be in nginx).
struct InheritedDirectives {
    /// Those that a route inherits.
    static let names =
        ["set_header", "remove_header", "sign_in", "cors", "compress", "maintenance"] + ResponseFields.directives + ["error_page"]

    private let directives: [Directive]
    /// The claims that a route's credentials may have, by its `auth`; nil for any.
    private let claims: (_ auth: Directive) -> Set<String>?

    init(_ directives: [Directive], claims: @escaping (_ auth: Directive) -> Set<String>?) {
        self.directives = directives
        self.claims = claims
    }

    /// These, and nearer ones.
    func and(_ nearer: [Directive]) -> InheritedDirectives {
        InheritedDirectives(
            directives.compactMap { Self.left(of: $0, by: nearer) } + nearer.filter { !Self.isOff($0) },
            claims: claims)
    }

    /// A route with what it inherits.
    ///
    /// - Parameter more: what it has besides by its place in the file.
    func completed(_ route: Directive, _ more: [Directive] = []) -> Directive {
        guard let own = route.block else { return route }
        let inherited = directives.compactMap { Self.left(of: $0, by: own) }.filter { applies($0, to: own) }
        return Directive(name: route.name, arguments: route.arguments, block: more + own.filter { !Self.isOff($0) } + inherited)
    }

    /// `NAME off;`: a route that does not want what the file says.
    private static func isOff(_ directive: Directive) -> Bool {
        ["sign_in", "cors", "hsts", "security_headers", "error_page", "compress"].contains(directive.name.text)
            && directive.arguments.map(\.text) == ["off"] && directive.block == nil
    }

    /// What of a directive is not said otherwise; nil for nothing.
    private static func left(of directive: Directive, by others: [Directive]) -> Directive? {
        guard directive.name.text == "error_page", let file = directive.arguments.last else {
            return isSaid(directive, by: others) ? nil : directive
        }
        if others.contains(where: { $0.name.text == "error_page" && isOff($0) }) { return nil }
        let said = Set(others.filter { $0.name.text == "error_page" }.flatMap { $0.arguments.dropLast().map(\.text) })
        let statuses = directive.arguments.dropLast().filter { !said.contains($0.text) }
        return statuses.isEmpty ? nil : Directive(name: directive.name, arguments: statuses + [file], block: nil)
    }

    private static func isSaid(_ directive: Directive, by others: [Directive]) -> Bool {
        let name = directive.name.text
        guard let word = directive.arguments.first?.text else { return others.contains { $0.name.text == name } }
        return others.contains { other in
            switch (name, other.name.text) {
            case ("set_header", "set_header"):
                FieldIdentity.fold(word) == other.arguments.first.map { FieldIdentity.fold($0.text) }
            // Fields that are added stand beside each other; what is set or removed takes the place of all.
            case ("add_response_header", "set_response_header"), ("set_response_header", "set_response_header"):
                word.lowercased() == other.arguments.first?.text.lowercased()
            case ("add_response_header", "remove_response_header"), ("set_response_header", "remove_response_header"):
                other.arguments.contains { $0.text.lowercased() == word.lowercased() }
            case ("remove_header", _), ("add_response_header", _), ("remove_response_header", _), ("set_response_header", _): false
            default: name == other.name.text
            }
        }
    }

    /// Whether the route has a use for it: one that answers forwards nothing, and one that is public has no claims.
    private func applies(_ directive: Directive, to own: [Directive]) -> Bool {
        let has: (String) -> Bool = { name in own.contains { $0.name.text == name } }
        switch directive.name.text {
        case "set_header" where has("answer"), "remove_header" where has("answer"), "compress" where has("answer"): return false
        case "sign_in" where has("public"): return false
        default: break
        }
        let named = Set(
            directive.arguments.flatMap { Template($0, Diagnostics())?.variables ?? [] }.compactMap { variable in
                switch variable {
                case .claim(let name): name
                // No authorizer has a token, and so no such claim.
                case .tokenPayload: variable.name
                default: nil
                }
            })
        if named.isEmpty { return true }
        guard !has("public"), let auth = own.first(where: { $0.name.text == "auth" }) else { return !has("public") }
        return claims(auth).map { named.isSubset(of: $0) } ?? true
    }
}
