/// What a route does in another way than its location, and is noted for.
package enum KnownDifference: Hashable, Sendable {
    /// Only browsers that go to a page are sent to sign in; all else gets 401.
    case signInForBrowsersAlone
    /// nginx shows the sign-in page in place; here the browser is sent to it.
    case signInByRedirect
    /// `/administrator` belongs to nginx's `/admin`, and not to the route.
    case prefixWithinSegment
    /// nginx sends `/a` to `/a/`; here both are found.
    case slashRedirect
    /// `/a/` is also found where nginx has `= /a`.
    case finalSlash
    /// Paths that two programs may read in two ways get 400.
    case oddPath
    /// A request for a host that the file does not name gets 404.
    case otherHost
    /// A method that may not be used gets 405.
    case methodStatus
    /// What an authorizer that does not respond leads to: 503 in place of 500.
    case authorizerStatus
    /// The location is refused: its route answers 501.
    case closed
    /// A status that nginx has for itself.
    case ownStatus
    /// What is said in fields of CORS, and to preflights.
    case cors
    /// A password that let the request in does not reach the service.
    case passwordKept
    /// What is beyond a limit gets 429.
    case limitStatus
    /// A path that the service is asked for with one slash where nginx makes two.
    case upstreamSlashes
    /// A page of another site is refused what a cookie lets in.
    case crossSite
}
