/// What a local socket is for.
package enum LocalRole: UInt64, Sendable {
    /// Where operators look into the gateway and tell it what to do.
    case admin
    /// Where load balancers and monitors ask how it is.
    case health
}
