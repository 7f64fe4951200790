import TestSupport
import Testing
import Text
import Weights

@Suite struct TokenizerStreamTests {
    /// A vocabulary whose pieces are given bytes.
    private func tokenizer(_ pieces: [[UInt8]]) throws -> Tokenizer {
        var spec = TokenizerSpec(algorithm: .scoredPairs, preTokenizer: .none)
        for piece in pieces { spec.pieces.append(piece) }
        spec.kinds = Array(repeating: .normal, count: pieces.count)
        spec.scores = Array(repeating: 0, count: pieces.count)
        return try Tokenizer(spec)
    }

    /// Ids 0...255 are the bytes.
    private func bytes() throws -> Tokenizer {
        var spec = TokenizerSpec(algorithm: .scoredPairs, preTokenizer: .none)
        let digits = Array("0123456789ABCDEF".utf8)
        for byte in 0..<256 { spec.pieces.append(Array("<0x".utf8) + [digits[byte / 16], digits[byte % 16]] + Array(">".utf8)) }
        spec.kinds = Array(repeating: .byte, count: 256)
        spec.scores = Array(repeating: 0, count: 256)
        return try Tokenizer(spec)
    }

    @Test func aCharacterComesOutWhenItsLastByteIsIn() throws {
        var decoder = StreamDecoder(try bytes())
        let text = "aé中🙂"
        var seen: [String] = []
        for byte in text.utf8 { seen.append(decoder.append(Int32(byte))) }
        #expect(seen == ["a", "", "é", "", "", "中", "", "", "", "🙂"])
        #expect(decoder.finish() == "")
    }

    @Test func whatWasNeverCompletedIsOneReplacementCharacter() throws {
        let tokenizer = try bytes()
        for (bytes, text) in [
            ([0xF0, 0x9F, 0x99], "\u{FFFD}"), ([0xC3], "\u{FFFD}"), ([0xC3, 0x28], "\u{FFFD}("), ([0x80], "\u{FFFD}"),
            ([0xED, 0xA0, 0x80], "\u{FFFD}\u{FFFD}\u{FFFD}"), ([0xE2, 0x82, 0x41], "\u{FFFD}A"), ([0xFF, 0xFE], "\u{FFFD}\u{FFFD}"),
            ([0xF4, 0x90, 0x80, 0x80], "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}"), ([0xF0, 0x9F, 0xF0, 0x9F], "\u{FFFD}\u{FFFD}"),
            ([0xC0, 0xAF], "\u{FFFD}\u{FFFD}"), ([0xE0, 0x80, 0xAF], "\u{FFFD}\u{FFFD}\u{FFFD}"),
        ] as [([Int32], String)] {
            #expect(tokenizer.streamed(bytes) == text && tokenizer.text(bytes) == text, "\(bytes)")
        }
    }

    @Test func streamedTextIsTheWholeTextWhateverTheBytes() throws {
        let tokenizer = try bytes()
        var random = SeededRandom(seed: 17)
        let likely: [UInt8] = [0x41, 0x80, 0xBF, 0xC2, 0xC3, 0xE0, 0xE2, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF, 0x9F, 0xA0, 0x8F, 0x90]
        for round in 0..<20_000 {
            let ids = (0..<Int.random(in: 1...8, using: &random)).map { _ in Int32(likely.randomElement(using: &random) ?? 0) }
            let whole = tokenizer.text(ids)
            let streamed = tokenizer.streamed(ids)
            #expect(Array(whole.unicodeScalars) == Array(streamed.unicodeScalars), "round \(round): \(ids)")
            if whole != streamed { return }
        }
    }

    @Test func everyPartIsWholeCharactersAlsoWhenPiecesCutThem() throws {
        let tokenizer = try tokenizer([[0x61, 0xF0], [0x9F], [0x99, 0x82, 0xE4], [0xB8, 0xAD], [0x20, 0xE4], [0x62]])
        var decoder = StreamDecoder(tokenizer)
        #expect([0, 1, 2, 3, 4, 5].map { decoder.append($0) } == ["a", "", "🙂", "中", " ", "\u{FFFD}b"])
    }

    @Test func idsThatDoNotExistStandForNothing() throws {
        let tokenizer = try bytes()
        #expect(tokenizer.decode([-1, 256, .max, .min, 0x41]) == [0x41])
        #expect(tokenizer.streamed([-1, 256, .max, .min, 0x41]) == "A")
        #expect(tokenizer.bytes(of: -1).isEmpty && !tokenizer.isSpecial(.max))
    }
}
