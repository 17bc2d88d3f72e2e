package import RateLimiting

/// What operators ask of limits, and what workers answer, as processes tell it each other.
package enum LimitMessage {
    package static func question(_ number: UInt64, _ question: LimitQuestion) -> [UInt8] {
        var message = MessageWriter(.limitQuestion)
        message.number(number)
        message.number(question.action.rawValue)
        message.number(question.used)
        message.text(question.limit)
        message.text(question.plan)
        message.number(UInt64(question.words.count))
        for word in question.words { message.text(word) }
        return message.output
    }

    /// Nil for what is none.
    package static func question(_ reader: inout MessageReader) -> (number: UInt64, LimitQuestion)? {
        guard let number = reader.number(), let action = reader.number().flatMap({ LimitQuestion.Action(rawValue: $0) }),
            let used = reader.number(),
            let limit = reader.text(), let plan = reader.text(), let count = reader.number(), count <= wordsMax
        else { return nil }
        let words = (0..<count).compactMap { _ in reader.text() }
        return UInt64(words.count) == count ? (number, LimitQuestion(action, limit: limit, words: words, plan: plan, used: used)) : nil
    }

    package static func answer(_ number: UInt64, _ answer: LimitAnswer) -> [UInt8] {
        var message = MessageWriter(.limitAnswer)
        message.number(number)
        message.number(answer.status)
        message.text(answer.text)
        message.number(UInt64(answer.entries.count))
        for entry in answer.entries {
            message.text(entry.name)
            for value in [entry.count, entry.retryAfter, entry.resetAfter] { message.number(value) }
        }
        return message.output
    }

    /// Nil for what is none: a worker that was broken into may say anything.
    package static func answer(_ reader: inout MessageReader) -> (number: UInt64, LimitAnswer)? {
        guard let number = reader.number(), let status = reader.number(), [200, 400, 404, 503].contains(status), let text = reader.text(),
            let count = reader.number(), count <= entriesMax
        else { return nil }
        var entries: [LimitAnswer.Entry] = []
        for _ in 0..<count {
            guard let name = reader.text(), name.utf8.count <= nameBytesMax, let amount = reader.number(), let retryAfter = reader.number(),
                let resetAfter = reader.number()
            else { return nil }
            entries.append(LimitAnswer.Entry(name, count: amount, retryAfter: retryAfter, resetAfter: resetAfter))
        }
        return (number, LimitAnswer(status, String(text.prefix(nameBytesMax)), entries))
    }
}

private let wordsMax: UInt64 = 32
private let entriesMax: UInt64 = 64
private let nameBytesMax = 512
