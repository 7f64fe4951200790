import Engine
import Testing

struct PromptLookupTests {
    private func match(_ text: String) -> PromptLookup.Match? {
        var lookup = PromptLookup()
        lookup.add(Bytes.ids(text))
        return lookup.match(Bytes.ids(text))
    }

    @Test func theLongestAgreementWinsAndOfEqualsTheLatest() {
        #expect(match("the cat. a cat! my cat") == .init(length: 4, next: 14))
        #expect(match("the cat. my dog. a cat! the cat") == .init(length: 7, next: 7))
        #expect(match("abcdefgh") == nil)
        #expect(match("ab") == nil && match("a") == nil && match("") == nil)
        #expect(match("xyxy") == .init(length: 2, next: 2))
    }

    @Test func agreementOfOneTokenIsNone() { #expect(match("a1b2c3a") == nil) }

    /// Against the plain definition, while texts of few letters grow token by token.
    @Test(arguments: 1...20)
    func growingTextsAreLookedUpAsWholeOnes(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var text = (0..<Int.random(in: 0...1500, using: &random)).map { _ in Int32.random(in: 0..<40, using: &random) }
        var lookup = PromptLookup()
        for _ in 0..<300 {
            text.append(Int32.random(in: 0..<40, using: &random))
            if Bool.random(using: &random) { text += text.suffix(40).prefix(10) }
            lookup.add(text)
            var best: PromptLookup.Match?
            for end in (1..<text.count - 1).reversed() {
                let length = zip(text[...end].reversed(), text.reversed()).prefix(PromptLookup.longest).prefix { $0 == $1 }.count
                if length >= 2, length > best?.length ?? 0 { best = .init(length: length, next: end + 1) }
            }
            // The plain way looks at every place, the other at the latest ones only.
            if let found = lookup.match(text) {
                #expect(found.length <= best?.length ?? 0 && found.length >= min(best?.length ?? 0, 2))
                if found.length == best?.length { #expect(found.next == best?.next) }
            } else {
                #expect(best == nil)
            }
        }
    }
}

struct SpeculatorTests {
    @Test func guessesGoOnBehindTheEndOfWhatRepeats() {
        var speculator = Speculator()
        let text = Bytes.ids("abcabc")
        speculator.look(at: text, limit: 100)
        var run: [Int32] = []
        let count = speculator.propose(7, after: text, to: &run)
        #expect(count == 7 && run == Bytes.ids("abcabca"))
        #expect(speculator.offered(100) == Speculator.most)
    }

    @Test func noMoreIsGuessedThanIsOfUse() {
        var speculator = Speculator()
        speculator.look(at: Bytes.ids("abcabc"), limit: 2)
        var run: [Int32] = []
        #expect(speculator.propose(7, after: Bytes.ids("abcabc"), to: &run) == 2)
        speculator.look(at: Bytes.ids("abcabc"), limit: 0)
        #expect(speculator.offered(5) == 0 && speculator.gain(5) == 0)
    }

    @Test func moreIsGuessedWhileItIsRightAndNoneWhenItIsNot() {
        var costs = StepCosts()
        for rows in 1...16 { costs.note(rows: rows, seconds: 0.004 * (1 + 0.15 * Double(rows - 1))) }
        var speculator = Speculator()
        let text = Bytes.ids("some words, then some words")
        speculator.look(at: text, limit: 100)
        func best(_ speculator: Speculator) -> Int {
            Speculator.best(rows: 1, limit: 64, costs: costs, added: { speculator.offered($0) }, gain: { speculator.gain($0) })
        }
        let before = best(speculator)
        for _ in 0..<100 { speculator.learn(right: 15, tried: 15) }
        #expect(best(speculator) >= max(before, 10))
        for _ in 0..<200 { speculator.learn(right: 0, tried: 1) }
        #expect(best(speculator) == 0)
        for _ in 0..<200 { speculator.learn(right: 1, tried: 1) }
        #expect(best(speculator) > 0, "seen to be right again without having been verified")
    }

    @Test func guessesThatCostMoreThanTheyBringAreNotVerified() {
        var costs = StepCosts()
        for rows in 1...16 { costs.note(rows: rows, seconds: 0.004 * Double(rows)) }
        var speculator = Speculator()
        speculator.look(at: Bytes.ids("abcabcabcabcabcabcabc"), limit: 100)
        #expect(Speculator.best(rows: 1, limit: 64, costs: costs, added: { speculator.offered($0) }, gain: { speculator.gain($0) }) == 0)
    }

    @Test func beforeAnyStepWasMeasuredNothingIsGuessed() {
        #expect(Speculator.best(rows: 1, limit: 64, costs: StepCosts(), added: { $0 }, gain: { Double($0) }) == 0)
    }

    @Test func costsBetweenMeasuredOnesAreBetweenThem() throws {
        var costs = StepCosts()
        #expect(costs.estimate(1) == nil && costs.estimate(0) == nil && costs.estimate(1000) == nil)
        costs.note(rows: 1, seconds: 1)
        costs.note(rows: 5, seconds: 2)
        #expect(costs.estimate(1) == 1 && costs.estimate(3) == 1.5 && costs.estimate(5) == 2)
        #expect(try #require(costs.estimate(10)) > 2)
        costs.note(rows: 1, seconds: 1000)
        #expect(try #require(costs.estimate(1)) < 1.5, "one pause is no pace")
    }
}

/// The engine with guessing against the engine without.
struct SpeculationTests {
    /// Repeats what the text said 26 tokens ago, but not always, and differently by the whole text.
    private static let repetitive: FakeModel.Rule = { tokens, logits in
        Rules.chaotic(tokens, &logits)
        var hash = tokens.count &* 2_654_435_761
        for token in tokens.suffix(3) { hash = (hash ^ Int(token)) &* 31 }
        if tokens.count > 26, hash % 11 != 0 { logits[Int(tokens[tokens.count - 26])] += 6 }
        if tokens.count % 97 == 0 { logits[Int(Bytes.end)] = 20 }
    }

    private func engine(_ speculation: EngineOptions.Speculation, _ rule: @escaping FakeModel.Rule, _ control: FakeModel.Control)
        async throws -> InferenceEngine
    {
        var options = EngineOptions()
        options.speculation = speculation
        let engine = InferenceEngine(options: options)
        // A step that sleeps costs the same for one token as for many.
        try await engine.load(fake: "fake", rule, context: 2000, stepMicroseconds: 100, control: control)
        return engine
    }

    private static func request(_ number: Int) -> GenerationRequest {
        var request = GenerationRequest.fake(prompt: "the quick brown fox \(number)", maximumTokens: 1 + number * 17)
        var random = SeededGenerator(seed: UInt64(number))
        request.ignoresEndOfGeneration = number % 4 != 0
        request.topLogprobs = number % 3 == 0 ? 2 : nil
        request.sampling.seed = UInt64(number)
        request.sampling.temperature = number % 2 == 0 ? 0 : 0.8
        if number % 5 == 1 { request.sampling.topP = 0.9 }
        if number % 5 == 2 { request.sampling.topK = 5 }
        if number % 5 == 3 { (request.sampling.repetitionPenalty, request.sampling.frequencyPenalty) = (1.1, 0.2) }
        if number % 5 == 4 { (request.sampling.minP, request.sampling.presencePenalty) = (0.05, 0.3) }
        if number % 7 == 0 { request.sampling.logitBias = [Int32.random(in: 97...122, using: &random): 2] }
        if number % 3 == 1 { request.stop = ["zq", "ab", "qx"] }
        return request
    }

    @Test func everyAnswerIsTheSameTokenForToken() async throws {
        let (guessing, plain) = (FakeModel.Control(), FakeModel.Control())
        let with = try await engine(.automatic, Self.repetitive, guessing)
        let without = try await engine(.off, Self.repetitive, plain)
        var reasons: Set<FinishReason> = []
        for number in 0..<30 {
            var events: [[GenerationEvent]] = [[], []]
            for (place, engine) in [with, without].enumerated() {
                for try await event in try engine.generate(Self.request(number)) {
                    if case .finished(let reason, let usage, _) = event {
                        reasons.insert(reason)
                        events[place].append(.finished(reason, usage, Timings()))
                    } else {
                        events[place].append(event)
                    }
                }
            }
            #expect(events[0] == events[1], "request \(number), event by event")
        }
        #expect(reasons == [.stop, .length])
        let statistics = with.status().statistics
        #expect(statistics.acceptedTokens > 500 && statistics.proposedTokens >= statistics.acceptedTokens)
        #expect(Double(guessing.stepCount) < 0.8 * Double(plain.stepCount))
        #expect(without.status().statistics.proposedTokens == 0)
        #expect(guessing.broken == [] && guessing.openSlots == 0)
    }

    @Test func answersSideBySideAreTheSameToo() async throws {
        let control = FakeModel.Control()
        let with = try await engine(.automatic, Self.repetitive, control)
        let without = try await engine(.off, Self.repetitive, .init())
        let streams = try (10..<14).map { try with.generate(Self.request($0)) }
        for (number, stream) in zip(10..<14, streams) {
            let alone = try await without.generate(Self.request(number)).collected()
            let beside = try await stream.collected()
            #expect(
                beside.text == alone.text && beside.tokens == alone.tokens && beside.usage.completionTokens == alone.usage.completionTokens)
        }
        #expect(with.status().statistics.acceptedTokens > 0)
        #expect(control.broken == [])
    }

    @Test func aRequestCanDoWithout() async throws {
        let control = FakeModel.Control()
        let engine = try await engine(.automatic, Rules.alphabet, control)
        var request = GenerationRequest.fake(maximumTokens: 200)
        request.speculates = false
        let answer = try await engine.generate(request).collected()
        #expect(control.stepCount == 200 && engine.status().statistics.proposedTokens == 0)
        request.speculates = nil
        #expect(try await engine.generate(request).collected().text == answer.text)
        #expect(control.stepCount < 300, "the alphabet repeats itself")
    }

    @Test func manyAnswersAtOnceAreNotGuessedAt() async throws {
        var options = EngineOptions()
        options.parallel = 8
        let control = FakeModel.Control()
        let engine = InferenceEngine(options: options)
        try await engine.load(fake: "fake", stepMicroseconds: 100, control: control)
        control.hold(true)
        let streams = try (0..<8).map { _ in try engine.generate(.fake(maximumTokens: 150)) }
        control.hold(false)
        for stream in streams { _ = try await stream.collected() }
        #expect(control.steps.allSatisfy { step in step.count <= 4 || step.allSatisfy { $0.tokens.count == 1 } })
    }

    @Test func aModelThatIsNotExactIsNotGuessedAt() async throws {
        let control = FakeModel.Control()
        let engine = InferenceEngine()
        try await engine.load(fake: "fake", stepMicroseconds: 100, isExact: false, control: control)
        #expect(try await engine.generate(.fake(maximumTokens: 200)).collected().usage.completionTokens == 200)
        let again = try await engine.generate(.fake(prompt: String(repeating: "x", count: 100), maximumTokens: 1)).collected()
        let third = try await engine.generate(.fake(prompt: String(repeating: "x", count: 100), maximumTokens: 1)).collected()
        #expect(again.text == third.text && third.usage.cachedTokens == 0)
        #expect(engine.status().statistics.proposedTokens == 0)
    }
}
