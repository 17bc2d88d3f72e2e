package import Authentication
import Bytes
package import ConfigFile
package import Routing

/// `require $claim.workspace_id = $path.workspace;`: a variable compared with variables or constants.
package struct VariableRule: Sendable {
    package enum Operand: Hashable, Sendable {
        case variable(Variable)
        case constant(String)
    }

    package enum Comparison: String, Sendable {
        case equals = "="
        case differs = "!="
        case isIn = "in"
    }

    package let left: Operand
    package let comparison: Comparison
    package let right: [Operand]

    /// As the file has it, also where a value comes from the environment.
    package let text: String
    package let line: SourceLine

    /// Reads the arguments of `require`.
    package init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.takes(3...Int.max, "$VARIABLE = VALUE", diagnostics) else { return nil }
        let words = directive.arguments
        guard let comparison = Comparison(rawValue: words[1].text), comparison == .isIn || words.count == 3 else {
            diagnostics.error(
                "this rule is not understood", at: directive.position,
                hint: "write $VARIABLE = VALUE, $VARIABLE != VALUE or $VARIABLE in VALUE …")
            return nil
        }
        let operands = [words[0]] + words.dropFirst(2)
        let read = operands.compactMap { Self.operand($0, diagnostics) }
        guard read.count == operands.count else { return nil }
        guard case .variable = read[0] else {
            diagnostics.error("a rule starts with a variable", at: words[0], hint: "such as $claim.tenant_id")
            return nil
        }
        left = read[0]
        right = Array(read.dropFirst())
        self.comparison = comparison
        text = diagnostics.redaction(words.map(\.text).joined(separator: " "))
        line = diagnostics.line(of: directive.position)
    }

    package var variables: [Variable] {
        ([left] + right).compactMap { operand in
            if case .variable(let variable) = operand { variable } else { nil }
        }
    }

    /// A side of several values (a claim that is an array) equals if one of them does, and differs if none does. A side
    /// without a value meets no rule, not even `!=`.
    package func isMet(by identity: Identity?, in context: RequestContext) -> Bool {
        guard let left = values(left, identity, context) else { return false }
        var others: [String] = []
        for operand in right {
            guard let values = values(operand, identity, context) else { return false }
            others += values
        }
        let shared = left.contains { others.containsExactly($0) }
        return comparison == .differs ? !shared : shared
    }

    private func values(_ operand: Operand, _ identity: Identity?, _ context: RequestContext) -> [String]? {
        switch operand {
        case .constant(let text): return [text]
        case .variable(.claim(let name)): return identity?.principal.claims.texts(name)
        case .variable(let variable):
            // Bytes that are no text equal nothing.
            return context.value(of: variable).flatMap { String(validating: $0, as: UTF8.self) }.map { [$0] }
        }
    }

    private static func operand(_ word: Word, _ diagnostics: Diagnostics) -> Operand? {
        guard !word.isQuoted, word.text.hasPrefix("$") else {
            if word.text.contains("$") {
                diagnostics.error(
                    "a variable stands alone and without quotes here", at: word, hint: "as a constant this would never be what it says")
            }
            return .constant(word.text)
        }
        guard let variable = Variable(String(word.text.dropFirst())) else {
            diagnostics.error("there is no variable \(word.text)", at: word, hint: Variable.advice(word.text))
            return nil
        }
        return .variable(variable)
    }
}
