import Compute
import Testing
import Weights

@Suite struct ForwardTests {
    /// All but whole numbers, which are no weights.
    static let storedFormats = QuantFormats.all.filter { ($0 as? OtherNumbers)?.kind ?? .f64 == .f64 }

    @Test(arguments: RandomModel.all, [Metadata.Dialect.huggingFace, .gguf])
    func preciseModeGivesTheLogitsOfTheSpecification(_ random: RandomModel, _ dialect: Metadata.Dialect) throws {
        let source = dialect == .gguf ? random.gguf() : random.huggingFace()
        let tokens = someTokens(45, vocabulary: random.vocabulary)
        let expected = try Reference(source).logits(for: tokens)
        let model = try Model.load(source, options: ModelOptions(precise: true, threads: 2))
        #expect(largestDifference(try model.logits(tokens).flatMap { $0 }, expected) < 1e-4)
    }

    @Test(arguments: RandomModel.all)
    func denseWeightsInF32GiveTheLogitsOfTheSpecification(_ random: RandomModel) throws {
        let source = random.huggingFace()
        let tokens = someTokens(45, vocabulary: random.vocabulary)
        let model = try Model.load(source, options: ModelOptions(threads: 1))
        // Only keys and values are rounded, to f16.
        #expect(relativeError(try model.logits(tokens).flatMap { $0 }, from: try Reference(source).logits(for: tokens)) < 1e-3)
    }

    @Test(arguments: RandomModel.all)
    func bothDialectsOfTheSameWeightsExecuteTheSame(_ random: RandomModel) throws {
        for format in [Q4_1(), Q4_K(), Dense(.f16)] as [any QuantFormat] {
            let wide = random.wide(format)
            let tokens = someTokens(40, vocabulary: wide.vocabulary)
            let one = try Model.load(wide.huggingFace(), options: ModelOptions(threads: 1)).logits(tokens)
            let other = try Model.load(wide.gguf(), options: ModelOptions(threads: 1)).logits(tokens)
            #expect(one == other, "\(wide.testDescription)")
        }
    }

    /// Activations are rounded to eight bits: relative to the spread of the logits the error stays below 3 %.
    @Test(arguments: storedFormats.indices)
    func everyStoredFormatStaysNearItsPreciseForm(_ index: Int) throws {
        let wide = RandomModel.all[0].wide(Self.storedFormats[index])
        let source = wide.huggingFace()
        let tokens = someTokens(40, vocabulary: wide.vocabulary)
        let precise = try Model.load(source, options: ModelOptions(precise: true, threads: 1)).logits(tokens)
        let packed = try Model.load(source, options: ModelOptions(threads: 1)).logits(tokens)
        let error = relativeError(packed.flatMap { $0 }, from: precise.flatMap { $0 })
        #expect(error < 0.03, "\(wide.format.name): \(error)")
    }

    @Test(arguments: RandomModel.all)
    func logitsDoNotDependOnHowAPromptIsCut(_ random: RandomModel) throws {
        for format in [Q4_1(), Q6_K(), Dense(.bf16)] as [any QuantFormat] {
            let wide = random.wide(format)
            let tokens = someTokens(75, vocabulary: wide.vocabulary)
            let model = try Model.load(wide.huggingFace(), options: ModelOptions(threads: 2))
            let whole = try model.logits(tokens)
            for chunks in [Array(repeating: 1, count: 75), [31, 2, 42], [64, 11], [5, 70]] {
                #expect(try model.logits(tokens, chunks: chunks) == whole, "\(wide.testDescription) \(chunks)")
            }
        }
    }

    @Test(arguments: RandomModel.all)
    func logitsDoNotDependOnThreads(_ random: RandomModel) throws {
        let wide = random.wide(Q8_0())
        let tokens = someTokens(50, vocabulary: wide.vocabulary)
        let one = try Model.load(wide.huggingFace(), options: ModelOptions(threads: 1)).logits(tokens)
        for threads in 2...3 {
            #expect(try Model.load(wide.huggingFace(), options: ModelOptions(threads: threads)).logits(tokens) == one)
        }
    }

    @Test(arguments: RandomModel.all)
    func logitsDoNotDependOnTheOtherSequencesOfABatch(_ random: RandomModel) throws {
        let wide = random.wide(Q4_0())
        let model = try Model.load(wide.huggingFace(), options: ModelOptions(threads: 2))
        let prompts = [40, 3, 1, 33].map { someTokens($0 + 1, vocabulary: wide.vocabulary, seed: UInt64($0)) }
        let alone = try prompts.map { try model.logits($0) }

        let session = try Session(model, pages: 16)
        let slots = prompts.map { _ in session.open() }

        // All prompts but their last token together; then that token of each together, in another order.
        let first = session.run(zip(prompts, slots).map { .init(slot: $1, tokens: $0.dropLast(), logits: .last) })
        #expect(first == prompts.indices.map { alone[$0][prompts[$0].count - 2] })
        let second = session.run(
            [2, 0, 3, 1].map { .init(slot: slots[$0], tokens: prompts[$0].suffix(1), logits: $0 == 3 ? .none : .last) })
        #expect(second == [2, 0, 1].map { alone[$0][prompts[$0].count - 1] })
        #expect(slots.map(session.count) == prompts.map(\.count))
    }

    @Test(arguments: RandomModel.all)
    func keysAndValuesInBytesStayNearHalfPrecisionHoweverAPromptIsCut(_ random: RandomModel) throws {
        let wide = random.wide(Dense(.f32))
        let tokens = someTokens(75, vocabulary: wide.vocabulary)
        let half = try Model.load(wide.huggingFace(), options: ModelOptions(threads: 1)).logits(tokens)
        let bytes = try Model.load(wide.huggingFace(), options: ModelOptions(threads: 2, cache: .q8))
        let whole = try bytes.logits(tokens)
        let error = relativeError(whole.flatMap { $0 }, from: half.flatMap { $0 })
        #expect(error > 0 && error < 0.05, "\(wide.testDescription): \(error)")  // random weights pass on what rounding does tenfold
        for chunks in [Array(repeating: 1, count: 75), [31, 2, 42]] {
            #expect(try bytes.logits(tokens, chunks: chunks) == whole, "\(wide.testDescription) \(chunks)")
        }
    }

    @Test func aSequenceCutBackAndContinuedGivesTheSameLogits() throws {
        let wide = RandomModel.all[0].wide(Q4_1())
        let tokens = someTokens(70, vocabulary: wide.vocabulary)
        let session = try Session(try Model.load(wide.huggingFace(), options: ModelOptions(threads: 1)), pages: 4)
        let expected = try session.model.logits(tokens)
        let slot = session.open()
        _ = session.run(slot, tokens[..<40], .none)
        _ = session.run(slot, someTokens(30, vocabulary: wide.vocabulary, seed: 99), .none)
        session.truncate(slot, to: 40)
        #expect(session.run(slot, tokens[40...], .last) == [expected[69]])
    }

    @Test func aBatchThatAsksForNothingLeavesNoLogits() throws {
        let session = try Session(try Model.load(RandomModel.all[0].huggingFace(), options: ModelOptions(threads: 1)), pages: 1)
        let slot = session.open()
        #expect(session.run(slot, [1, 2, 3], .none) == [])
        #expect(session.count(slot) == 3)
    }
}
