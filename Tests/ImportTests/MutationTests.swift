import Import
import TestSupport
import Testing

/// Inputs with random changes: whatever they are, the importer ends, and what it writes passes `check`.
@Suite struct MutationTests {
    @Test(arguments: 0..<10) func neitherCrashesNorWritesWhatIsWrong(_ part: Int) throws {
        var random = SplitMix(seed: UInt64(part) &* 7_919 &+ 1)
        let names = Importing.names.filter { !$0.contains("/") }
        let inputs = try names.map { try InputFiles().read($0 + ".conf") }
        let words = inputs.flatMap { String(decoding: $0, as: UTF8.self).split(whereSeparator: \.isWhitespace).map { Array($0.utf8) } }
        let odd: [[UInt8]] = [
            "{", "}", ";", "$", "${", "\"", "'", "~", "^/(a|", "@", "\\", "=", "(", "[", "off", "0", "", "#", "\0", "é", "*", "/**", "//",
            "99999999999999999999",
        ].map { Array($0.utf8) }
        var read = 0
        for round in 0..<1_000 {
            let index = random.below(inputs.count)
            var bytes = inputs[index]
            for _ in 0...random.below(4) {
                let at = random.below(bytes.count)
                let end = min(bytes.count, at + random.below(40))
                switch random.below(5) {
                case 0: bytes.removeSubrange(at..<end)
                case 1: bytes.insert(contentsOf: words[random.below(words.count)] + [0x20], at: at)
                case 2: bytes.insert(contentsOf: odd[random.below(odd.count)], at: at)
                case 3: bytes[at] = UInt8(random.below(256))
                default: bytes.insert(contentsOf: Array(bytes[at..<end]), at: random.below(bytes.count))
                }
            }
            let files = InputFiles(changed: ["mutated.conf": bytes])
            guard let imported = try? NginxImport("mutated.conf", files: files) else { continue }
            read += 1
            for entry in imported.record.entries { #expect(!entry.outcomes.isEmpty) }
            // Reading the file is slower than importing it: a part of them has to do.
            if round % 8 == 0 {
                let checked = CheckedImport(imported, files: CheckedFiles("", besides: files))
                let problems = Importing.check(checked.text, besides: files)
                // What only the machine, or who wrote the input, can mend: a file that is not there, or in which no server is left.
                let left = (problems + checked.problems).filter {
                    !$0.contains("cannot read") && !$0.contains(" PEM ") && $0 != "there is no route"
                }
                #expect(left == [], "\(checked.text)")
            }
        }
        #expect(read > 100)
    }
}

/// Numbers that look random, the same in each run.
private struct SplitMix {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func below(_ count: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return Int((mixed ^ mixed >> 31) % UInt64(max(1, count)))
    }
}
