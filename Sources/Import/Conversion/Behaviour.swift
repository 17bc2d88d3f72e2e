/// What a location does with a request, apart from which requests it gets.
struct Behaviour {
    var access = Access()
    var target: ImportedRoute.Target
    var lines: [GatewayLine] = []
    var differences: Set<KnownDifference> = []
    var claimFields: [(field: String, claim: String)] = []
    var methods: [String]?
}
