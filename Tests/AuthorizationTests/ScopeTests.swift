import Authentication
@testable import Authorization
import TestSupport
import Testing

@Suite struct ScopeTests {
    /// Every row of the table of USSO's rules.
    @Test(arguments: [
        ("read:users", ["manage:users"], true), ("manage:users", ["read:users"], false), ("read:ns/svc/users", ["*:*"], true),
        ("read:ns/svc/users", ["read:*"], true), ("create:ns/svc/users", ["*"], false), ("read:anything/at/all", ["*"], true),
        ("superadmin:x", ["*:*"], false),
        ("read:ns/svc/users", ["read:users"], true), ("read:users", ["read:a/b/users"], true),
        ("read:ns/svc/users", ["read:other/ns/svc/users"], true),
        ("read:ns/svc/users", ["read:x/*/svc/users"], false), ("read:wallet", ["read:finance/*/*"], false),
        ("read:wallet", ["read:*/*/wallet"], true),
        ("read:finance/wallet", ["read:billing/wallet"], false), ("read:*/wallet", ["read:billing/wallet"], true),
        ("read:ns/svc/users/123", ["read:ns/svc/users"], false),
        ("read:ns/svc/users/123", ["read:ns/svc/users/*"], true), ("read:ns/svc/users", ["read:svc/*"], true),
        ("read:users?uid=1", ["read:users"], true),
        ("read:users", ["read:users?uid=1"], false), ("read:users?uid=1", ["read:users?uid=*"], false),
        ("read:users?uid=1&x=2", ["read:users?uid=1"], true),
        ("read:users", ["wizard:users"], false), ("read:users", [""], false), ("read:users", ["READ:users"], false),
        ("read:Users", ["read:users"], false),
        ("read:users", ["read:[tu]sers"], true), ("read:users", ["read:[!u]sers"], false),
        ("read:users", ["read:invoices", "owner:users"], true), ("read:users", ["none:users"], false),
    ])
    func usso(required: String, held: [String], expected: Bool) {
        #expect(DemandedScope(text: required).isCovered(by: HeldScopes(held, .usso)) == expected)
    }

    @Test(arguments: [
        ("read:ns/users", ["read:users"], false), ("read:ns/users", ["read:ns/users"], true), ("read:users", ["read:ns/users"], false),
        ("read:ns/users", ["read:*/users"], true),
        ("read:a/b/c", ["read:*"], true), ("read:a/b", ["read:a/*/c"], false), ("create:a", ["manage:a"], true),
    ])
    func ussoAnchored(required: String, held: [String], expected: Bool) {
        #expect(DemandedScope(text: required).isCovered(by: HeldScopes(held, .ussoAnchored)) == expected)
    }

    @Test(arguments: [
        ("orders:read", ["orders:*"], true), ("orders:read:all", ["orders:*"], true), ("orders", ["orders:*"], false),
        ("orders:read", ["*"], true), ("a/b/c", ["a/*/c"], true),
        ("a/b/d", ["a/*/c"], false), ("a:b", ["a/b"], false), ("a.b", ["a.b"], true), ("a.b", ["a"], false),
    ])
    func wildcard(required: String, held: [String], expected: Bool) {
        #expect(DemandedScope(text: required).isCovered(by: HeldScopes(held, .wildcard)) == expected)
    }

    @Test func exactComparesBytes() {
        #expect(DemandedScope(text: "a:b").isCovered(by: HeldScopes(["x", "a:b"], .exact)))
        #expect(!DemandedScope(text: "a:b").isCovered(by: HeldScopes(["a:*"], .exact)))
        // The Kelvin sign means the letter K, and is another identifier.
        #expect(!DemandedScope(text: "K").isCovered(by: HeldScopes(["\u{212A}"], .exact)))
    }

    @Test func globsTakeTimeInProportion() {
        #expect(!Glob.matches(String(repeating: "*a", count: 200), String(repeating: "a", count: 199)))
        #expect(Glob.matches("a*b?c[x-z]", "aqqbqcy"))
        #expect(Glob.matches("[", "["))
    }

    @Test func eachDistinctRequirementHasOneIndexAndOneBit() throws {
        let issuer = Issuer(name: "i", url: "u", keys: .file(""), audiences: [], algorithms: [.edDSA])
        let table = RequirementTable([.issuer(IssuerID(0)): issuer.scopeReading])
        let all = table.index(of: ScopeRequirement(scopes: ["a", "b"], isAny: false))
        let any = table.index(of: ScopeRequirement(scopes: ["a", "b"], isAny: true))
        #expect(table.index(of: ScopeRequirement(scopes: ["a", "b"], isAny: false)) == all)
        #expect(all != any)
        for index in 0..<100 { _ = table.index(of: ScopeRequirement(scopes: ["s\(index)"], isAny: false)) }
        let answers = table.answers(for: Claims(try JSONReader.read([UInt8]("{\"scope\":\"a s70\"}".utf8))), of: .issuer(IssuerID(0)))
        #expect(!answers[all] && answers[any])
        #expect((0..<100).filter { answers[2 + $0] } == [70])
    }
}
