import TestSupport
import Testing
import Text
import Weights

@Suite struct TokenizerTests {
    @Test func everyPatternHasALittleVocabulary() {
        let shared: [TokenizerSpec.PreTokenizer: String] = [.commandR: "smollm", .starcoder: "smollm", .refact: "smollm", .none: "gemma"]
        for pattern in TokenizerSpec.PreTokenizer.allCases {
            #expect(TokenizerFiles.little.contains(shared[pattern] ?? pattern.rawValue), "\(pattern.rawValue)")
        }
    }

    @Test(arguments: TokenizerFiles.little)
    func aLittleVocabularyGivesTheIdsOfTheReference(_ name: String) throws {
        let tokenizer = try Tokenizer(TokenizerFiles.spec(name))
        let expected = try TokenizerFiles.expected(name)
        expectNone(
            of: expected.texts.indices.filter { tokenizer.encode(expected.texts[$0], addSpecial: false) != expected.ids[$0] }
                .map { (expected.texts[$0], expected.ids[$0], tokenizer.encode(expected.texts[$0], addSpecial: false)) }, name)
    }

    @Test(arguments: TokenizerFiles.little)
    func controlTokensThatAreNotReadAreOrdinaryText(_ name: String) throws {
        let tokenizer = try Tokenizer(TokenizerFiles.spec(name))
        let expected = try TokenizerFiles.expected(name)
        expectNone(
            of: expected.texts.indices.filter {
                tokenizer.encode(expected.texts[$0], parseSpecial: false, addSpecial: false) != expected.plain[$0] ?? expected.ids[$0]
            }.map { expected.texts[$0] }, name)
        #expect(!expected.plain.isEmpty)
    }

    @Test(arguments: TokenizerFiles.little)
    func idsDecodeAsWithTheReferenceAtOnceAndOneByOne(_ name: String) throws {
        let tokenizer = try Tokenizer(TokenizerFiles.spec(name))
        let expected = try TokenizerFiles.expected(name)
        func differing(_ decode: ([Int32]) -> String) -> [String] {
            expected.texts.indices.filter {
                !decode(expected.ids[$0]).utf8.elementsEqual((expected.decoded[$0] ?? expected.texts[$0]).utf8)
            }
            .map { expected.texts[$0] }
        }
        expectNone(of: differing { tokenizer.text($0, special: true) }, name)
        expectNone(of: differing { tokenizer.streamed($0, special: true) }, name)
    }

    @Test(arguments: ["llama", "gemma"])
    func scoresAndRanksOfOneVocabularyGiveTheSameIds(_ name: String) throws {
        var spec = try TokenizerFiles.spec(name)
        let ranked = try Tokenizer(spec)
        spec.algorithm = .scoredPairs
        spec.scores = spec.pieces.indices.map { -Float($0) }
        let scored = try Tokenizer(spec)
        let texts = TokenizerFiles.texts
        expectNone(of: texts.filter { scored.encode($0, addSpecial: false) != ranked.encode($0, addSpecial: false) }, name)
    }

    @Test func aWordThatIsAPieceStaysWholeOnlyWhereMergesAreIgnored() throws {
        var spec = TokenizerSpec(algorithm: .byteLevelPairs, preTokenizer: .gpt2)
        for piece in ["a", "b", "c", "ab", "bc", "abc"] { spec.pieces.append(piece.utf8) }
        spec.kinds = Array(repeating: .normal, count: 6)
        spec.merges = ByteStrings(["b c", "a b"])
        #expect(try Tokenizer(spec).encode("abc") == [0, 4])
        spec.ignoresMerges = true
        #expect(try Tokenizer(spec).encode("abc abc") == [5, 0, 4])  // " abc" is no piece, and the space has none
    }

    @Test func aCharacterOutsideTheByteAlphabetIsNoKey() throws {
        var spec = TokenizerSpec(algorithm: .byteLevelPairs, preTokenizer: .gpt2)
        for piece in ["\u{200D}", "â", "Ģ", "į", "âĢ", "âĢį"] { spec.pieces.append(piece.utf8) }
        spec.kinds = Array(repeating: .normal, count: 6)
        spec.merges = ByteStrings(["â Ģ", "âĢ į"])
        let tokenizer = try Tokenizer(spec)
        #expect(tokenizer.encode("\u{200D}") == [5])
        #expect(tokenizer.text([0]) == "\u{200D}")
    }

    @Test func onlyTwoHexadecimalDigitsMakeAByte() throws {
        var spec = TokenizerSpec(algorithm: .scoredPairs, preTokenizer: .none)
        for piece in ["<0x41>", "<0x-1>", "<0xZZ>", "<0x4>", "<0x411>", "<0x4a>"] { spec.pieces.append(piece.utf8) }
        spec.kinds = Array(repeating: .byte, count: 6)
        spec.scores = Array(repeating: 0, count: 6)
        let tokenizer = try Tokenizer(spec)
        #expect(tokenizer.text([0, 1, 2, 3, 4, 5]) == "A<0x-1><0xZZ><0x4><0x411>J")
        #expect(tokenizer.encode("AJ") == [0, 5])
        #expect(tokenizer.encode("<0x41>") == [])  // none of its characters has a piece
    }

    @Test func textThatSpellsAControlTokenNeverMergesIntoIt() throws {
        var spec = TokenizerSpec(algorithm: .scoredPairs, preTokenizer: .none)
        for piece in ["<s>", "<", "s", ">", "<s", "s>"] { spec.pieces.append(piece.utf8) }
        spec.kinds = [.control] + Array(repeating: .normal, count: 5)
        spec.scores = [10, 0, 0, 0, 1, 2]
        let tokenizer = try Tokenizer(spec)
        #expect(tokenizer.encode("<s>") == [0])
        #expect(tokenizer.encode("<s>", parseSpecial: false) == [1, 5])
    }

    @Test(arguments: TokenizerFiles.little)
    func bytesThatAreNoTextComeBackAsTheyWere(_ name: String) throws {
        let tokenizer = try Tokenizer(TokenizerFiles.spec(name))
        var random = SeededRandom(seed: 41)
        let composes = try TokenizerFiles.spec(name).composesUnicode
        for _ in 0..<300 {
            // Without bytes that begin combining marks, where the vocabulary composes them.
            let bytes = (0..<Int.random(in: 1...40, using: &random)).map { _ in
                UInt8.random(in: composes ? 0...0xC3 : 0...0xFF, using: &random)
            }
            let ids = tokenizer.encode(bytes, addSpecial: false)
            var expected = bytes
            if name == "metaspace", expected.first == 0x20 { expected.removeFirst() }  // the space that begins a text is not kept
            #expect(tokenizer.decode(ids, special: true) == expected, "\(bytes)")
        }
    }
}
