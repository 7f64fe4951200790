import TestSupport
import Testing
import Text
import Weights

@Suite struct TokenizerMergeTests {
    /// Any two symbols of a small alphabet may merge, by made-up priorities, many of them equal.
    private struct MadeUpPairs: MergeRule {
        var joins: [Int32: Join] = [:]  // left × 64 + right

        init(_ random: inout SeededRandom) {
            for pair in 0..<Int32(64 * 64) where Int.random(in: 0..<3, using: &random) > 0 {
                joins[pair] = Join(priority: .random(in: 0..<40, using: &random), id: .random(in: 0..<64, using: &random))
            }
        }

        func join(_ left: Int32, _ right: Int32, _ text: Span<UInt8>, _ start: Int, _ end: Int) -> Join {
            joins[left * 64 + right] ?? .none
        }
    }

    @Test func theHeapMergesAsThePlainSearchDoes() {
        var random = SeededRandom(seed: 7)
        for round in 0..<2000 {
            let rule = MadeUpPairs(&random)
            let count = round < 200 ? round % 40 : Int.random(in: 0...120, using: &random)
            var plain = MergeBuffer()
            plain.ids = (0..<count).map { _ in Int32.random(in: 0..<(round % 2 == 0 ? 4 : 64), using: &random) }
            plain.offsets = Array(0...count)
            var heap = plain
            var text = [UInt8](repeating: 0, count: count)
            text.reserveCapacity(1)
            plain.mergeShort(rule, text.span)
            heap.mergeLong(rule, text.span)
            #expect(plain.ids == heap.ids && plain.offsets == heap.offsets, "round \(round)")
            if plain.ids != heap.ids { return }
        }
    }

    @Test func ofEqualScoresTheLeftmostMergesFirst() throws {
        var spec = TokenizerSpec(algorithm: .scoredPairs, preTokenizer: .none)
        for piece in ["a", "b", "aa", "ab"] { spec.pieces.append(piece.utf8) }
        spec.kinds = Array(repeating: .normal, count: 4)
        spec.scores = [0, 0, 1, 1]
        #expect(try Tokenizer(spec).encode("aaab") == [2, 3])
        #expect(try Tokenizer(spec).encode("aab") == [2, 1])
        spec.scores = [0, 0, 0, -0.0]  // equal too
        #expect(try Tokenizer(spec).encode("aab") == [2, 1])
    }

    /// One word of a megabyte, which a quadratic search would take hours for.
    @Test(arguments: ["qwen2", "llama"], ["a", "ab", " ", "\u{4E2D}", "e\u{301}", "\n \t", "<|im_", "'", "\u{1F469}\u{200D}"])
    func aWordOfAMegabyteIsEncodedInTime(_ name: String, _ unit: String) throws {
        let tokenizer = try Tokenizer(TokenizerFiles.spec(name))
        let text = String(repeating: unit, count: 1_000_000 / unit.utf8.count) + "x"
        var ids: [Int32] = []
        let seconds = CPUTime.measure { ids = tokenizer.encode(text, addSpecial: false) }
        let whole = tokenizer.text(ids, special: true)
        #expect(whole == text && whole.utf8.count <= text.utf8.count)
        #expect(seconds < 30, "\(seconds) s; below 1 s when optimised")
    }
}
