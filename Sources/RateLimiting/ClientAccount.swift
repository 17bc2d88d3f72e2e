package import Time
package import System

/// What one client has of a worker at present. A client is an address, of IPv6 a network of 64 bits, which one subscriber has; behind a
/// trusted proxy the one that it tells.
package final class ClientAccount {
    /// Nil where nobody knows the address: over a Unix socket, whose folder says who may come.
    package let address: IPAddress?
    package var connections = 0
    /// Requests that are under way. Changed here alone (decision 011).
    private var underWay = 0
    package var requests: Int { underWay }
    /// Requests that wait for a connection to an upstream, in all groups.
    package var waiting = 0
    /// Bytes that the client's connections and requests hold, when that was last looked at.
    package var heldBytes = 0
    /// Whether it holds so much of a memory that is used up that others come first.
    package var isOverShare = false
    /// Of tokens that were no good.
    private var failures: EventBudget
    private var logWindowIndex: UInt64 = 0
    private var loggedBytes = 0

    /// - Parameter failures: how many tokens that let nobody in are looked at.
    package init(_ address: IPAddress? = nil, failedTokens failures: Quota = .usualFailedTokens) {
        self.address = address
        self.failures = EventBudget(failures)
    }

    package func requestBegan() { underWay += 1 }
    package func requestEnded() { underWay -= 1 }

    /// The network that an address is counted with.
    package static func subscriber(_ address: IPAddress) -> IPAddress {
        address.isV4 ? address : IPAddress(high: address.high, low: 0)
    }

    /// Whether it has nothing that would have to be remembered.
    package func isIdle(at now: Instant) -> Bool { connections == 0 && underWay == 0 && !failures.isTouched(at: now) }

    /// How long no further token is looked at; zero when one may be.
    package func tokenPause(at now: Instant) -> Nanoseconds { address == nil ? .zero : failures.pause(at: now) }

    /// A token was no good.
    package func tokenFailed(at now: Instant) { failures.spend(at: now) }

    /// Counts what is logged for the client; false when it is more than may stand in a log that is half full.
    package func logs(_ bytes: Int, at now: Instant) -> Bool {
        let index = now.nanoseconds / logWindow.count
        if index != logWindowIndex { (logWindowIndex, loggedBytes) = (index, 0) }
        loggedBytes += bytes
        return loggedBytes <= logBytesMax
    }
}

private let logWindow = Nanoseconds.milliseconds(250)
private let logBytesMax = 65_536
