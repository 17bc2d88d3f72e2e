import Routing
import Bytes
import Configuration
import Forwarding
import HTTP1
import HTTPMessage
import Policy

/// Questions of another proxy, that stays in front: whether a request that it has may come. They take the path of the request that they are
/// about, up to where that would be forwarded.
extension RequestPath {
    /// Takes a question. Its head becomes that of the request that it is about.
    func enter(_ passage: Passage, deciding decisions: DecisionProtocol, _ services: DownstreamServices) {
        tracer?.begin(passage)
        do {
            // Anybody else could ask in the name of any client.
            guard passage.origin.isPeerTrusted else { throw Refusal.addressNotAllowed("trusted_proxies") }
            // Without the client's address everybody would be the proxy.
            guard passage.report?.address != nil else { throw MessageError.badForwarded }
            try passage.becomeOriginal(decisions, services)
        } catch let refusal as Refusal {
            return refuse(passage, refusal)
        } catch {
            return refuse(passage, .malformed(.badForwarded))
        }
        run(passage, from: .share)
    }

    /// What the asking proxy is told where the request may come: the fields that the service would get.
    func decided(_ passage: Passage, _ rule: ForwardingRule) throws(Refusal) -> GatewayReply {
        do {
            return .decision(try rule.decisionLines(passage.identity, in: passage.context))
        } catch {
            throw .forwarding(error)
        }
    }
}

extension Passage {
    fileprivate func becomeOriginal(_ decisions: DecisionProtocol, _ services: DownstreamServices) throws {
        extendedProtocol = nil
        let text = try Self.originalHead(context.head, decisions)
        var parser = RequestParser(services.settings.clientLimits.head)
        var head = RequestHead()
        guard case .complete(let count) = try parser.parse(text.span, into: &head), count == text.count else {
            throw MessageError.badForwarded
        }
        // Whatever pointed into the question's head points nowhere now.
        context.begin(clientIP: context.clientIP, isHTTPS: context.isHTTPS)
        context.head = head
        report = ProxyReport(context.head, trusted: services.settings.trustedProxies, in: services.settings.trustedFields)
        _ = try readEnvelope()
    }

    /// The head of the request that the question is about: its method and target, and the question's other fields.
    ///
    /// nginx and Envoy send the client's own fields along, and the host that they serve in Host: what else names a host there is the
    /// client's word.
    private static func originalHead(
        _ head: borrowing RequestHead, _ decisions: DecisionProtocol
    ) throws(MessageError) -> [UInt8] {
        let names = decisions.originalFields
        let method = names.map { head.field(named: $0.method) } ?? head.copy(head.methodRange)
        let target = names.map { head.field(named: $0.target) } ?? head.copy(head.targetRange)
        guard let method, let target, !method.isEmpty, method.allSatisfy(ASCII.isToken), target.first == UInt8(ascii: "/"),
            !target.contains(where: { $0 <= 0x20 || $0 == 0x7F })
        else { throw .badForwarded }
        var text = method + [0x20] + target + [UInt8](" HTTP/1.1\r\n".utf8)
        let asked = names.map { [FieldIdentity.fold($0.method), FieldIdentity.fold($0.target)] } ?? []
        for line in head.fields.lines where !line.id.isHopByHop {
            let name = head.bytes.extracting(line.name.range)
            switch line.id {
            case .contentLength, .expect, .upgrade: continue
            case .xForwardedHost where decisions != .traefik, .forwarded where decisions != .traefik: continue
            default: if asked.contains(FieldIdentity.fold(name)) { continue }
            }
            text.append(name)
            text += [0x3A, 0x20]
            text.append(head.bytes.extracting(line.value.range))
            text += [0x0D, 0x0A]
        }
        return text + [0x0D, 0x0A]
    }
}
