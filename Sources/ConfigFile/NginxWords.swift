/// What nginx's own words are here: for those who write what their fingers know.
package enum NginxWords {
    /// What to write in place of a directive of nginx; nil for a name that is none, or that means the same here.
    static func advice(_ name: String) -> String? {
        directives[name].map { "in nginx \(name); here: \($0)" }
    }

    /// What to write in place of a variable of nginx, without its `$`.
    static func variable(_ name: String) -> String? {
        if let known = variables[name] { return "in nginx $\(name); here: \(known)" }
        for (prefix, own) in [("http_", "$header."), ("cookie_", "$cookie."), ("arg_", "$query.")] where name.hasPrefix(prefix) {
            let rest = String(name.dropFirst(prefix.count))
            if !rest.isEmpty { return "in nginx $\(name); here: \(own)\(prefix == "http_" ? rest.replacing("_", with: "-") : rest)" }
        }
        if name.hasPrefix("upstream_http_") || name.hasPrefix("sent_http_") {
            return "in nginx $\(name); here: claim NAME FIELD; in an authorizer, and $claim.NAME"
        }
        return nil
    }

    /// Whether directives are those of an nginx.conf, and not a gateway.conf with a word of nginx in it.
    package static func isConfiguration(_ directives: [Directive]) -> Bool {
        directives.contains { directive in
            guard let block = directive.block else { return false }
            switch directive.name.text {
            case "events", "http", "location": return true
            case "server": return block.contains { ["listen", "server_name", "location", "root"].contains($0.name.text) }
            default: return false
            }
        }
    }

    private static let variables = [
        "remote_addr": "$client.ip", "realip_remote_addr": "$client.ip", "scheme": "$request.scheme", "host": "$request.host",
        "http_host": "$request.host", "server_name": "$request.host", "request_uri": "$request.uri", "uri": "$request.path",
        "document_uri": "$request.path", "args": "$request.query", "query_string": "$request.query", "request_method": "$request.method",
        "request_id": "$request.id", "remote_user": "$claim.sub", "is_args": "$request.uri, which has the query",
        "proxy_add_x_forwarded_for": "nothing: X-Forwarded-For is sent by itself", "http_upgrade": "upgrade websocket; in the route",
        "connection_upgrade": "upgrade websocket; in the route", "proxy_host": "nothing: the service's own name is known to it",
    ]

    private static let directives = [
        "location": "route /PATH/** { … }", "server": "listen ADDRESS { … }, and host NAME { route … }", "server_name": "host NAME …;",
        "http": "nothing: what stands in it stands in the file itself", "events": "nothing: workers and client_limits say it",
        "worker_processes": "workers", "worker_connections": "client_limits { connections NUMBER; }",
        "worker_rlimit_nofile": "nothing: the limit of the service's unit holds",
        "proxy_pass": "upstream NAME; in the route, and upstream NAME { server HOST:PORT; }",
        "grpc_pass": "upstream NAME; with protocol h2 in it",
        "grpc": "upstream NAME; with protocol h2 in it", "websocket": "upgrade websocket; in the route",
        "proxy_set_header": "set_header NAME VALUE; in the route, or in the file for all", "grpc_set_header": "set_header NAME VALUE;",
        "proxy_hide_header": "remove_response_header NAME;", "proxy_pass_header": "nothing: fields of the service pass",
        "proxy_pass_request_headers": "nothing: fields pass but for those that are set or removed",
        "proxy_pass_request_body": "nothing: the body passes",
        "add_header": "add_response_header NAME VALUE [always];", "more_set_headers": "set_response_header NAME VALUE [always];",
        "more_clear_headers": "remove_response_header NAME;",
        "auth_request": "authorizer NAME { server …; path …; }, and auth NAME; in the route",
        "auth_request_set": "claim NAME FIELD; in the authorizer, and $claim.NAME",
        "auth_basic": "htpasswd NAME FILE; in the file, and auth NAME; in the route",
        "auth_basic_user_file": "htpasswd NAME FILE; in the file, and auth NAME; in the route",
        "auth_jwt": "issuer NAME { … }, and auth NAME; in the route", "auth_jwt_key_file": "keys FILE; in an issuer",
        "satisfy": "auth any NAME …; where a NAME may be a network",
        "allow": "from NETWORK …;", "deny": "from NETWORK …; which names those that may", "return": "answer STATUS [TEXT [TYPE]];",
        "rewrite": "strip_prefix /PREFIX; and add_prefix /PREFIX;, or answer 301 LOCATION;",
        "root": "upstream NAME; of a file server: the gateway serves no files",
        "alias": "upstream NAME; of a file server: the gateway serves no files",
        "try_files": "upstream NAME; of a file server: the gateway serves no files",
        "index": "upstream NAME; of a file server: the gateway serves no files",
        "autoindex": "upstream NAME; of a file server: the gateway serves no files",
        "expires": "set_response_header Cache-Control VALUE;", "ssl_certificate": "listen ADDRESS { tls { certificate CHAIN KEY; } }",
        "ssl_certificate_key": "listen ADDRESS { tls { certificate CHAIN KEY; } }", "ssl_protocols": "tls { minimum 1.2; }",
        "ssl": "listen ADDRESS { tls { … } }",
        "ssl_ciphers": "nothing: the gateway's own list is a good one", "ssl_prefer_server_ciphers": "nothing",
        "ssl_session_cache": "nothing: tickets, with ticket_rotation",
        "ssl_session_timeout": "ticket_rotation TIME;", "ssl_dhparam": "nothing: no such exchange is offered", "ssl_stapling": "nothing",
        "http2": "protocols h2 http/1.1; in listen", "client_max_body_size": "max_body_size SIZE;",
        "client_body_timeout": "timeouts { body TIME; }",
        "client_header_timeout": "timeouts { head TIME; }", "keepalive_timeout": "timeouts { idle TIME; }",
        "send_timeout": "timeouts { write TIME; }",
        "keepalive_requests": "client_limits { requests_per_connection NUMBER; }",
        "large_client_header_buffers": "client_limits { head_size SIZE; }",
        "proxy_read_timeout": "answer_timeout TIME; in the upstream, and stream_timeout TIME; for tunnels and event streams",
        "proxy_send_timeout": "answer_timeout TIME; in the upstream", "proxy_connect_timeout": "connect_timeout TIME; in the upstream",
        "proxy_http_version": "nothing: HTTP/1.1 with kept connections, or protocol h2; in the upstream",
        "proxy_buffering": "nothing: bodies stream", "proxy_request_buffering": "nothing: bodies stream",
        "proxy_buffers": "nothing: bodies stream",
        "proxy_buffer_size": "head_size SIZE; in the upstream", "proxy_redirect": "rewrite_redirects on|off;",
        "proxy_cookie_path": "rewrite_redirects on|off;",
        "proxy_ssl_verify": "tls { trusted_certificate FILE; } in the upstream: servers are always verified",
        "proxy_ssl_trusted_certificate": "tls { trusted_certificate FILE; } in the upstream",
        "proxy_ssl_name": "tls { server_name NAME; } in the upstream",
        "proxy_ssl_server_name": "nothing: the name is always sent",
        "proxy_intercept_errors": "nothing: what a service responds is its own",
        "proxy_next_upstream": "nothing: a request goes to another server where that is safe", "limit_req": "limit NAME; in the route",
        "limit_req_zone": "limit NAME { rate …; burst …; key …; }", "limit_conn": "client_limits { requests NUMBER; }",
        "limit_conn_zone": "client_limits { requests NUMBER; }",
        "limit_except": "method GET HEAD { … }", "set_real_ip_from": "trusted_proxies NETWORK …;",
        "real_ip_header": "trusted_fields x_forwarded|forwarded;",
        "real_ip_recursive": "nothing: trusted proxies are passed over", "if": "routes, method blocks, require and from: there is no if",
        "map": "variables in directives, routes and require: there is no map", "geo": "from NETWORK …;",
        "set": "the variable itself: there is no set",
        "gzip": "nothing: the service compresses", "sendfile": "nothing", "tcp_nopush": "nothing", "tcp_nodelay": "nothing",
        "server_tokens": "nothing: no version is told",
        "error_log": "nothing: messages go to standard error", "log_format": "nothing: lines are JSON, with their own members",
        "pid": "nothing", "internal": "nothing: no client reaches an authorizer by a route",
        "ip_hash": "balance round_robin|least_connections;", "least_conn": "balance least_connections;",
        "stub_status": "metrics, which come later",
        "underscores_in_headers": "nothing: two spellings of a name are one",
        "merge_slashes": "nothing: a path is matched as every service behind may read it",
    ]
}
