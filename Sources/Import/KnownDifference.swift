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
    /// A path that the service is asked for with one slash where nginx makes two.
    case upstreamSlashes
    /// A page of another site is refused what a cookie lets in.
    case crossSite
    /// A value within a URL is percent-encoded, so that it ends where it should.
    case urlEncoding
    /// A listener sends to https with 308, by which the method stays.
    case redirectStatus
    /// Fields that some route sets reach no service from a client, on any route.
    case setFieldsTaken

    /// What differs, in a sentence.
    package var explanation: String {
        switch self {
        case .signInForBrowsersAlone: "only browsers that go to a page are sent to sign in; all else gets 401"
        case .signInByRedirect: "a browser is sent to the sign-in page, which nginx shows in place"
        case .prefixWithinSegment: "a prefix without a slash also begins longer names in nginx"
        case .slashRedirect: "nginx sends /a to /a/; here the route is found for both"
        case .finalSlash: "/a and /a/ are one route; in nginx = /a is not /a/"
        case .oddPath:
            "paths that can be read in several ways are refused where the readings lead to different routes, and are sent on in normal form"
        case .methodStatus: "a method that may not be used gets 405"
        case .authorizerStatus: "an authorizer that fails is 503 here and 500 in nginx"
        case .closed: "the location was refused, and its route is closed"
        case .ownStatus: "the gateway answers by itself, with its own status"
        case .cors: "the gateway says the fields of CORS and answers preflights"
        case .passwordKept: "a password that lets in does not reach the service"
        case .upstreamSlashes: "nginx makes two slashes where the location has none at its end"
        case .crossSite: "pages of other sites may not use a browser's cookie"
        case .urlEncoding: "a value in a URL is percent-encoded"
        case .redirectStatus: "a listener sends to https with 308, by which the method stays"
        case .setFieldsTaken: "fields that a route sets are taken from every client"
        }
    }
}
