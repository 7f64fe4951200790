import Engine
import Testing

/// What one request has computed serves the next one that begins alike.
struct PrefixTests {
    private func request(_ prompt: String, maximumTokens: Int = 8, seed: UInt64 = 1) -> GenerationRequest {
        var request = GenerationRequest.fake(prompt: prompt, maximumTokens: maximumTokens)
        request.sampling.temperature = 1
        request.sampling.seed = seed
        return request
    }

    private let system = String(repeating: "You answer as briefly as you can. ", count: 6)  // 204 tokens

    @Test func theSecondTurnOfAChatCostsOnlyItsNewTokens() async throws {
        let control = FakeModel.Control()
        let engine = InferenceEngine()
        try await engine.load(fake: "fake", Rules.chaotic, control: control)
        let first = try await engine.generate(request(system + "Who?", maximumTokens: 40)).collected()
        #expect(first.usage.cachedTokens == 0)
        let history = system + "Who?" + first.text
        let before = control.computedTokens
        let second = try await engine.generate(request(history + " Why?", maximumTokens: 1)).collected()
        #expect(second.usage.cachedTokens == (history.utf8.count - 1) / 32 * 32, "the answer's pages are kept too")
        #expect(control.computedTokens - before == second.usage.promptTokens - second.usage.cachedTokens)
        #expect(control.broken == [])
        let statistics = engine.status().statistics
        #expect(statistics.cachedTokens == second.usage.cachedTokens)
    }

    @Test func answersAreTheSameWithAndWithoutReuse() async throws {
        var plain = EngineOptions()
        plain.reusesPrefixes = false
        let (reusing, fresh) = (InferenceEngine(), InferenceEngine(options: plain))
        try await reusing.load(fake: "fake", Rules.chaotic)
        try await fresh.load(fake: "fake", Rules.chaotic)
        for number in 0..<12 {
            let prompt = system.prefix(20 + number * 13) + String(number % 3)
            let request = request(String(prompt), maximumTokens: 40, seed: UInt64(number % 2))
            let (one, other) = (try await reusing.generate(request).collected(), try await fresh.generate(request).collected())
            #expect(one.text == other.text && other.usage.cachedTokens == 0)
        }
        #expect(reusing.status().statistics.cachedTokens > 500)
    }

    @Test func requestsThatComeTogetherShareTheirBeginning() async throws {
        let control = FakeModel.Control()
        let engine = InferenceEngine()
        try await engine.load(fake: "fake", Rules.chaotic, control: control)
        let long = String(repeating: system, count: 3)  // 612 tokens
        control.hold(true)
        let streams = try engine.generate((0..<4).map { request(long + "question \($0)", seed: UInt64($0)) })
        control.hold(false)
        var cached: [Int] = []
        for stream in streams { cached.append(try await stream.collected().usage.cachedTokens) }
        #expect(cached == [0, 608, 608, 608])
        #expect(control.computedTokens < 622 + 3 * 14 + 4 * 8)
        #expect(control.broken == [])
    }

    @Test func aCancelledLeaderLeavesItsFollowersToThemselves() async throws {
        let control = FakeModel.Control()
        let engine = InferenceEngine()
        try await engine.load(fake: "fake", Rules.say("ok"), context: 8000, stepMicroseconds: 500, control: control)
        let long = String(repeating: "x", count: 6000)
        let streams = try engine.generate([request(long + "\0"), request(long + "y\0"), request("\0")])
        streams[0].cancel()
        #expect(try await streams[0].collected().reason == .cancelled)
        let second = try await streams[1].collected()
        #expect(second.text == "ok")
        #expect(try await streams[2].collected().text == "ok")
        #expect(control.broken == [] && control.openSlots == 0)
    }
}

/// Prompts and answers at the same time.
struct PaceTests {
    @Test func aPromptThatArrivesDelaysARunningAnswerByOnePartAStep() async throws {
        var options = EngineOptions()
        options.promptTokensBesideDecodes = 16
        options.speculation = .off
        let control = FakeModel.Control()
        let engine = InferenceEngine(options: options)
        try await engine.load(fake: "fake", context: 8000, stepMicroseconds: 200, control: control)
        let running = try engine.generate(.fake(maximumTokens: 400))
        var events = running.makeAsyncIterator()
        for _ in 0..<5 { _ = try await events.next() }
        _ = try await engine.generate(.fake(prompt: String(repeating: "x", count: 4000), maximumTokens: 1)).collected()
        running.cancel()
        let beside = control.steps.filter { step in step.contains { $0.tokens.count > 1 } }
        #expect(beside.count == 250)
        #expect(
            beside.allSatisfy { $0.count == 2 && $0[0].tokens.count == 1 && $0[1].tokens.count <= 16 },
            "every step has the answer's next token")
    }

    @Test func thePartIsAsLongAsItsTimeAllows() {
        var costs = StepCosts()
        #expect(costs.promptTokens(in: 0.05, atMost: 512) == 64, "before anything is known")
        costs.note(rows: 1, seconds: 0.004)
        costs.note(promptTokens: 64, beside: 1, seconds: 0.004 + 64 * 0.0002)
        #expect(costs.promptTokens(in: 0.05, atMost: 512) == 224, "250, in whole tiles of 32")
        for _ in 0..<50 { costs.note(promptTokens: 64, beside: 1, seconds: 0.004 + 64 * 0.01) }
        #expect(costs.promptTokens(in: 0.05, atMost: 512) == 32, "a slow machine: one tile all the same")
        for _ in 0..<50 { costs.note(promptTokens: 512, beside: 0, seconds: 512 * 0.00001) }
        #expect(costs.promptTokens(in: 0.05, atMost: 512) == 512)
    }

    @Test func aReaderThatFallsBehindLosesItsAnswerAndNothingElseHappens() async throws {
        var options = EngineOptions()
        options.unreadEvents = 50
        let control = FakeModel.Control()
        let engine = InferenceEngine(options: options)
        try await engine.load(fake: "fake", control: control)
        let unread = try engine.generate(.fake(maximumTokens: 900))
        for _ in 0..<1000 where engine.status().inFlight > 0 { try await Task.sleep(for: .milliseconds(2)) }
        #expect(control.stepCount < 100 && control.openSlots == 0)
        var events = 0
        await #expect(throws: EngineError.readerTooSlow(events: 50)) {
            for try await _ in unread { events += 1 }
        }
        #expect(events == 50, "what was there before is still read")
        #expect(try await engine.generate(.fake(maximumTokens: 10)).collected().usage.completionTokens == 10)
    }

    @Test func aModelThatIsBeingUnloadedSaysSo() async throws {
        let engine = InferenceEngine()
        try await engine.load(fake: "fake", stepMicroseconds: 1000)
        let stream = try engine.generate(.fake(maximumTokens: 100))
        async let report = engine.unload("fake", grace: .seconds(20))
        var refusal: EngineError?
        for _ in 0..<1000 where refusal == nil {
            do { _ = try engine.generate(.fake(maximumTokens: 1)) } catch { refusal = error }
            await Task.yield()
        }
        #expect(refusal == .modelUnloaded("fake", .manual))
        _ = try await stream.collected()
        _ = try await report
        #expect(throws: EngineError.noModelLoaded) { try engine.generate(.fake()) }
    }
}
