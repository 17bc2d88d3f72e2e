/// Learns whether a server can be reached.
package protocol RedisLinkObserver: AnyObject {
    /// It has become reachable or unreachable.
    func linkChanged(_ link: RedisLink, isAvailable: Bool, _ reason: String)
    /// The first attempt to reach it has ended, well or not.
    func linkSettled(_ link: RedisLink)
}
