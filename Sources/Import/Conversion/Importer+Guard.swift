/// What nginx demands at a location, whether or not it can be said in a route.
extension Importer {
    func protection(_ location: NginxLocation, in server: NginxServer) -> Guard {
        if let known = protections[location.directive.id] { return known }
        let result = foundProtection(location, in: server)
        protections[location.directive.id] = result
        return result
    }

    private func foundProtection(_ location: NginxLocation, in server: NginxServer) -> Guard {
        let scope = location.scope
        if location.isInternal
            || !closings(scope).allSatisfy({ DirectiveMeaning.isContent($0.directive.name) && options.fileServer == nil })
        {
            return .closed
        }
        if let answer = server.scope.own("return") ?? scope.own("return") {
            // A text that nginx gives to everybody is open; a redirect or an error serves nobody.
            return Int(answer.value).map { 200..<300 ~= $0 } ?? false ? .open : .closed
        }
        guard let conditions = try? conditions(scope, in: server), let access = try? access(scope, in: server) else { return .closed }
        var result = Behaviour(access: access, target: .closed, methods: conditions.methods)
        guard (try? methods(scope, &result)) != nil else { return .closed }
        return Guard(access, methods: result.methods)
    }
}
