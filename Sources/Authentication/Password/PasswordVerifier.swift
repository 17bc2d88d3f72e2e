import Bytes
package import HTTPMessage
import System
package import Time

/// Finds users and passwords of Basic in requests, and remembers for a while which were right, by a keyed digest.
///
/// It checks nothing itself: a hash takes a tenth of a second.
package final class PasswordVerifier {
    /// Whose password is checked, without it.
    package struct Subject: Sendable {
        /// By which requests with the same user and password for the same file are told, and none else.
        package let digest: [UInt8]
        fileprivate let user: String
    }

    /// What there is to be checked away from the loop.
    package struct Check: Sendable {
        package let subject: Subject
        fileprivate let hash: PasswordHash
        fileprivate let isKnown: Bool
        private let password: [UInt8]

        fileprivate init(digest: [UInt8], hash: PasswordHash, isKnown: Bool, user: String, password: [UInt8]) {
            subject = Subject(digest: digest, user: user)
            self.hash = hash
            self.isKnown = isKnown
            self.password = password
        }

        /// Takes long.
        package func run() -> Bool { hash.matches(password) && isKnown }
    }

    package enum Found {
        /// No user and password, or not exactly one.
        case none
        case known(Principal)
        case check(Check)
    }

    private struct Entry {
        let principal: Principal
        let end: Instant
    }

    private let files: [PasswordFile]
    private let requirements: any RequirementAnswering
    private let key: SharedSecret
    private var known: [[[UInt8]: Entry]]

    init(_ files: [PasswordFile], _ requirements: any RequirementAnswering) {
        self.files = files
        self.requirements = requirements
        key = SharedSecret(random: SystemRandom.bytes(32))
        known = files.map { _ in [:] }
    }

    package func find(_ id: PasswordFileID, _ head: borrowing RequestHead, at now: Instant) -> Found {
        guard head.fields.count(of: .authorization) == 1, let value = head.value(.authorization),
            let (user, password) = BasicCredential.read(head.bytes.extracting(value)), let name = String(validating: user, as: UTF8.self)
        else { return .none }
        // Of each file for itself.
        let digest = key.digest([UInt8](String(id.index).utf8) + [0] + user + [0] + password)
        if let entry = known[id.index][digest], now < entry.end { return .known(entry.principal) }
        let (hash, isKnown) = files[id.index].hash(of: name)
        return .check(Check(digest: digest, hash: hash, isKnown: isKnown, user: name, password: password))
    }

    /// Who a check has let in.
    package func passed(_ subject: Subject, of id: PasswordFileID, at now: Instant) -> Principal {
        let principal = principal(id, Claims(.object([JSONValue.Member(name: "user", value: .string(subject.user))])))
        if known[id.index].count >= entriesMax { known[id.index] = known[id.index].filter { now < $0.value.end } }
        if known[id.index].count >= entriesMax { known[id.index] = [:] }
        known[id.index][subject.digest] = Entry(principal: principal, end: now.adding(rememberedTime))
        return principal
    }

    func principal(_ id: PasswordFileID, _ claims: Claims) -> Principal {
        Principal(
            .password(id), subject: claims["user"]?.string, claims: claims, expiry: Principal.noExpiry,
            answers: requirements.answers(for: claims, of: .password(id)), token: nil)
    }

    package func identity(_ principal: Principal) -> Identity { Identity(principal, kind: .password) }
}

private let entriesMax = 4_096
private let rememberedTime = Nanoseconds.seconds(300)
