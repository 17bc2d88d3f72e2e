import ConfigFile
import Routing

/// Where a browser without a good credential goes: error_page 401.
extension Importer {
    struct SignIn {
        var lines: [GatewayLine] = []
        var differences: Set<KnownDifference> = []
    }

    func signIn(_ location: NginxLocation, _ authorizer: AuthorizerDraft?, in server: NginxServer) -> SignIn {
        guard let page = location.scope.nearest("error_page").last(where: { $0.arguments.dropLast().contains("401") }) else {
            return SignIn()
        }
        let words = page.arguments.filter { $0 != "=" && !($0.hasPrefix("=") && $0.dropFirst().allSatisfy(\.isNumber)) && Int($0) == nil }
        guard var target = words.last else { return SignIn() }
        // The sign may be a part of the word.
        if target.hasPrefix("="), target.count > 1 { target.removeFirst() }
        if target.hasPrefix("@") || target.hasPrefix("/") {
            guard let next = server.target(target) else {
                record.note("no location answers \(target): 401 as it is", page)
                return SignIn()
            }
            return signIn(at: next, target, from: location, authorizer, page)
        }
        return signIn(url: target, location.scope, authorizer, page)
    }

    /// A location that stands for the sign-in page, or sends to it.
    private func signIn(
        at next: NginxLocation, _ target: String, from location: NginxLocation, _ authorizer: AuthorizerDraft?, _ page: NginxDirective
    ) -> SignIn {
        let scope = location.scope.inner(next.directive.block ?? [])
        if let authorizer { passFields(scope, authorizer) }
        // What the location of the page sends away, by whatever condition, is meant for who has not signed in.
        let inner = next.scope.here.first { $0.name == "if" && ($0.block ?? []).contains { $0.name == "return" } }
        let returned = inner?.block?.first { $0.name == "return" } ?? next.scope.own("return")
        if let returned {
            record.converted(next.directive)
            for line in [inner, returned, next.scope.own("return")].compactMap({ $0 }) { record.converted(line) }
            let url = returned.arguments.count > 1 ? returned.argument(1) : returned.value
            guard Int(url) == nil, Int(returned.value).map({ 300..<400 ~= $0 }) ?? true else {
                record.note("401 stays 401", page)
                return SignIn()
            }
            return signIn(url: url, scope, authorizer, page)
        }
        if let rewrite = next.scope.here.first(where: { $0.name == "rewrite" && ["redirect", "permanent"].contains($0.argument(2)) }) {
            record.converted(next.directive)
            record.converted(rewrite)
            return signIn(url: rewrite.argument(1), scope, authorizer, page)
        }
        if case .named = next.matching {
            record.note("what \(target) shows is not shown: it is 401 in the gateway's own words", page)
            record.note("who has not signed in gets 401, and not this location", next.directive)
            return SignIn(differences: [.signInByRedirect])
        }
        if next.scope.own("proxy_pass") != nil, !next.isInternal {
            guard let url = try? translated(target, in: scope, for: page, authorizer) else {
                record.note("where \(target) is depends on logic: 401 as it is", page)
                return SignIn(differences: [.signInByRedirect, .signInForBrowsersAlone])
            }
            record.note("a browser is sent to \(target), and nginx shows it in place; scripts get 401", page)
            let back = target.contains("?") ? "" : "?rd=$request.uri"
            return SignIn(lines: [GatewayLine("sign_in", url + back)], differences: [.signInByRedirect, .signInForBrowsersAlone])
        }
        return staticPage(["401"], next, target, page)
    }

    private func signIn(url: String, _ scope: NginxScope, _ authorizer: AuthorizerDraft?, _ page: NginxDirective) -> SignIn {
        let expanded = NginxVariables(scope).expanded(url)
        if expanded.parts == [.authorizerField("location")] || expanded.parts == [.authorizerField("x_auth_request_redirect")] {
            authorizer?.followsRefusal = true
            record.note("only browsers that go to a page are sent where the Location says; scripts get 401", page)
            return SignIn(differences: [.signInForBrowsersAlone])
        }
        // What an authorizer says with its refusal is known to nginx, and not here.
        let isKnown = { (part: NginxText.Part) in if case .authorizerField = part { false } else { true } }
        if !expanded.parts.allSatisfy(isKnown) { record.note("what the authorizer says when it refuses is left empty in the URL", page) }
        do {
            let plain = NginxText(parts: expanded.parts.filter(isKnown)).joined
            let text = Self.withPath(try translated(plain.written, in: scope, for: page, authorizer))
            let word = Word(text: text, position: Position(file: 0, offset: 0, length: 0), isQuoted: true)
            guard URLTemplate(location: word, Diagnostics()) != nil else {
                record.note(
                    "'\(url)' is no place that the gateway sends a browser to: it begins with / or https://HOST/, with no variable in the host but $host",
                    page)
                return SignIn(differences: [.signInForBrowsersAlone])
            }
            record.note("only browsers that go to a page are sent to sign in; scripts get 401", page)
            return SignIn(lines: [GatewayLine("sign_in", text)], differences: [.signInForBrowsersAlone])
        } catch {
            record.note("\(error.reason): who has not signed in gets 401", page)
            return SignIn(differences: [.signInForBrowsersAlone])
        }
    }

    /// `https://auth.example.com?rd=` with the slash that belongs behind the host.
    private static func withPath(_ url: String) -> String {
        guard url.hasPrefix("https://") || url.hasPrefix("http://"), let colon = url.firstIndex(of: ":") else { return url }
        let rest = url[url.index(colon, offsetBy: 3)...]
        guard let end = rest.firstIndex(where: { $0 == "/" || $0 == "?" }) else { return url + "/" }
        return url[end] == "/" ? url : url[..<end] + "/" + url[end...]
    }

    /// `pass_response Set-Cookie` where the cookies of the authorizer's response reach the client.
    func passFields(_ scope: NginxScope, _ authorizer: AuthorizerDraft) {
        let conditional = scope.here.filter { $0.name == "if" }.flatMap { $0.block ?? [] }
        for field in scope.nearest("add_header") + conditional where field.name == "add_header" && field.value.lowercased() == "set-cookie"
        {
            authorizer.pass("set_cookie")
            record.note("all cookies of the authorizer's response reach the client", field)
        }
    }

    /// A page that stands in a file.
    func staticPage(_ statuses: [String], _ location: NginxLocation, _ uri: String, _ page: NginxDirective) -> SignIn {
        guard let root = location.scope.one("root") ?? location.scope.one("alias"), !root.value.contains("$") else {
            record.note("this page is not shown: the gateway's own words are", page)
            return SignIn()
        }
        let file = path(root.name == "root" ? root.value + uri : root.value)
        let readable = file.hasPrefix("/") ? file : folder + file
        guard let content = try? files.read(readable), content.count <= 262_144 else {
            record.note("\(file) cannot be read, so the gateway's own words are shown", page)
            return SignIn()
        }
        record.converted(page)
        record.converted(location.directive)
        record.converted(root)
        return SignIn(lines: [GatewayLine(words: ["error_page"] + statuses + [file])])
    }

    /// Pages for the gateway's own refusals and failures.
    func errorPages(_ location: NginxLocation, in server: NginxServer) -> [GatewayLine] {
        var lines: [GatewayLine] = []
        var said: Set<String> = []
        for page in location.scope.nearest("error_page") where !page.arguments.dropLast().contains("401") {
            let statuses = page.arguments.dropLast().filter { word in
                Int(word).map { 400..<600 ~= $0 } ?? false && said.insert(word).inserted
            }
            guard let target = page.arguments.last, target.hasPrefix("/"), !target.contains("$"), let next = server.target(target),
                !statuses.isEmpty
            else {
                record.note("the gateway's own words are shown for what it refuses itself; what a service responds is never replaced", page)
                continue
            }
            lines += staticPage(Array(statuses), next, target, page).lines
        }
        return lines
    }
}
