import Configuration
import Observability
import Processes
import RateLimiting
import System
import UpstreamHealth

/// What operators and their tools are told, and what they have done.
extension ControlProcess {
    /// The metrics of all processes, and what is known here at this moment.
    func sum() -> MetricSum {
        var sum = MetricSum()
        for memory in counting.values where memory.metrics.isUsable {
            sum.add(memory.metrics)
            for counter in Counter.allCases { sum.add(.clientLimits, [counter.word], memory.counters[counter]) }
        }
        GatewayGauges(upstreams: upstreams, names: settings.names, state: state, memory: memory, keySets: keySets, now: loop.now).add(
            to: &sum)
        certificates.add(to: &sum)
        sum.set(.logLinesDropped, ["ring"], counting.values.reduce(0) { $0 &+ $1.logRing.dropped })
        sum.exemplars = exemplars.known
        sum.set(.metricSeriesOverflowed, [], sum.overflowed)
        sum.set(.metricSeries, [], UInt64(sum.count + 1))
        return sum
    }

    /// The upstreams of the file, each with the servers that it has now.
    var upstreams: [GatewayNames.Upstream] {
        settings.names.upstreams.map { upstream in
            guard let service = upstream.service else { return upstream }
            return upstream.having(services.servers(of: service).map(\.text))
        }
    }

    /// How the servers of all upstreams are.
    func servers() -> [ServerView] {
        upstreams.flatMap { upstream in
            upstream.servers.map { server in
                ServerView(
                    upstream: upstream.name, server: server,
                    health: memory.servers.health(of: server, in: upstream.name, at: loop.now),
                    isChecked: upstream.isChecked, isEjected: upstream.isEjected,
                    lastFailure: checks.lastFailure(of: server, in: upstream.name), at: loop.now)
            }
        }
    }

    func setClosed(_ isClosed: Bool) {
        memory.isClosed = isClosed
        report("an operator has \(isClosed ? "closed the gateway for maintenance" : "opened the gateway again")")
    }

    /// Takes a server out, or back in; false where there is none of these names.
    func setDrained(_ isDrained: Bool, _ server: String, _ upstream: String) -> Bool {
        guard upstreams.contains(where: { $0.name == upstream && $0.servers.contains(server) }),
            let health = memory.servers.health(of: server, in: upstream, at: loop.now)
        else { return false }
        health.setDrained(isDrained, at: loop.now)
        report("upstream \(upstream): an operator has \(isDrained ? "taken out" : "taken back in") \(server)")
        return true
    }

    /// What is changed of a limit is told, with who has done it; a key in which a secret may stand is not.
    func askLimit(_ question: LimitQuestion, _ peer: PeerCredentials?, _ done: @escaping (LimitAnswer) -> Void) {
        limitQuestions.ask(question, workerChannels) { [unowned self] answer in
            if question.action != .show, question.action != .top, answer.status == 200 {
                let hidden = settings.limits.first { $0.name == question.limit }?.hasSecretKey ?? true
                let key = hidden ? "a key" : question.words.joined(separator: " ")
                let what = question.action == .reset ? "reset \(key)" : "set \(key) to \(question.used) used"
                report("limit \(question.limit): an operator\(peer.map { " (user ID \($0.user))" } ?? "") has \(what)")
            }
            done(answer)
        }
    }

    /// What is wrong with the gateway beyond what a worker's restart mends; nil while it is well.
    var complaint: String? { supervisor == nil ? "the supervisor is gone" : nil }

    func command(_ word: String, _ done: @escaping (Bool, String) -> Void) {
        guard let supervisor else { return done(false, "the supervisor is gone") }
        guard commands.count < commandsMax else { return done(false, "too many commands are under way") }
        lastCommand += 1
        commands[lastCommand] = done
        var message = MessageWriter(.command)
        message.number(lastCommand)
        message.text(word)
        supervisor.send(message.output)
    }
}

private let commandsMax = 64
