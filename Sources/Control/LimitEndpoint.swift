import Administration
import Authentication
import Processes
import RateLimiting
import System

/// `POST /v1/limits`: `{"action": "show", "limit": "per_user", "key": ["alice"]}`; `"reset"`, `"set"` with `"used": 5`, `"top"` without a key; `"plan"`
/// names a plan.
enum LimitEndpoint {
    /// Reads the body; nil for what is none.
    static func question(_ body: [UInt8]) -> LimitQuestion? {
        guard let json = try? JSONReader.read(body), let action = json["action"]?.string.flatMap({ actions[$0] }),
            let limit = json["limit"]?.string
        else { return nil }
        var words: [String] = []
        if case .array(let elements)? = json["key"] {
            words = elements.compactMap(\.string)
            guard words.count == elements.count, words.count <= 32 else { return nil }
        }
        let used = json["used"]?.number.flatMap { UInt64($0.text) }
        guard action != .set || used != nil, used ?? 0 <= 1_000_000_000 else { return nil }
        return LimitQuestion(action, limit: limit, words: words, plan: json["plan"]?.string ?? "", used: used ?? 0)
    }

    static func response(to question: LimitQuestion, _ answer: LimitAnswer) -> LocalResponse {
        let isTop = question.action == .top
        let entries = answer.entries.map { entry in
            JSON.object(
                isTop
                    ? [("key", .text(entry.name)), ("requests", .number(entry.count))]
                    : [
                        ("place", .text(entry.name)), ("remaining", .number(entry.count)), ("retry_after_ms", .number(entry.retryAfter)),
                        ("reset_after_ms", .number(entry.resetAfter)),
                    ])
        }
        let found = (isTop ? "keys" : "places", JSON.array(entries))
        guard answer.status == 200 else {
            return LocalResponse(Int(clamping: answer.status), .object([("error", .text(answer.text)), found]))
        }
        return LocalResponse(200, .object([("limit", .text(question.limit)), found]))
    }

    private static let actions: [String: LimitQuestion.Action] = ["show": .show, "reset": .reset, "set": .set, "top": .top]
}
