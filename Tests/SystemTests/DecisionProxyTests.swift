import Foundation
import TestSockets
import Testing

/// Decisions for a real Caddy, which asks as Traefik does, and a real Envoy.
@Suite(.serialized) struct DecisionProxyTests {
    private static let routes = """
        route /** { upstream app; auth sso; set_header X-User-Id $claim.sub; }
        route /orders/** { upstream app; auth sso; method GET { scope read:orders; } method POST { scope create:orders; } set_header X-User-Id $claim.sub; }
        route /open/** { upstream app; public; }
        route /pages/** { upstream app; auth sso; sign_in https://sso.example.com/?rd=$request.url; }
        route /said { public; answer 200 said; }
        """

    private let decisions = Ports.free()
    private let front = Ports.free()
    private let behind = Ports.free()

    private func stage(_ kind: String) throws -> Stage {
        try Stage(
            routes: Self.routes,
            general:
                "listen 127.0.0.1:\(decisions) { plaintext; decisions \(kind); } trusted_proxies 127.0.0.1; access_log @DIR@/access.log;",
            workers: 1, servers: Nginx.echo(behind), serverPorts: [behind])
    }

    /// What every proxy in front has to come to.
    private func check(_ stage: Stage, answersOthers: Int, client: String) throws {
        let token = try stage.signer.token(subject: "ann")
        let reader = try stage.signer.token(subject: "ann", scopes: ["read:orders"])
        func curl(_ path: String, _ arguments: [String] = []) throws -> Answer {
            try stage.gateway.curl(path, arguments, scheme: "http", port: front)
        }
        #expect(eventually { (try? curl("/open/a").status) == 200 })
        #expect(try curl("/a").status == 401)
        let allowed = try curl("/a?x=%2F", ["-H", "Authorization: Bearer \(token)", "-H", "X-User-Id: root"])
        #expect(allowed.status == 200 && allowed.echoed("user") == "ann" && allowed.echoed("uri") == "/a?x=%2F", "\(allowed)")
        #expect(try curl("/a", ["-H", "Cookie: access_token=\(token)"]).status == 200)
        #expect(try curl("/a", ["-H", "Authorization: Bearer \(token)x"]).status == 401)
        #expect(try curl("/orders/1", ["-H", "Authorization: Bearer \(reader)"]).status == 200)
        #expect(try curl("/orders/1", ["-X", "POST", "-d", "x", "-H", "Authorization: Bearer \(reader)"]).status == 403)
        #expect(try curl("/orders/1", ["-X", "DELETE", "-H", "Authorization: Bearer \(reader)"]).status == 405)
        #expect(try curl("/said").status == answersOthers)
        let page = try curl("/pages/a?x", ["-H", "Accept: text/html", "-H", "Host: app.example"])
        #expect(
            page.status == 302 && page["location"]?.hasPrefix("https://sso.example.com/?rd=http%3A%2F%2Fapp.example%2Fpages%2Fa") ?? false,
            "\(page)")
        // What a client says of itself is the proxy's to drop.
        for forged in [
            "X-Forwarded-Uri: /open/a", "X-Forwarded-Method: OPTIONS", "X-Forwarded-Host: open.example", "X-Original-URI: /open/a",
        ] {
            #expect(try curl("/a", ["-H", forged]).status == 401, "\(forged)")
        }
        // The client is the one that the proxy tells; Envoy tells the machine's own address for one of the same machine.
        let line = "\"client\":\"\(client)"
        #expect(
            eventually {
                stage.folder.read("access.log").split(whereSeparator: \.isNewline).contains {
                    $0.contains(line) && $0.contains("\"method\":\"DELETE\"")
                }
            })
    }

    @Test func behindCaddy() throws {
        let stage = try stage("traefik")
        let file = try stage.folder.write(
            "Caddyfile",
            """
            {
                admin off
                auto_https off
            }
            http://:\(front) {
                bind 127.0.0.1
                forward_auth 127.0.0.1:\(decisions) {
                    uri /
                    copy_headers X-User-Id
                }
                reverse_proxy 127.0.0.1:\(behind)
            }

            """)
        let caddy = try Program(
            Executable.caddy, ["run", "--config", file, "--adapter", "caddyfile"], log: stage.folder.path + "/caddy.log",
            environment: ["HOME": stage.folder.path, "XDG_DATA_HOME": stage.folder.path, "XDG_CONFIG_HOME": stage.folder.path])
        defer { caddy.stop() }
        try check(stage, answersOthers: 403, client: "127.0.0.1\"")
    }

    @Test func behindEnvoy() throws {
        let stage = try stage("envoy")
        func cluster(_ name: String, _ port: Int) -> String {
            """
              - name: \(name)
                type: STATIC
                load_assignment:
                  cluster_name: \(name)
                  endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: \(port) } } } }] }]
            """
        }
        let file = try stage.folder.write(
            "envoy.yaml",
            """
            static_resources:
              listeners:
              - address: { socket_address: { address: 127.0.0.1, port_value: \(front) } }
                filter_chains:
                - filters:
                  - name: envoy.filters.network.http_connection_manager
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                      stat_prefix: front
                      use_remote_address: true
                      normalize_path: true
                      route_config:
                        virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: app } }] }]
                      http_filters:
                      - name: envoy.filters.http.ext_authz
                        typed_config:
                          "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
                          http_service:
                            server_uri: { uri: "http://127.0.0.1:\(decisions)", cluster: portcullis, timeout: 2s }
                            authorization_response:
                              allowed_upstream_headers: { patterns: [{ exact: x-user-id }] }
                              allowed_client_headers: { patterns: [{ exact: location }, { exact: www-authenticate }] }
                          allowed_headers: { patterns: [{ exact: cookie }, { exact: x-forwarded-for }, { exact: x-forwarded-proto }, { exact: accept }] }
                      - name: envoy.filters.http.router
                        typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
              clusters:
            \(cluster("app", behind))
            \(cluster("portcullis", decisions))

            """)
        let envoy = try Program(
            try Executable.envoy(), ["-c", file, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning"],
            log: stage.folder.path + "/envoy.log")
        defer { envoy.stop() }
        try check(stage, answersOthers: 403, client: "")
    }
}
