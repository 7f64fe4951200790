import Engine
import Testing

/// Several requests at the same time.
struct BatchingTests {
    private func request(_ number: Int) -> GenerationRequest {
        var request = GenerationRequest.fake(prompt: String(repeating: "q\(number)", count: 1 + number * 7), maximumTokens: 20 + number * 5)
        request.sampling = SamplingParameters()
        request.sampling.temperature = 1
        request.sampling.seed = UInt64(number)
        if number % 3 == 0 { request.sampling.topP = 0.8 }
        if number % 3 == 1 { request.sampling.repetitionPenalty = 1.3 }
        return request
    }

    @Test func aSeededAnswerIsTheSameWhateverRunsBesideIt() async throws {
        var options = EngineOptions()
        options.parallel = 5
        let control = FakeModel.Control()
        let engine = InferenceEngine(options: options)
        try await engine.load(fake: "fake", Rules.chaotic, maximumStepTokens: 24, control: control)
        var alone: [String] = []
        for number in 0..<12 { alone.append(try await engine.generate(request(number)).collected().text) }
        #expect(Set(alone).count == 12)
        for _ in 0..<5 {
            let together = try await withThrowingTaskGroup(of: (Int, String).self) { group in
                for number in (0..<12).shuffled() {
                    let stream = try engine.generate(request(number))
                    group.addTask { (number, try await stream.collected().text) }
                }
                var texts = [String](repeating: "", count: 12)
                for try await (number, text) in group { texts[number] = text }
                return texts
            }
            #expect(together == alone)
        }
        #expect(control.steps.contains { $0.count == 5 }, "they did run together")
        #expect(control.broken == [])
    }

    @Test func aFullQueueRefusesAndTakesAgainLater() async throws {
        var options = EngineOptions()
        (options.parallel, options.queue) = (1, 2)
        let control = FakeModel.Control()
        control.hold(true)
        let engine = InferenceEngine(options: options)
        try await engine.load(fake: "fake", control: control)
        let streams = try (0..<3).map { _ in try engine.generate(.fake(maximumTokens: 3)) }
        #expect(throws: EngineError.queueFull(limit: 2, retryAfter: 5)) { try engine.generate(.fake()) }
        #expect(engine.status().inFlight == 3)
        control.hold(false)
        for stream in streams { #expect(try await stream.collected().usage.completionTokens == 3) }
        #expect(throws: EngineError.queueFull(limit: 2, retryAfter: 1), "four together do not fit") {
            try engine.generate([GenerationRequest](repeating: .fake(maximumTokens: 3), count: 4))
        }
        #expect(engine.status().inFlight == 0)
        let three = try engine.generate([GenerationRequest](repeating: .fake(maximumTokens: 3), count: 3))
        for stream in three { #expect(try await stream.collected().usage.completionTokens == 3) }
    }

    @Test func aCancelTakesEffectWithinOneStep() async throws {
        let control = FakeModel.Control()
        let engine = InferenceEngine()
        try await engine.load(fake: "fake", stepMicroseconds: 2000, control: control)
        let stream = try engine.generate(.fake(maximumTokens: 900))
        var steps = 0
        var after = 0
        for try await event in stream {
            switch event {
            case .text:
                after += 1
                if after == 5 {
                    steps = control.stepCount
                    stream.cancel()
                }
            case .finished(let reason, let usage, _):
                #expect(reason == .cancelled && usage.completionTokens <= steps + 2)
            case .started: break
            }
        }
        #expect(control.stepCount - steps <= 2)
        try await settle(engine, control)
    }

    @Test func aCancelBetweenPromptChunksAndInTheQueueTouchesNobodyElse() async throws {
        var options = EngineOptions()
        options.parallel = 2
        let control = FakeModel.Control()
        let engine = InferenceEngine(options: options)
        try await engine.load(fake: "fake", Rules.say("all of this"), context: 20_000, stepMicroseconds: 1000, control: control)
        let long = try engine.generate(.fake(prompt: String(repeating: "x", count: 19_000)))
        let running = try engine.generate(.fake())
        let waiting = try engine.generate(.fake())
        waiting.cancel()
        #expect(try await waiting.collected().reason == .cancelled)
        long.cancel()
        #expect(try await long.collected().reason == .cancelled)
        #expect(try await running.collected().text == "all of this")
        #expect(control.stepCount < 60, "the long prompt alone would take 297 steps")
        try await settle(engine, control)
    }

    @Test func aReaderThatGoesAwayCancelsItsRequest() async throws {
        let control = FakeModel.Control()
        let engine = InferenceEngine()
        try await engine.load(fake: "fake", stepMicroseconds: 1000, control: control)
        do {  // the stream is dropped while it is read
            for try await event in try engine.generate(.fake(maximumTokens: 900)) { if case .text = event { break } }
        }
        _ = try engine.generate(.fake(maximumTokens: 900))  // dropped unread
        let stream = try engine.generate(.fake(maximumTokens: 900))
        let reader = Task { try await stream.collected() }
        try await Task.sleep(for: .milliseconds(10))
        reader.cancel()  // the task that reads is cancelled
        _ = try? await reader.value
        try await settle(engine, control)
        #expect(control.stepCount < 300)
        #expect(engine.status().statistics.cancelled == 3)
    }

    /// Waits until nothing runs, then checks that everything was given back.
    private func settle(_ engine: InferenceEngine, _ control: FakeModel.Control) async throws {
        for _ in 0..<500 where engine.status().inFlight > 0 { try await Task.sleep(for: .milliseconds(2)) }
        #expect(engine.status().inFlight == 0)
        #expect(control.openSlots == 0)
        #expect(control.broken == [])
    }

    @Test func severalModelsTakeTheirStepsInTurn() async throws {
        let (first, second) = (FakeModel.Control(), FakeModel.Control())
        let engine = InferenceEngine()
        try await engine.load(fake: "first", stepMicroseconds: 500, control: first)
        try await engine.load(fake: "second", stepMicroseconds: 500, control: second)
        async let one = engine.generate(.fake("first", maximumTokens: 100)).collected()
        async let two = engine.generate(.fake("second", maximumTokens: 100)).collected()
        for _ in 0..<1000 where first.stepCount < 50 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(second.stepCount > 10, "the second does not wait for the end of the first")
        #expect(try await one.usage.completionTokens == 100)
        #expect(try await two.usage.completionTokens == 100)
    }
}
