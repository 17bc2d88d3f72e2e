import Time
import Authentication
import System
@testable import Forwarding
import RateLimiting
import Routing
import Testing

@Suite struct WaitingListTests {
    private let exchange: Exchange = {
        let origin = DownstreamOrigin(peer: [], isPeerTrusted: false, isTLS: false, addresses: nil)
        let filter = FieldFilter(headers: [], hiding: CredentialPlaces())
        return Exchange(OutgoingHead(RequestContext(), filter, ForwardedFields(), ForwardingRule(upstream: UpstreamID(0)), from: origin))
    }()

    private func entry(_ ticket: UInt64, _ account: ClientAccount) -> WaitingList.Entry {
        WaitingList.Entry(exchange, ticket, from: .past, until: Instant(nanoseconds: ticket), account)
    }

    @Test func clientsAreServedInTurn() {
        let list = WaitingList()
        let (many, few) = (ClientAccount(), ClientAccount())
        for ticket in 1...1_000 { list.add(entry(UInt64(ticket), many)) }
        for ticket in 1_001...1_003 { list.add(entry(UInt64(ticket), few)) }
        var served: [UInt64] = []
        while served.count < 8, let next = list.next() {
            list.remove(next)
            list.turn()
            served.append(next.ticket)
        }
        #expect(served == [1, 1_001, 2, 1_002, 3, 1_003, 4, 5])
        #expect(many.waiting == 995 && few.waiting == 0 && list.count == 995)
    }

    /// Random operations beside a plain list.
    @Test func agreesWithAPlainModel() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<40 {
            let list = WaitingList()
            let accounts = (0..<5).map { _ in ClientAccount() }
            var model: [(entry: WaitingList.Entry, client: Int)] = []
            var turns: [Int] = []
            var ticket: UInt64 = 0
            for _ in 0..<1_500 {
                switch Int.random(in: 0..<8, using: &random) {
                case 0..<4:
                    let client = Int.random(in: 0..<5, using: &random)
                    ticket += 1
                    let new = entry(ticket, accounts[client])
                    list.add(new)
                    model.append((new, client))
                    if !turns.contains(client) { turns.append(client) }
                case 4, 5:
                    guard let index = model.indices.randomElement(using: &random) else { continue }
                    list.remove(model[index].entry)
                    model.remove(at: index)
                default:
                    // A client that has nothing any more has no turn.
                    while let first = turns.first, !model.contains(where: { $0.client == first }) { turns.removeFirst() }
                    let expected = turns.first.flatMap { client in model.first { $0.client == client } }
                    let next = list.next()
                    #expect(next?.ticket == expected?.entry.ticket)
                    guard let next, let expected else { continue }
                    list.remove(next)
                    list.turn()
                    model.removeAll { $0.entry === expected.entry }
                    turns.append(turns.removeFirst())
                }
                #expect(list.count == model.count)
                #expect(list.oldest()?.ticket == model.first?.entry.ticket)
                for client in 0..<5 { #expect(accounts[client].waiting == model.count { $0.client == client }) }
            }
        }
    }

    @Test func whoHasMostWaitingGivesWay() {
        let list = WaitingList()
        let accounts = (0..<4).map { _ in ClientAccount() }
        for ticket in 1...100 { list.add(entry(UInt64(ticket), accounts[0])) }
        for client in 1...3 { list.add(entry(UInt64(100 + client), accounts[client])) }
        #expect(list.youngestOfLargest(than: ClientAccount())?.ticket == 100)
        #expect(list.youngestOfLargest(than: accounts[0]) == nil)
    }
}
