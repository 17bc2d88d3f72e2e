import RateLimiting
import Time

/// Who has links to several servers, and knows which keys are whose.
protocol RedisLinkOwner: AnyObject {
    /// It has become available, or is not any more.
    func linkChanged(_ link: RedisLink)
    /// Its connection has ended, or the server says that the cluster is down.
    func linkFailed(_ link: RedisLink)
    /// What a key for probes is called that this server has.
    func probeName(for link: RedisLink) -> [UInt8]
    /// A server has said that keys are not its own: somebody else is asked, or the receiver is told that there is no reply.
    func redirected(
        _ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver, _ redirection: Redirection, sentAt: Instant, by link: RedisLink)
    /// As above, of charges to take back.
    ///
    /// - Returns: false where that means nothing here.
    func redirected(_ refunds: [RemoteRefund], _ redirection: Redirection, by link: RedisLink) -> Bool
}
