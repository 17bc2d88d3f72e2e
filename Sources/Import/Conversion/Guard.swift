/// What a client needs to be served at a location, or by a route.
enum Guard: Equatable {
    /// Nothing.
    case open
    /// Credentials, networks or methods.
    case demands(Access, methods: [String]?)
    /// Nobody is served: it is refused, or answered without a service.
    case closed

    init(_ access: Access, methods: [String]?) {
        self = access.isOpen && methods == nil ? .open : .demands(access, methods: methods)
    }

    /// Whether who is served here would be served there too.
    func isAtLeast(_ other: Guard) -> Bool {
        switch (self, other) {
        case (.closed, _), (_, .open): true
        case (.demands(let own, let methods), .demands(let access, let needed)):
            (own == access || access.isOpen) && (needed == nil || methods.map { Set($0).isSubset(of: Set(needed ?? [])) } ?? false)
        default: false
        }
    }
}

extension ImportedRoute {
    var protection: Guard {
        if case .upstream = target { Guard(access, methods: methods) } else { .closed }
    }

    /// Lets nobody through until somebody has decided.
    mutating func close(_ comment: String) {
        guard target != .closed else { return }
        (target, access, lines, methods) = (.closed, Access(), [.closed], nil)
        (differences, claimFields) = ([.closed], [])
        comments.append(comment)
    }
}
