package import Authentication
package import ConfigFile
import System

/// A block `test NAME { … }`: what the file's author wants the policy to decide. A file whose tests do not hold is not used.
package struct PolicyTest {
    /// Someone who asks: `as NAME { … }`.
    package struct Persona {
        /// Of the test's personas.
        package let name: String
        /// Nil for one without a credential.
        package let claims: UnsignedClaims?
    }

    package enum Expectation: Equatable {
        /// - Parameters:
        ///   - upstream: nil for whichever the route has.
        ///   - fields: lines that the upstream gets.
        case allow(upstream: String?, fields: [String])
        /// Nil where any status, or any reason, will do; but a request that is malformed is refused for nothing that a test could mean.
        case refuse(status: Int?, reason: String?)
        /// The gateway answers by itself, as it does a preflight.
        case answer(status: Int?, reason: String?)
    }

    /// One line: `allow WHO METHOD PATH …;`, `refuse …` or `answer …`.
    package struct Case {
        package let persona: Persona
        package let method: String
        package let url: String
        package let fields: [(name: String, value: String)]
        package let clientIP: String
        package let expectation: Expectation
        /// As the file has it.
        package let text: String
        package let position: Position
        package let line: SourceLine
    }

    package let name: String
    package let cases: [Case]

    /// All blocks of a file together may have as many cases.
    package static let casesMax = 10_000
}
