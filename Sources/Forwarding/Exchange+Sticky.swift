/// The server that a client has begun with (``StickyCookie``).
extension Exchange {
    /// The field line that binds the client to the server that has responded; nil where nothing is to be said.
    package var binding: [UInt8]? { mayBind && !bindingLine.isEmpty ? bindingLine : nil }

    /// The one that the request's cookie names; nil where it names none that is there.
    func boundServer(in group: UpstreamGroup) -> UpstreamServer? {
        guard let sticky = group.settings.sticky, let value = outgoing.value(of: sticky.variable) else { return nil }
        return group.server(marked: value)
    }

    /// The client's next requests go to the server that has responded, unless the one that it is bound to is only busy: a server of the same
    /// tier, or a better one, that is well. A failure binds nobody, nor does a server that is gone meanwhile.
    func bind(to server: UpstreamServer, status: Int) {
        guard let group, let sticky = group.settings.sticky, status < 500, group.has(server) else { return }
        let bound = boundServer(in: group)
        if bound === server { return }
        if let bound, bound.isThere, bound.own.tier <= server.own.tier { return }
        bindingLine = sticky.line(server.mark)
    }
}
