import Time
import System
import Testing

@Suite struct AddressTests {
    @Test(arguments: ["0.0.0.0", "192.0.2.1", "255.255.255.255", "::1", "2001:db8::8:800:200c:417a"])
    func addressesComeBackAsTheyWere(text: String) { #expect(IPAddress(text)?.text == text) }

    @Test(arguments: ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "::g", "fe80::1%eth0", "1.2.3.4 "]) func refusesAddresses(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func oneAddressHasOneValue() { #expect(IPAddress("::ffff:192.0.2.1") == IPAddress("192.0.2.1")) }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("0.0.0.0/0", "1.2.3.4", true), ("0.0.0.0/0", "::1", false),
        ("2001:db8::/32", "2001:db8:1::1", true), ("::1", "::1", true), ("192.0.2.1", "192.0.2.2", false),
    ])
    func networksContain(network: String, address: String, expected: Bool) throws {
        #expect(try #require(IPNetwork(network)).contains(try #require(IPAddress(address))) == expected)
    }

    @Test(arguments: ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "x/8"]) func refusesNetworks(text: String) {
        #expect(IPNetwork(text) == nil)
    }

    @Test(arguments: ["127.0.0.1:80", "[::1]:443", "unix:/run/a.sock"]) func socketAddressesComeBack(text: String) {
        #expect(SocketAddress(text)?.text == text)
    }
    @Test(arguments: ["127.0.0.1", "::1:80", "host:80", "127.0.0.1:65536", "unix:relative", "[::1]"]) func refusesSocketAddresses(
        text: String
    ) { #expect(SocketAddress(text) == nil) }
}

@Suite struct TimerTests {
    private final class Recorder: TimerHandler {
        var fired: [ObjectIdentifier] = []
        func fired(_ timer: Timer) { fired.append(ObjectIdentifier(timer)) }
    }

    @Test func firesInOrderAndWhatWasMovedOrCancelledAsItShould() throws {
        let loop = try EventLoop()
        let recorder = Recorder()
        let timers = (0..<5).map { _ in Timer(recorder) }
        loop.set(timers[0], after: .milliseconds(40))
        loop.set(timers[1], after: .milliseconds(20))
        loop.set(timers[2], after: .milliseconds(10))
        loop.set(timers[2], after: .milliseconds(60))
        loop.set(timers[3], after: .milliseconds(5))
        timers[3].cancel()
        loop.set(timers[4], after: .seconds(6))
        loop.set(timers[4], after: .milliseconds(30))
        let end = Clock.now().adding(.seconds(5))
        while recorder.fired.count < 4, Clock.now() < end { loop.turn(waitingAtMost: 10) }
        #expect(recorder.fired == [timers[1], timers[4], timers[0], timers[2]].map { ObjectIdentifier($0) })
    }
}
