/// What becomes of a directive of nginx, as far as its name says it.
enum DirectiveMeaning: Equatable {
    /// The importer reads it, and says itself what became of it.
    case read
    /// It has no counterpart, and nothing is lost.
    case dropped
    /// What differs.
    case noted(String)
    /// Why the gateway has nothing like it. The routes for which it holds are closed.
    case refused(String)

    /// An unknown directive may well be one that decides who comes in, so it is refused.
    init(_ name: String) {
        if Self.readNames.contains(name) {
            self = .read
        } else if Self.droppedNames.contains(name) {
            self = .dropped
        } else if let note = Self.notes[name] {
            self = .noted(note)
        } else if let reason = Self.refusals[name] {
            self = .refused(reason)
        } else if let (_, meaning) = Self.families.first(where: { $0.0.matches(name) }) {
            self = meaning
        } else {
            self = .refused("it is not known to the importer, and may decide who comes in")
        }
    }

    private static let readNames: Set<String> = [
        "http", "server", "location", "upstream", "events", "listen", "server_name", "include", "ssl_certificate", "ssl_certificate_key",
        "ssl_protocols", "http2", "proxy_pass", "grpc_pass", "auth_request", "auth_request_set", "proxy_set_header", "grpc_set_header",
        "add_header",
        "error_page", "return", "rewrite", "set", "map", "if", "allow", "deny", "satisfy", "auth_basic", "auth_basic_user_file", "internal",
        "root", "alias", "try_files", "index", "autoindex", "limit_req", "limit_req_zone", "limit_except", "client_max_body_size",
        "client_body_timeout", "client_header_timeout", "keepalive_timeout", "send_timeout", "proxy_read_timeout", "proxy_send_timeout",
        "proxy_connect_timeout", "grpc_read_timeout", "grpc_connect_timeout", "proxy_redirect", "proxy_hide_header", "proxy_ssl_verify",
        "proxy_ssl_trusted_certificate",
        "proxy_ssl_name", "proxy_ssl_certificate", "proxy_ssl_certificate_key", "set_real_ip_from", "real_ip_header", "default_type",
        "expires",
        "proxy_cache", "proxy_cache_valid", "proxy_cache_key", "proxy_pass_request_body", "proxy_pass_request_headers", "proxy_method",
        "ssl_verify_client", "ssl_client_certificate", "proxy_http_version",
    ]

    /// Whether a directive that the importer reads is missed by nobody where it found no use for it.
    static func isIdleWithoutLoss(_ name: String) -> Bool {
        [
            "map", "set", "proxy_http_version", "default_type", "auth_request_set", "proxy_redirect", "index", "autoindex", "send_timeout",
            "http2",
            "client_body_timeout", "proxy_cache", "proxy_ssl_verify",
        ].contains(name)
    }

    /// Whether a refused directive says what is served, and nothing of who may come.
    static func isContent(_ name: String) -> Bool {
        ["fastcgi", "uwsgi", "scgi", "sub_filter", "memcached", "dav_", "image_filter", "xslt", "passenger_"].contains {
            name.hasPrefix($0)
        }
            || [
                "stub_status", "flv", "mp4", "random_index", "empty_gif", "ssi", "slice", "add_before_body", "add_after_body",
                "create_full_put_path",
            ].contains(name)
    }

    private static let droppedNames: Set<String> = [
        "user", "worker_processes", "worker_connections", "worker_rlimit_nofile", "worker_cpu_affinity", "worker_priority",
        "worker_shutdown_timeout",
        "pid", "daemon", "master_process", "error_log", "access_log", "log_format", "log_not_found", "log_subrequest", "rewrite_log",
        "multi_accept", "use", "accept_mutex", "load_module", "pcre_jit", "env", "thread_pool", "timer_resolution", "debug_connection",
        "lock_file", "sendfile", "sendfile_max_chunk", "tcp_nopush", "tcp_nodelay", "aio", "directio", "output_buffers", "types",
        "types_hash_max_size",
        "types_hash_bucket_size", "server_names_hash_max_size", "server_names_hash_bucket_size", "variables_hash_max_size",
        "variables_hash_bucket_size", "map_hash_max_size", "map_hash_bucket_size", "proxy_headers_hash_max_size",
        "proxy_headers_hash_bucket_size", "server_tokens", "charset", "charset_types", "override_charset", "source_charset", "resolver",
        "resolver_timeout", "open_file_cache", "open_file_cache_valid", "open_file_cache_min_uses", "open_file_cache_errors",
        "proxy_buffering", "proxy_buffers", "proxy_buffer_size", "proxy_busy_buffers_size", "proxy_max_temp_file_size",
        "proxy_temp_file_write_size", "proxy_temp_path", "proxy_request_buffering", "proxy_socket_keepalive", "proxy_bind",
        "proxy_headers_hash", "proxy_ssl_server_name", "proxy_ssl_session_reuse", "proxy_ssl_verify_depth", "proxy_pass_header",
        "proxy_force_ranges", "proxy_limit_rate", "grpc_buffer_size", "grpc_socket_keepalive", "grpc_ssl_server_name",
        "client_body_buffer_size", "client_header_buffer_size",
        "client_body_temp_path", "client_body_in_file_only", "client_body_in_single_buffer", "connection_pool_size", "request_pool_size",
        "keepalive_requests", "keepalive_time", "keepalive_disable", "reset_timedout_connection", "lingering_close", "lingering_time",
        "lingering_timeout", "server_name_in_redirect", "port_in_redirect", "absolute_redirect", "postpone_output", "read_ahead",
        "ssl_session_cache", "ssl_session_timeout", "ssl_session_tickets", "ssl_session_ticket_key", "ssl_stapling", "ssl_stapling_verify",
        "ssl_trusted_certificate",
        "ssl_prefer_server_ciphers", "ssl_dhparam", "ssl_ecdh_curve", "ssl_buffer_size", "ssl_early_data", "ssl_conf_command",
        "ssl_session_ticket_key", "ssl_reject_handshake", "real_ip_recursive", "zone", "keepalive", "least_conn", "random",
        "proxy_cache_path",
        "proxy_cache_lock", "proxy_cache_lock_timeout", "proxy_cache_lock_age", "proxy_cache_methods", "proxy_cache_min_uses",
        "proxy_cache_revalidate",
        "proxy_cache_use_stale", "proxy_cache_background_update", "proxy_cache_bypass", "proxy_no_cache", "proxy_ignore_client_abort",
        "http2_max_concurrent_streams",
        "http2_body_preread_size", "http2_recv_timeout", "http2_idle_timeout", "http2_max_requests", "http2_chunk_size",
        "http2_max_field_size", "http2_max_header_size", "http2_push", "http2_push_preload", "etag", "if_modified_since",
        "chunked_transfer_encoding", "recursive_error_pages", "max_ranges", "limit_req_log_level", "limit_conn_log_level", "msie_padding",
        "msie_refresh",
        "disable_symlinks", "break", "min_delete_depth", "subrequest_output_buffer_size", "underscores_in_headers",
        "ignore_invalid_headers",
        "uninitialized_variable_warn", "quic_retry", "http3_hq", "ssl_password_file", "fastcgi_buffers", "fastcgi_buffer_size",
        "fastcgi_read_timeout",
        "fastcgi_connect_timeout", "fastcgi_send_timeout", "fastcgi_busy_buffers_size", "fastcgi_hide_header", "fastcgi_temp_path",
        "uwsgi_temp_path",
        "scgi_temp_path", "log_by_lua_file", "autoindex_exact_size", "autoindex_localtime", "autoindex_format",
    ]

    private static let notes = [
        "ssl_ciphers": "the gateway's own list holds, which is Mozilla's intermediate one",
        "proxy_intercept_errors": "what a service responds is its own, and reaches the client",
        "proxy_next_upstream": "a request goes to another server where that is safe, and not for a status",
        "proxy_next_upstream_tries": "a request goes to another server where that is safe",
        "proxy_next_upstream_timeout": "a request goes to another server where that is safe",
        "proxy_ignore_headers": "fields of the service's are for nobody but the client",
        "proxy_cookie_path": "rewrite_redirects does it by the prefixes of the route",
        "proxy_cookie_domain": "the Domain of a service's cookies is left as it is",
        "proxy_cookie_flags": "the attributes of a service's cookies are left as they are",
        "large_client_header_buffers": "client_limits { head_size …; target_size …; } bounds it: 32k and 8k by default",
        "merge_slashes": "a path is matched as every service behind may read it",
        "limit_req_status": "what is beyond a limit gets 429",
        "limit_req_dry_run": "a limit that only counts has no counterpart: this one holds",
        "limit_conn": "client_limits { requests NUMBER; } bounds what one address has under way",
        "limit_conn_zone": "client_limits { requests NUMBER; } bounds what one address has under way",
        "limit_conn_status": "client_limits { requests NUMBER; } gives 429",
        "limit_rate": "the rate of a response is not bounded",
        "limit_rate_after": "the rate of a response is not bounded",
        "ip_hash": "requests take turns among the servers: a service that keeps sessions has to share them",
        "hash": "requests take turns among the servers: a service that keeps sessions has to share them",
        "sticky": "requests take turns among the servers: a service that keeps sessions has to share them",
        "gzip": "responses are not compressed: let the service do it", "brotli": "responses are not compressed: let the service do it",
        "http3": "HTTP/3 is not spoken", "quic_gso": "HTTP/3 is not spoken", "ssl_crl": "client certificates are not asked for",
        "geo": "a variable of this map is refused where it is used", "split_clients": "a variable of this map is refused where it is used",
        "js_import": "njs is not run: what uses it is refused", "js_path": "njs is not run: what uses it is refused",
        "js_include": "njs is not run: what uses it is refused", "js_set": "njs is not run: what uses it is refused",
        "js_var": "njs is not run: what uses it is refused",
        "lua_package_path": "Lua is not run: what uses it is refused", "lua_shared_dict": "Lua is not run: what uses it is refused",
        "lua_package_cpath": "Lua is not run: what uses it is refused",
        "lua_ssl_trusted_certificate": "Lua is not run: what uses it is refused",
        "lua_ssl_verify_depth": "Lua is not run: what uses it is refused", "init_by_lua_block": "Lua is not run: what uses it is refused",
        "init_worker_by_lua_block": "Lua is not run: what uses it is refused", "lua_code_cache": "Lua is not run: what uses it is refused",
        "fastcgi_cache_path": "responses are not cached", "more_clear_headers": "add remove_response_header NAME; by hand",
        "status_zone": "counters have no counterpart yet", "opentracing": "traces have no counterpart yet",
        "vhost_traffic_status_zone": "counters have no counterpart yet",
        "send_lowat": "it has no counterpart", "proxy_store": "responses are not stored",
        "mirror_request_body": "requests are not mirrored",
        "mirror": "requests are not mirrored", "more_set_headers": "add set_response_header NAME VALUE always; by hand",
        "gzip_static": "a file server behind does it", "valid_referers": "an if that looks at $invalid_referer is refused",
    ]

    private static let files = "the gateway serves no files: put a file server behind, and name it by --files HOST:PORT"

    private static let refusals = [
        "stream": "TCP and UDP are not proxied", "mail": "mail is not proxied", "sub_filter": "bodies pass as they are",
        "sub_filter_once": "bodies pass as they are", "sub_filter_types": "bodies pass as they are",
        "sub_filter_last_modified": "bodies pass as they are",
        "memcached_pass": "services are asked over HTTP alone", "stub_status": "counters have no counterpart yet",
        "auth_jwt": "tokens are verified by an issuer NAME { … }: write it by hand, with its keys and audience",
        "auth_jwt_key_file": "tokens are verified by an issuer NAME { … }: write it by hand, with its keys and audience",
        "auth_digest": "Digest authentication has no counterpart", "auth_ldap": "LDAP has no counterpart: put an authorizer before it",
        "auth_pam": "PAM has no counterpart: put an authorizer before it",
        "auth_pam_service_name": "PAM has no counterpart: put an authorizer before it",
        "secure_link": "signed links have no counterpart", "secure_link_md5": "signed links have no counterpart",
        "secure_link_secret": "signed links have no counterpart", "dav_methods": files, "dav_access": files, "create_full_put_path": files,
        "flv": files, "mp4": files, "random_index": files, "empty_gif": files, "image_filter": "bodies pass as they are",
        "xslt_stylesheet": "bodies pass as they are", "ssi": "bodies pass as they are", "slice": "responses are not cached",
        "add_before_body": "bodies pass as they are", "add_after_body": "bodies pass as they are",
        "modsecurity": "a firewall of requests has no counterpart: keep it behind",
        "modsecurity_rules_file": "a firewall of requests has no counterpart: keep it behind",
        "proxy_set_body": "bodies pass as they are",
        "more_set_input_headers": "write set_header NAME VALUE; by hand",
    ]

    /// Names that are told by how they begin or end.
    private static let families: [(Affix, DirectiveMeaning)] = [
        (.prefix("gzip_"), .dropped), (.prefix("brotli_"), .dropped), (.prefix("zstd"), .dropped), (.prefix("open_log_file"), .dropped),
        (.prefix("proxy_ssl_"), .noted("the gateway's own settings hold for TLS to services")),
        (.prefix("js_"), .refused("njs is not run")), (.infix("_by_lua"), .refused("Lua is not run")),
        (.prefix("perl"), .refused("Perl is not run")),
        (.prefix("fastcgi"), .refused("FastCGI is not spoken: put a server of HTTP before it")),
        (.prefix("uwsgi"), .refused("uwsgi is not spoken: have it listen for HTTP")),
        (.prefix("scgi"), .refused("SCGI is not spoken: put a server of HTTP before it")),
        (.prefix("auth_"), .refused("this kind of authentication has no counterpart")),
        (.prefix("oidc"), .refused("this kind of authentication has no counterpart")),
        (.prefix("ssl_ocsp"), .dropped), (.prefix("passenger_"), .refused("applications are not run: have them listen for HTTP")),
        (.prefix("userid"), .noted("cookies that count visitors are not set")),
        (.prefix("otel_"), .noted("traces have no counterpart yet")),
    ]

    private enum Affix {
        case prefix(String), infix(String)

        func matches(_ name: String) -> Bool {
            switch self {
            case .prefix(let text): name.hasPrefix(text)
            case .infix(let text): name.contains(text)
            }
        }
    }
}
