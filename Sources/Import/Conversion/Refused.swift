/// Why a location has no route.
struct Refused: Error {
    let reason: String
    /// The line that has no counterpart.
    let directive: NginxDirective
}
