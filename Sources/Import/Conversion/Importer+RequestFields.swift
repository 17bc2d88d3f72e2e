/// Fields of the request to the service: proxy_set_header.
extension Importer {
    struct RequestFields {
        var lines: [GatewayLine] = []
        /// Whether the request may change to another protocol.
        var isTunnel = false
        var claimFields: [(field: String, claim: String)] = []
    }

    func requestFields(
        _ scope: NginxScope, _ target: ProxyTarget, _ access: Access, _ authorizer: AuthorizerDraft?
    ) throws(Refused) -> RequestFields {
        var result = RequestFields()
        let variables = NginxVariables(scope)
        var names: Set<String> = []
        var saysHost = false
        var saysAuthorization = false
        // What nginx calls them is what the claims are called.
        for directive in scope.nearest("auth_request_set") {
            record.converted(directive)
            let text = NginxText(directive.argument(1))
            guard let authorizer, text.parts.count == 1, case .variable(let name) = text.parts[0], name.hasPrefix("upstream_http_") else {
                continue
            }
            let field = String(name.dropFirst("upstream_http_".count))
            if !["set_cookie", "location"].contains(field) {
                _ = authorizer.claim(for: field, called: String(directive.value.drop { $0 == "$" }))
            }
        }
        for field in scope.nearest(target.isGRPC ? "grpc_set_header" : "proxy_set_header") where field.arguments.count == 2 {
            let name = field.value.lowercased()
            guard names.insert(name).inserted else { continue }
            let value = variables.expanded(field.argument(1))
            record.converted(field)
            switch name {
            case "host":
                saysHost = true
                if let line = try forwardedHost(value, field, scope, target) { result.lines.append(line) }
            case "upgrade": result.isTunnel = value.literal != ""
            case "connection", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-forwarded-prefix",
                "forwarded",
                "x-request-id", "te", "transfer-encoding", "content-length", "expect", "trailer", "keep-alive", "proxy-connection", "proxy":
                // The gateway says them itself, by the same rules.
                break
            case "authorization":
                saysAuthorization = true
                if value.literal == "" {
                    result.lines.append(GatewayLine("remove_header", "Authorization"))
                } else if value.isVariable("http_authorization") {
                    result.lines.append(GatewayLine("forward_token", "as_received"))
                } else {
                    result.lines.append(
                        GatewayLine("set_header", "Authorization", try translated(field.argument(1), in: scope, for: field, authorizer)))
                }
            case "cookie":
                if value.literal == "" {
                    result.lines.append(GatewayLine("remove_header", "Cookie"))
                } else if !value.isVariable("http_cookie") {
                    throw Refused(reason: "cookies go on as they came", directive: field)
                }
            default:
                guard value.literal != "" else {
                    result.lines.append(GatewayLine("remove_header", field.value))
                    continue
                }
                if value.isVariable("http_\(name.replacing("-", with: "_"))") || name == "content-type" && value.isVariable("content_type")
                {
                    continue
                }
                result.lines.append(try setHeader(field, value, scope, authorizer))
                if value.parts.count == 1, case .authorizerField(let source) = value.parts[0], let authorizer {
                    result.claimFields.append((field.value, authorizer.claim(for: source, called: nil)))
                }
            }
        }
        if !saysHost, !target.authority.hasPrefix("unix:") {
            // nginx tells a service its own name, as proxy_pass has it.
            result.lines.append(GatewayLine("forward_host", target.authority))
        } else if !saysHost {
            result.lines.append(GatewayLine("forward_host", "localhost"))
        }
        if !saysAuthorization { result.lines.append(GatewayLine("forward_token", "as_received")) }
        return result
    }

    private func forwardedHost(_ value: NginxText, _ field: NginxDirective, _ scope: NginxScope, _ target: ProxyTarget) throws(Refused)
        -> GatewayLine?
    {
        if value.isVariable("host", "http_host") { return nil }
        let hostAndPort: [NginxText.Part] = [.variable("host"), .text(":"), .variable("server_port")]
        if value.parts == hostAndPort || value.isVariable("server_name") {
            record.note("the service gets the Host that the client sent", field)
            return nil
        }
        if value.isVariable("proxy_host") { return GatewayLine("forward_host", target.authority) }
        guard let text = value.literal, !text.isEmpty else {
            throw Refused(reason: "a Host made of '\(field.argument(1))' has no counterpart", directive: field)
        }
        return GatewayLine("forward_host", text)
    }

    /// `set_header`; where the value is one of nginx's own that the gateway does not have, the client's field is removed at least.
    private func setHeader(_ field: NginxDirective, _ value: NginxText, _ scope: NginxScope, _ authorizer: AuthorizerDraft?) throws(Refused)
        -> GatewayLine
    {
        do {
            let text = try NginxVariables(scope).translated(NginxText(field.argument(1))) { authorizer?.claim(for: $0, called: nil) }
            return GatewayLine("set_header", field.value, text)
        } catch {
            guard !error.isLogic else {
                throw Refused(
                    reason: "the value of \(field.value) depends on $\(error.variable), which has no counterpart", directive: field)
            }
            record.note("$\(error.variable) has no counterpart: the service does not get \(field.value), neither from a client", field)
            return GatewayLine("remove_header", field.value)
        }
    }
}
