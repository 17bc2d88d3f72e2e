import Bytes
import Testing

@Suite struct ByteQueueTests {
    @Test func appendsAFieldWhereverTheQueueStands() {
        for (dropped, valueLength) in [(0, 0), (3, 5), (1_000, 40), (10, 5_000)] {
            let value = (0..<valueLength).map { UInt8(0x21 + $0 % 90) }
            var queue = ByteQueue()
            queue.append([UInt8](repeating: 0x2E, count: dropped + 4))
            queue.drop(dropped)
            let start = queue.append(field: [UInt8]("Name".utf8).span, value.span)
            #expect(start == 4 + 6)
            #expect(queue.readable.copied() == [UInt8]("....Name: ".utf8) + value + [0x0D, 0x0A])
            var line: [UInt8] = []
            line.append(field: [UInt8]("Name".utf8).span, value.span)
            #expect(queue.readable.extracting(4..<queue.count).copied() == line)
        }
        var queue = ByteQueue()
        let mixed = [UInt8]("X-Mixed@[`{\u{E4}Z".utf8)
        queue.append(lowercased: mixed.span, then: Span())
        #expect(queue.readable.text == "x-mixed@[`{\u{E4}z")
    }

    /// Every length goes one of several ways, and every byte may be a letter or look like one.
    @Test func copiesRunsOfEveryLength() {
        for count in 0...200 {
            let source = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ count) }
            var queue = ByteQueue()
            queue.append("..")
            queue.append(source)
            queue.append(lowercased: source.span, then: source.span)
            queue.append(line: source.span, Span(), source.span)
            let lowered = source.map { (0x41...0x5A).contains($0) ? $0 + 0x20 : $0 }
            #expect(queue.readable.copied() == [0x2E, 0x2E] + source + lowered + source + source + source + [0x0D, 0x0A])
            var array: [UInt8] = [0x2E]
            array.append(source.span)
            #expect(array == [0x2E] + source)
        }
    }

    @Test func comparesRunsOfEveryLength() {
        for count in 1...70 {
            let one = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 11 &+ 0x41) }
            #expect(isSame(one, one) && isSameIgnoringCase(one, one))
            for place in one.indices {
                var other = one
                other[place] ^= 0x20
                #expect(!isSame(one, other))
                let isLetter = (0x41...0x5A).contains(one[place] & ~0x20)
                #expect(isSameIgnoringCase(one, other) == isLetter, "\(one[place]) at \(place) of \(count)")
                other[place] = one[place] ^ 0x80
                #expect(!isSameIgnoringCase(one, other))
            }
        }
    }

    @Test func knowsTheCaseOfEveryByte() {
        for byte in UInt8.min...UInt8.max {
            for other in UInt8.min...UInt8.max {
                let isExpected = ASCII.lowercased(byte) == ASCII.lowercased(other)
                #expect(isSameIgnoringCase([byte], [other]) == isExpected)
                let (long, otherLong) = ([UInt8](repeating: byte, count: 9), [UInt8](repeating: other, count: 9))
                #expect(isSameIgnoringCase(long, otherLong) == isExpected, "\(byte) and \(other)")
            }
        }
    }

    private func isSame(_ one: [UInt8], _ other: [UInt8]) -> Bool { one.span.equals(other.span) }
    private func isSameIgnoringCase(_ one: [UInt8], _ other: [UInt8]) -> Bool { one.span.equalsIgnoringCase(other.span) }

    @Test func givesBackWhatWasAppendedInOrder() {
        var queue = ByteQueue()
        var expected: [UInt8] = []
        for round in 0..<200 {
            let piece = [UInt8](repeating: UInt8(round), count: round * 7 % 97)
            queue.append(piece)
            expected += piece
            let dropped = min(queue.count, round % 53)
            queue.drop(dropped)
            expected.removeFirst(dropped)
            #expect(queue.readable.copied() == expected)
        }
    }

    @Test func fillLendsAtLeastTheMinimum() {
        var queue = ByteQueue()
        let written = queue.fill(minimum: 5_000) { free in
            #expect(free.count >= 5_000)
            free[0] = 7
            return 1
        }
        #expect(written == 1)
        #expect(queue.readable.copied() == [7])
    }

    @Test func givesItsStorageToThePoolOnlyWhenEmpty() {
        let pool = BufferPool(bufferBytes: 4_096, keptMax: 2)
        var queue = ByteQueue()
        queue.prepare(from: pool)
        queue.append("x")
        queue.release(to: pool)
        #expect(queue.capacity == 4_096)
        queue.drop(1)
        queue.release(to: pool)
        #expect(queue.capacity == 0)
    }

    @Test(arguments: [(UInt64(0), "0"), (9, "9"), (10, "10"), (.max, "18446744073709551615")])
    func writesDecimals(value: UInt64, text: String) {
        var queue = ByteQueue()
        queue.append(decimal: value)
        #expect(queue.readable.text == text)
    }

    @Test(arguments: [(UInt64(0), "0"), (15, "f"), (16, "10"), (0x1000, "1000"), (.max, "ffffffffffffffff")])
    func writesHexadecimals(value: UInt64, text: String) {
        var queue = ByteQueue()
        queue.append(hexadecimal: value)
        #expect(queue.readable.text == text)
    }
}

@Suite struct Base64URLTests {
    // RFC 4648 §10, without padding.
    @Test(arguments: [
        ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy"),
    ])
    func encodesAndDecodes(plain: String, coded: String) {
        #expect(Base64URL.encode([UInt8](plain.utf8)) == [UInt8](coded.utf8))
        #expect(Base64URL.decode(coded) == [UInt8](plain.utf8))
    }

    @Test(arguments: ["Zg==", "Zg=", "Z", "Zm9vY", "Zm+v", "Zm/v", "Zm9 v", "Zm9v\n", "Zh", "Zm9"])
    func refusesEverySecondSpelling(text: String) { #expect(Base64URL.decode(text) == nil) }

    @Test func usesTheURLAlphabet() {
        #expect(Base64URL.decode("-_-_") == [0xFB, 0xFF, 0xBF])
        #expect(Base64URL.encode([0xFB, 0xFF, 0xBF]) == [UInt8]("-_-_".utf8))
    }
}

@Suite struct SpanTests {
    @Test(arguments: [("0", UInt64(0)), ("18446744073709551615", .max), ("007", 7)])
    func readsDecimals(text: String, value: UInt64) {
        let bytes = [UInt8](text.utf8)
        #expect(bytes.span.decimal(max: .max) == value)
    }

    @Test(arguments: ["", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "99999999999999999999999"])
    func refusesWhatIsNoDecimal(text: String) {
        let bytes = [UInt8](text.utf8)
        #expect(bytes.span.decimal(max: .max) == nil)
    }

    @Test func comparesWithoutCase() {
        let bytes = [UInt8]("X-User-Id".utf8)
        #expect(Bool(bytes.span.equalsIgnoringCase("x-USER-id")))
        #expect(Bool(!bytes.span.equalsIgnoringCase("x-user-i")))
        // Only letters have case: '@' and '`' differ by the same bit.
        let (at, grave) = ([UInt8]("@".utf8), [UInt8]("`".utf8))
        #expect(Bool(!at.span.equalsIgnoringCase(grave.span)))
    }

    @Test func constantTimeComparisonCompares() {
        let (a, b, c) = ([UInt8]("same".utf8), [UInt8]("same".utf8), [UInt8]("sama".utf8))
        #expect(Bool(equalInConstantTime(a.span, b.span)))
        #expect(Bool(!equalInConstantTime(a.span, c.span)))
        #expect(Bool(!equalInConstantTime(a.span, a.span.extracting(0..<3))))
    }
}

@Suite struct SipHashTests {
    /// The reference vectors of SipHash-2-4: key 00…0f, input 00, 00 01, …
    @Test(arguments: [
        (0, UInt64(0x726f_db47_dd0e_0e31)), (1, 0x74f8_39c5_93dc_67fd), (7, 0xab02_00f5_8b01_d137), (8, 0x93f5_f579_9a93_2462),
        (15, 0xa129_ca61_49be_45e5),
    ])
    func matchesTheReference(length: Int, expected: UInt64) {
        let hash = SipHash(key0: 0x0706_0504_0302_0100, key1: 0x0f0e_0d0c_0b0a_0908)
        let input = (0..<length).map { UInt8($0) }
        #expect(hash.hash(input.span) == expected)
    }
}

@Suite struct FieldValueTests {
    @Test func endsWhereAByteIsThatNoValueHolds() {
        for length in Array(0..<70) + [125, 128, 131, 150, 200] {
            let good = (0..<length).map { UInt8(0x20 + $0 % 0x5F) } + [0x80, 0xFF, 0x09]
            for place in 0...good.count {
                for bad in [UInt8(0x00), 0x0A, 0x0D, 0x1F, 0x7F] {
                    var bytes = good
                    bytes.insert(bad, at: place)
                    for start in [0, min(place, 3)] { #expect(bytes.span.endOfFieldValue(from: start) == place) }
                }
            }
            #expect(good.span.endOfFieldValue(from: 0) == good.count)
        }
    }

    @Test func theClassesAreThoseOfTheirDefinitions() {
        let alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        let path = alphanumeric + "-._~" + "!$&'()*+,;=" + ":@"
        let classes: [(String, (UInt8) -> Bool)] = [
            (alphanumeric + "!#$%&'*+-.^_`|~", ASCII.isToken), (path, ASCII.isPathCharacter), (alphanumeric + "-._~", ASCII.isUnreserved),
            (path + "/?" + "[]{}|^`\"<>\\", ASCII.isQueryCharacter),
            (alphanumeric + "-_", ASCII.isHostCharacter),
        ]
        for (characters, isMember) in classes {
            let members = Set(characters.utf8)
            for byte in UInt8.min...UInt8.max { #expect(isMember(byte) == members.contains(byte), "\(byte) of \(characters)") }
        }
    }
}
