import Authentication
import ConfigFile
import Configuration
import Foundation
import Processes
import Synchronization
import System
import TestSockets
import TestSupport
import Testing
import Time

@testable import Control

/// A key server that says what the test wants.
private final class ScriptedKeyServer: DocumentFetching {
    let url = "https://sso.example/keys"
    private let reply = Mutex<Result<KeySetFetch.Document, KeySetFetch.Failure>>(.failure(KeySetFetch.Failure(reason: "not there")))
    private let count = Mutex(0)

    var requests: Int { count.withLock { $0 } }

    func serve(_ text: String, maxAge: UInt64? = nil) {
        reply.withLock { $0 = .success(KeySetFetch.Document(bytes: [UInt8](text.utf8), maxAge: maxAge)) }
    }

    func fail(_ reason: String) { reply.withLock { $0 = .failure(KeySetFetch.Failure(reason: reason)) } }

    func run() throws(KeySetFetch.Failure) -> KeySetFetch.Document {
        count.withLock { $0 += 1 }
        return try reply.withLock { $0 }.get()
    }
}

private final class Recorder: KeySetObserver {
    enum Event: Equatable {
        /// With the name of its first key.
        case changed(Int, String)
        case unchanged(Int, hasFailed: Bool)
        case withdrawn(Int)
        case firstRound
    }

    var events: [Event] = []
    func keySetChanged(_ issuer: Int, _ document: [UInt8]) {
        let text = String(decoding: document, as: UTF8.self)
        events.append(.changed(issuer, text.firstMatch(of: /"kid":"(\w+)"/).map { String($0.1) } ?? ""))
    }
    func keySetUnchanged(_ issuer: Int, hasFailed: Bool) { events.append(.unchanged(issuer, hasFailed: hasFailed)) }
    func keySetWithdrawn(_ issuer: Int) { events.append(.withdrawn(issuer)) }
    func firstRoundCompleted() { events.append(.firstRound) }

    func take() -> [Event] {
        defer { events = [] }
        return events
    }
}

/// Every way of a key set: fetched, kept, fetched again, missing, too old; on a clock that the test moves.
@Suite final class KeySetsTests {
    private static let start: UInt64 = 1_800_000_000
    private let seconds = Box<UInt64>(0)
    private let loop: EventLoop
    private let server = ScriptedKeyServer()
    private let recorder = Recorder()
    private var reports: [String] = []
    private var keySets: KeySets!
    private let one = TokenSigner(keyID: "one")
    private let two = TokenSigner(keyID: "two")

    init() throws {
        let seconds = seconds
        loop = try EventLoop(
            clock: LoopClock(
                now: { Instant(nanoseconds: 1_000_000_000_000).adding(.seconds(seconds.value)) },
                wall: { (Self.start + seconds.value) * 1_000_000_000 }))
    }

    private func begin(keys: String = "https://sso.example/keys", _ more: String = "", files: [String: String] = [:]) throws {
        let text = """
            listen 127.0.0.1:1 { plaintext; }
            issuer sso { url https://sso.example; keys \(keys); \(more) audience any; algorithms EdDSA; }
            upstream app { server 127.0.0.1:2; }
            route /** { upstream app; auth sso; }
            """
        let diagnostics = Diagnostics()
        let all = files.merging(["f": text]) { $1 }
        let settings = Settings("f", files: MemoryFiles(all), environment: [:], processors: 1, diagnostics)
        try #require(diagnostics.isEmpty, "\(diagnostics.messages)")
        let server = server
        keySets = try KeySets(
            settings, files: FileBundle(contents: all.mapValues { [UInt8]($0.utf8) }), environment: [:], on: loop,
            fetch: { _, _, _ in server }, report: { [unowned self] in reports.append($0) })
        keySets.observer = recorder
    }

    /// Lets the clock go on, a second at a time, and all that is due happen.
    private func pass(_ count: UInt64) {
        for _ in 0..<count {
            seconds.change { $0 += 1 }
            settle()
        }
    }

    /// Until nothing is under way: a fetch runs on another thread.
    private func settle() {
        let before = server.requests
        for _ in 0..<2 { loop.turn(waitingAtMost: 0) }
        guard server.requests != before || keySets.isFetching else { return }
        #expect(
            eventually {
                loop.turn(waitingAtMost: 10)
                return !keySets.isFetching
            })
    }

    @Test func theFirstRoundIsCompleteWhenAllHaveBeenTried() throws {
        try begin()
        pass(1)
        #expect(recorder.take() == [.unchanged(0, hasFailed: true), .firstRound])
        #expect(keySets.isFirstRoundComplete && keySets.known.isEmpty)
        #expect(reports == ["the keys of issuer sso cannot be loaded (there are none): not there"])
        // Tried again every second, and told once.
        pass(3)
        #expect(server.requests == 4 && reports.count == 1)
        server.serve(one.keySet)
        _ = recorder.take()
        pass(1)
        #expect(recorder.take() == [.changed(0, "one")])
        #expect(reports.last == "the keys of issuer sso are loaded again")
        #expect(keySets.known.map(\.document) == [[UInt8](one.keySet.utf8)])
    }

    @Test(arguments: [(UInt64?.none, UInt64(300)), (0, 30), (60, 60), (1_000_000, 86_400)])
    func itIsFetchedAgainByItsCacheControl(maxAge: UInt64?, pause: UInt64) throws {
        server.serve(one.keySet, maxAge: maxAge)
        // Stale keys are of no concern here.
        try begin("max_stale 7d;")
        pass(1)
        #expect(recorder.take() == [.changed(0, "one"), .firstRound])
        seconds.change { $0 += pause - 2 }
        settle()
        #expect(server.requests == 1)
        pass(2)
        #expect(server.requests == 2)
        // What is the same is no change.
        #expect(recorder.take() == [.unchanged(0, hasFailed: false)])
    }

    @Test func aWishIsGrantedOnceInTenSeconds() throws {
        server.serve(one.keySet)
        try begin()
        pass(1)
        _ = recorder.take()
        keySets.want(0)
        settle()
        #expect(server.requests == 1 && recorder.take() == [.unchanged(0, hasFailed: true)])
        pass(10)
        server.serve(two.keySet)
        keySets.want(0)
        // While one is under way nobody starts another.
        keySets.want(0)
        settle()
        #expect(server.requests == 2 && recorder.take() == [.changed(0, "two")])
        // An issuer that is not there is passed over.
        keySets.want(7)
        #expect(recorder.take().isEmpty)
    }

    @Test func theLastGoodOnesStayUntilTheyAreTooOld() throws {
        server.serve(one.keySet)
        try begin("max_stale 10m;")
        pass(1)
        _ = recorder.take()
        server.serve("{\"keys\":")
        pass(302)
        #expect(recorder.events.allSatisfy { $0 == .unchanged(0, hasFailed: true) } && !recorder.events.isEmpty)
        #expect(reports.count == 1 && reports[0].contains("the last good ones stay"))
        #expect(keySets.known.count == 1)
        server.fail("gone")
        pass(300)
        #expect(recorder.events.contains(.withdrawn(0)) && keySets.known.isEmpty)
        #expect(reports.last?.contains("for longer than max_stale") == true)
        // What comes back is a change, though it is the same.
        _ = recorder.take()
        server.serve(one.keySet)
        pass(1)
        #expect(recorder.take() == [.changed(0, "one")])
    }

    @Test func whatAnEarlierProcessHadIsUsedUntilItCanBeFetched() throws {
        try begin()
        keySets.recall("https://sso.example/keys", [UInt8]("no key set".utf8), goodAt: Self.start)
        #expect(keySets.known.isEmpty)
        keySets.recall("https://sso.example/keys", [UInt8](one.keySet.utf8), goodAt: Self.start - 10)
        keySets.recall("https://other.example/keys", [UInt8](two.keySet.utf8), goodAt: Self.start)
        #expect(keySets.known.map(\.document) == [[UInt8](one.keySet.utf8)])
        #expect(keySets.remembered.map(\.goodAt) == [Self.start - 10])
        pass(1)
        #expect(keySets.known.count == 1)
        // This process has not told it to its workers: the same document is told.
        server.serve(one.keySet)
        _ = recorder.take()
        pass(1)
        #expect(recorder.take() == [.changed(0, "one")])
        #expect(keySets.remembered.map(\.goodAt) == [Self.start + 2])
    }

    @Test func keysThatCannotBeUsedAreNamed() throws {
        server.serve(#"{"keys":[{"kty":"RSA","kid":"short","n":"AQAB","e":"AQAB"}]}"#)
        try begin()
        pass(1)
        #expect(reports.count == 1 && reports[0].contains("issuer sso has no key that can be used ('short'"), "\(reports)")
    }

    @Test func aFileIsReadAgainWhenItChanges() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("keysets-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("keys.json").path
        try one.keySet.write(toFile: path, atomically: true, encoding: .utf8)
        try begin(keys: path, files: [path: one.keySet])
        pass(1)
        #expect(recorder.take() == [.changed(0, "one"), .firstRound])
        pass(2)
        #expect(recorder.take().isEmpty)
        try two.keySet.write(toFile: path, atomically: true, encoding: .utf8)
        pass(1)
        #expect(recorder.take() == [.changed(0, "two")])
        // What is no key set changes nothing.
        try "{".write(toFile: path, atomically: true, encoding: .utf8)
        pass(1)
        #expect(recorder.take() == [.unchanged(0, hasFailed: true)])
        keySets.want(0)
        #expect(recorder.take() == [.unchanged(0, hasFailed: true)])
        try FileManager.default.removeItem(atPath: path)
        pass(1)
        #expect(keySets.known.map(\.document) == [[UInt8](two.keySet.utf8)])
        #expect(server.requests == 0)
    }
}
