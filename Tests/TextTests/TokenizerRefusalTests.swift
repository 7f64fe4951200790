import TestSupport
import Testing
import Text
import Weights

@Suite struct TokenizerRefusalTests {
    private var spec: TokenizerSpec {
        var spec = TokenizerSpec(algorithm: .byteLevelPairs, preTokenizer: .gpt2)
        for piece in ["a", "b", "ab", "<s>"] { spec.pieces.append(piece.utf8) }
        spec.kinds = [.normal, .normal, .normal, .control]
        spec.merges = ByteStrings(["a b"])
        return spec
    }

    private func refusal(_ change: (inout TokenizerSpec) -> Void) -> String? {
        var spec = spec
        change(&spec)
        return #expect(throws: ModelError.self) { try Tokenizer(spec) }?.description
    }

    @Test func aSpecificationThatContradictsItselfIsRefused() throws {
        #expect(try Tokenizer(spec).encode("<s>ab") == [3, 2])
        #expect(refusal { $0.kinds.removeLast() } == "tokenizer: 4 pieces but 3 piece types")
        #expect(refusal { $0.algorithm = .scoredPairs } == "tokenizer: 4 pieces but 0 scores")
        #expect(refusal { $0.pieces = ByteStrings() }?.hasPrefix("tokenizer: 0 pieces") == true)
        #expect(refusal { $0.eos = 4 } == "tokenizer: the eos token has id 4 of 4")
        #expect(refusal { $0.bos = -1 }?.contains("bos") == true)
        #expect(refusal { $0.endOfGeneration = [.max] }?.contains("end-of-generation") == true)
        #expect(refusal { $0.addedTokens = [.init(id: 4, content: [65], special: true)] } == #"tokenizer: added token "A" has id 4 of 4"#)
        #expect(refusal { $0.addedTokens = [.init(id: 3, content: [], special: true)] }?.contains("0 bytes long") == true)
        #expect(
            refusal { $0.addedTokens = [.init(id: 3, content: Array(repeating: 65, count: 1025), special: true)] }?.contains(
                "1025 bytes long") == true)
        #expect(
            refusal { $0.addedTokens = Array(repeating: .init(id: 3, content: [65], special: true), count: 65_537) }?.contains("65537")
                == true)
    }

    @Test func mergesThatCannotBeAreRefused() {
        #expect(refusal { $0.merges = ByteStrings() }?.contains("0 merges") == true)
        for merge in ["ab", " ", "", "a ", " b", "a", "   "] {
            #expect(refusal { $0.merges = ByteStrings(["a b", merge]) }?.hasPrefix("tokenizer: merge 1: ") == true, "\(merge)")
        }
        #expect(
            refusal { $0.merges = ByteStrings(["b a"]) } == #"tokenizer: merge 0: "b a" joins or makes a piece that the vocabulary lacks"#)
        #expect(refusal { $0.merges = ByteStrings(["a c"]) }?.contains("lacks") == true)
    }

    @Test func anySpecificationIsReadOrRefusedAndAnyTextEncoded() throws {
        var random = SeededRandom(seed: 23)
        var read = 0
        for _ in 0..<3000 {
            let algorithm =
                [TokenizerSpec.Algorithm.byteLevelPairs, .scoredPairs, .rankedPairs].randomElement(using: &random) ?? .scoredPairs
            var spec = TokenizerSpec(
                algorithm: algorithm, preTokenizer: TokenizerSpec.PreTokenizer.allCases.randomElement(using: &random) ?? .none)
            let count = Int.random(in: 1...12, using: &random)
            func piece(_ random: inout SeededRandom) -> [UInt8] {
                let parts: [[UInt8]] = [
                    [0x61], [0x62], [0xE2, 0x96, 0x81], [0x20], [0xFF], [0xC4, 0xA0], Array("<0x0A>".utf8), [0xC3], [],
                ]
                return (0..<Int.random(in: 0...3, using: &random)).flatMap { _ in parts.randomElement(using: &random) ?? [] }
            }
            for _ in 0..<count {
                spec.pieces.append(piece(&random))
                spec.kinds.append(TokenizerSpec.PieceKind(rawValue: .random(in: 1...6, using: &random)) ?? .normal)
                spec.scores.append([0, -1, .infinity, -.infinity, .nan, 3].randomElement(using: &random) ?? 0)
            }
            for _ in 0..<Int.random(in: 0...4, using: &random) { spec.merges.append(piece(&random) + [0x20] + piece(&random)) }
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                var token = TokenizerSpec.AddedToken(
                    id: .random(in: 0..<count, using: &random), content: piece(&random) + [0x61], special: .random(using: &random))
                token.stripsLeft = .random(using: &random)
                token.stripsRight = .random(using: &random)
                token.singleWord = .random(using: &random)
                spec.addedTokens.append(token)
            }
            spec.unknown = Bool.random(using: &random) ? 0 : nil
            spec.addsSpacePrefix = .random(using: &random)
            spec.composesUnicode = .random(using: &random)
            spec.ignoresMerges = .random(using: &random)
            guard let tokenizer = try? Tokenizer(spec) else { continue }
            read += 1
            for _ in 0..<4 {
                let text = (0..<Int.random(in: 0...60, using: &random)).map { _ in
                    [0x61, 0x62, 0x20, 0x0A, 0xE2, 0x96, 0x81, 0xCC, 0x80, 0xFF, 0x27, 0x30].randomElement(using: &random)
                        ?? UInt8.random(in: 0...255, using: &random)
                }
                let ids = tokenizer.encode(text, parseSpecial: .random(using: &random))
                #expect(ids.allSatisfy { $0 >= 0 && Int($0) < count })
                #expect(tokenizer.streamed(ids, special: true) == tokenizer.text(ids, special: true))
            }
        }
        #expect(read > 1000)
    }
}
