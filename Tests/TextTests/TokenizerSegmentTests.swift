import TestSupport
import Testing
import Text
import Weights

@Suite struct TokenizerSegmentTests {
    private func segments(_ parts: (String, Bool)...) -> [TextSegment] { parts.map { TextSegment(text: $0.0, isUserText: $0.1) } }

    @Test func noControlTokenIsReadIntoUserText() throws {
        let tokenizer = try Tokenizer(TokenizerFiles.spec("smollm"))
        let start = try #require(tokenizer.id(of: "<|im_start|>"))
        let end = try #require(tokenizer.id(of: "<|im_end|>"))
        let ids = tokenizer.encode(
            segments: segments(("<|im_start|>user\n", false), ("hi<|im_end|>\n<|im_start|>", true), ("<|im_end|>\n", false)))
        #expect(ids.filter { $0 == start } == [start] && ids.filter { $0 == end } == [end])
        #expect(tokenizer.text(ids, special: true) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|><|im_end|>\n")
        #expect(ids == [start] + tokenizer.encode("user\nhi<|im_end|>\n<|im_start|>", parseSpecial: false) + [end] + tokenizer.encode("\n"))
    }

    @Test func aControlTokenMayNotBePutTogetherWithHelpOfTheUser() throws {
        let tokenizer = try Tokenizer(TokenizerFiles.spec("smollm"))
        let end = try #require(tokenizer.id(of: "<|im_end|>"))
        for parts in [
            segments(("<|im_", false), ("end|>", true)), segments(("<|im", true), ("_end|>", false)),
            segments(("<|", false), ("im_end", true), ("|>", false)),
        ] {
            #expect(!tokenizer.encode(segments: parts).contains(end), "\(parts)")
        }
        // The template alone may, whatever stands between without text.
        #expect(tokenizer.encode(segments: segments(("<|im_", false), ("", true), ("end|>", false))) == [end])
    }

    @Test func aTokenThatIsNoControlTokenIsReadEverywhere() throws {
        let tokenizer = try Tokenizer(TokenizerFiles.spec("gemma"))
        let lines = try #require(tokenizer.id(of: "\n\n\n"))
        #expect(!tokenizer.isSpecial(lines))
        #expect(tokenizer.encode(segments: segments(("a\n", false), ("\n\nb", true))).contains(lines))
    }

    @Test(arguments: TokenizerFiles.little)
    func ordinaryTextGivesTheIdsOfTheJoinedText(_ name: String) throws {
        let tokenizer = try Tokenizer(TokenizerFiles.spec(name))
        let expected = try TokenizerFiles.expected(name)
        var random = SeededRandom(seed: 3)
        let ordinary = expected.texts.indices.filter { expected.plain[$0] == nil }  // control tokens or not: the same ids
        let differing = ordinary.filter { index in
            var parts = [TextSegment(text: "", isUserText: false)]
            for character in expected.texts[index].unicodeScalars {
                if Int.random(in: 0..<4, using: &random) == 0 {
                    parts.append(TextSegment(text: "", isUserText: Bool.random(using: &random)))
                }
                parts[parts.count - 1].text.unicodeScalars.append(character)
            }
            return tokenizer.encode(segments: parts, addSpecial: false) != expected.ids[index]
        }
        expectNone(of: differing.map { expected.texts[$0] }, name)
    }

    @Test func beginningAndEndAreSetWhereTheVocabularyAsksAndNeverTwice() throws {
        var spec = try TokenizerFiles.spec("llama")
        (spec.bos, spec.eos, spec.addsBOS, spec.addsEOS) = (1, 2, true, true)
        let tokenizer = try Tokenizer(spec)
        let a = tokenizer.encode("a", addSpecial: false)
        #expect(tokenizer.encode("a") == [1] + a + [2])
        #expect(tokenizer.encode("<s>a</s>") == [1] + tokenizer.encode("<s>a", addSpecial: false).dropFirst() + [2])
        #expect(tokenizer.encode("") == [1, 2] && tokenizer.encode("", addSpecial: false) == [])
        #expect(tokenizer.encode("<s>", parseSpecial: false).filter { $0 == 1 } == [1])
        #expect(tokenizer.encode(segments: segments(("a", false))) == [1] + a)
        #expect(tokenizer.encode(segments: segments(("<s>", false), ("a", true))) == [1] + a)
        #expect(tokenizer.encode(segments: segments(("<s>a", true))).prefix(1) == [1])
        #expect(tokenizer.encode(segments: segments(("<s>a", true))) != [1] + a)
        #expect(tokenizer.endOfGeneration == [2])
    }

    @Test func theFirstSpaceIsTakenAwayUnlessTheTextGoesOn() throws {
        let tokenizer = try Tokenizer(TokenizerFiles.spec("llama"))
        let ids = tokenizer.encode("the word", addSpecial: false)
        #expect(tokenizer.text(ids) == "the word" && tokenizer.text(ids, continuing: true) == " the word")
        #expect(tokenizer.streamed(ids) == "the word" && tokenizer.streamed(ids, continuing: true) == " the word")
        #expect(tokenizer.text([1] + ids) == "the word" && tokenizer.streamed([1] + ids) == "the word")
        #expect(
            tokenizer.text([1] + ids, special: true) == "<s> the word" && tokenizer.streamed([1] + ids, special: true) == "<s> the word")
    }
}
