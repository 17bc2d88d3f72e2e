/// What an external authorizer says of a request.
package enum AuthorizerVerdict {
    /// Who it is, and whole lines of fields that the client gets with the response.
    case allowed(Principal, lines: [UInt8])
    case refused(AuthorizerRefusal)
    /// It said nothing that could be understood; why. Nobody gets in (503).
    case unavailable(String)
}
