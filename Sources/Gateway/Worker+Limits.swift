import Processes
import System

extension Worker {
    /// An operator asks of a limit, or has a key of it changed.
    func received(limitQuestion reader: inout MessageReader, on channel: MessageChannel) {
        guard let (number, question) = LimitMessage.question(&reader) else { return }
        path.answer(question) { [weak channel] answer in channel?.send(LimitMessage.answer(number, answer)) }
    }
}
