import Import
import TestSupport
import Testing

/// nginx's grammar.
@Suite struct ReaderTests {
    private func arguments(_ text: String) throws -> [[String]] {
        try Importing.text("server { listen 80; location / { \(text) } }").nginx.flatMap { server in
            (server.block ?? []).filter { $0.name == "location" }.flatMap { $0.block ?? [] }.map { [$0.name] + $0.arguments }
        }
    }

    @Test(arguments: [
        ("set $a 'x y';", ["set", "$a", "x y"]), ("set $a \"x\\\"y\\\\z\\.\\n\";", ["set", "$a", "x\"y\\z\\.\n"]),
        ("set $a x\\;y;", ["set", "$a", "x\\;y"]),
        ("set $a ${b}c;", ["set", "$a", "${b}c"]), ("set $a x}y;", ["set", "$a", "x}y"]), ("set $a x#y;", ["set", "$a", "x#y"]),
        ("set $a x\"y;", ["set", "$a", "x\"y"]), ("set\n\t$a\r\n x;", ["set", "$a", "x"]), ("set $a \"\";", ["set", "$a", ""]),
        ("if ($a = \"b\") { set $c d; }", ["if", "($a", "=", "b", ")"]),
    ])
    func wordsAreAsNginxReadsThem(_ text: String, _ words: [String]) throws { #expect(try arguments(text) == [words]) }

    /// What is written of a directive is read as the same.
    @Test func whatIsWrittenIsReadAsTheSame() throws {
        let text =
            #"map $a $b { "" x; "~^a b\"\\{" 'c;d'; default "\t"; } server { listen 80; location ~ "^/a{2}$" { return 200 "x\n#y"; } }"#
        let first = try Importing.text(text).nginx
        let second = try Importing.text(first.map { $0.text() }.joined()).nginx
        func plain(_ directives: [NginxDirective]) -> String { directives.map { $0.text() }.joined() }
        #expect(plain(first) == plain(second) && first.map(\.arguments) == second.map(\.arguments))
    }

    @Test func luaIsPassedOver() throws {
        let lua = """
            content_by_lua_block {
                -- a comment with a }
                --[[ a long one
                } ]]
                local s = "}" .. '}' .. [[ } ]] .. [==[ ]] } ]==]
                if a then b = { c = {} } end
            }
            return 200;
            """
        #expect(try arguments(lua) == [["content_by_lua_block"], ["return", "200"]])
    }

    @Test(arguments: [
        ("server { listen 80; ", "site.conf:1: error: the { of this line is never closed"),
        ("server { listen 80 }", "site.conf:1: error: 'listen' does not end with ;"), ("}", "site.conf:1: error: this } closes nothing"),
        ("\n ;", "site.conf:2: error: there is no directive before this ;"),
        ("{ }", "site.conf:1: error: there is no directive before this {"),
        ("a 'b", "site.conf:1: error: this quotation is never closed"),
        ("a 'b'c;", "site.conf:1: error: a word follows a quotation without a space"),
        ("include x.conf;\ninclude y.conf;", "site.conf:1: error: x.conf cannot be read: No such file or directory\n  hint: run nginx -T"),
        ("include x.conf;\ninclude y.conf;", "site.conf:2: error: y.conf cannot be read"),
        ("include site.conf;", "files include each other deeper than 8"), ("include a b;", "'include' takes one path"),
        ("events { }", "error: site.conf has no server of HTTP to import"), ("access_by_lua_block { \"}", "this block is never closed"),
        (String(repeating: "a {", count: 20), "blocks are nested deeper than 16"),
    ])
    func whatIsWrongIsSaid(_ text: String, _ message: String) {
        do throws(NginxSyntaxError) {
            _ = try NginxImport("site.conf", files: MemoryFiles(["site.conf": text]))
            Issue.record("\(text) is read")
        } catch {
            #expect(error.description.contains(message), "\(error.description)")
        }
    }

    @Test func includesAreReadInPlace() throws {
        let files = [
            "conf.d/a.conf": "location /a/ { proxy_pass http://127.0.0.1:1; }",
            "conf.d/b.conf": "location /b/ { proxy_pass http://127.0.0.1:2; }",
        ]
        let imported = try Importing.locations("include conf.d/*.conf;", files: files)
        #expect(Importing.routes(imported.gateway).map { $0.words[1] } == ["/a/**", "/b/**"])
        #expect(imported.text.contains("# a.conf:1  location /a/"))
    }
}
