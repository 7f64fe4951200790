import Engine
import Testing

/// One request at a time through the whole engine, with a model whose answer is known.
struct GenerationTests {
    private func answer(
        _ rule: @escaping FakeModel.Rule, _ request: GenerationRequest, context: Int = 1024, control: FakeModel.Control = .init()
    ) async throws -> Generated {
        let engine = InferenceEngine()
        try await engine.load(fake: "fake", rule, context: context, control: control)
        let answer = try await engine.generate(request).collected()
        let status = engine.status()
        #expect(status.inFlight == 0 && status.active == 0)
        #expect(control.broken == [] && control.openSlots == 0)
        return answer
    }

    @Test func anAnswerEndsWhereTheModelEndsIt() async throws {
        let answer = try await answer(Rules.say("Hello, wörld 🧑‍🚀"), .fake())
        #expect(answer.text == "Hello, wörld 🧑‍🚀" && answer.reason == .stop)
        #expect(answer.usage == Usage(promptTokens: 1, completionTokens: "Hello, wörld 🧑‍🚀".utf8.count + 1))
    }

    @Test func anAnswerEndsAtItsMaximum() async throws {
        let answer = try await answer(Rules.say("Hello"), .fake(maximumTokens: 3))
        #expect(answer.text == "Hel" && answer.reason == .length && answer.usage.completionTokens == 3)
    }

    @Test func anAnswerEndsWithTheContext() async throws {
        var request = GenerationRequest.fake(prompt: String(repeating: "x", count: 30))
        request.maximumTokens = nil
        let answer = try await answer(Rules.alphabet, request, context: 40)
        #expect(answer.usage.completionTokens == 10 && answer.reason == .length)
    }

    @Test func aHalfCharacterAtTheMaximumBecomesAReplacement() async throws {
        let answer = try await answer(Rules.say("aé"), .fake(maximumTokens: 2))
        #expect(answer.text == "a\u{FFFD}")
    }

    @Test func theEndCanBeIgnored() async throws {
        var request = GenerationRequest.fake(maximumTokens: 20)
        request.ignoresEndOfGeneration = true
        let answer = try await answer(Rules.say("Hello"), request)
        #expect(answer.usage.completionTokens == 20 && answer.reason == .length)
    }

    @Test func stopStringsAcrossTokensEndTheAnswerBeforeThem() async throws {
        let answer = try await answer(Rules.say("one two three"), .fake(stop: [" three", "two t"]))
        #expect(answer.text == "one " && answer.reason == .stop)
        #expect(answer.usage.completionTokens == 9)
    }

    @Test func aPromptOfManyStepsIsReadWhole() async throws {
        let control = FakeModel.Control()
        let answer = try await answer(Rules.say("ok"), .fake(prompt: String(repeating: "x", count: 500) + "\0"), control: control)
        #expect(answer.text == "ok")
        let steps = control.steps
        #expect(steps.count == 10, "501 tokens in 8 steps of at most 64, then two more tokens")
        #expect(steps.flatMap { $0 }.filter { $0.rows > 0 }.count == 3)
    }

    @Test func everyEventComesInItsOrder() async throws {
        let engine = InferenceEngine()
        try await engine.load(fake: "fake", Rules.say("ab<e"))
        var events: [GenerationEvent] = []
        for try await event in try engine.generate(.fake(stop: ["<end>"])) { events.append(event) }
        #expect(events.count == 5)
        #expect(events.prefix(4) == [.started(promptTokens: 1), .text("a", []), .text("b", []), .text("<e", [])])
        guard case .finished(.stop, _, let timings)? = events.last else {
            Issue.record("no end")
            return
        }
        #expect(timings.queue >= 0 && timings.prefill >= 0 && timings.decode >= 0 && timings.total < 60)
    }

    @Test func logProbabilitiesComeWithTheirText() async throws {
        var request = GenerationRequest.fake(stop: ["c!"])
        request.topLogprobs = 3
        let answer = try await answer(Rules.say("aéc!"), request)
        #expect(answer.text == "aé")
        #expect(answer.tokens.map(\.id) == [0x61, 0xC3, 0xA9], "a token of the stop string is not part of the answer")
        #expect(answer.tokens.map(\.bytes) == [[0x61], [0xC3], [0xA9]])
        for token in answer.tokens {
            #expect(token.top.count == 3 && token.top[0].id == token.id && token.top[0].logprob == token.logprob)
            #expect(token.logprob < 0 && token.logprob > -0.1)
        }
    }

    @Test func rowsBeyondTheTokenizerAreNeverChosen() async throws {
        let answer = try await answer(
            { tokens, logits in
                logits[299] = 1000  // padding of the matrix
                logits[98] = 10
            }, .fake(maximumTokens: 4))
        #expect(answer.text == "bbbb")
    }

    @Test func logitsThatAreNotNumbersEndTheRequestAndNothingElse() async throws {
        let engine = InferenceEngine()
        try await engine.load(fake: "fake", Rules.broken)
        let stream = try engine.generate(.fake(prompt: "12345678"))
        await #expect(throws: EngineError.modelFailed("fake", "computed logits that are infinite or not numbers")) {
            _ = try await stream.collected()
        }
        let answer = try await engine.generate(.fake(prompt: "1", maximumTokens: 5)).collected()
        #expect(answer.usage.completionTokens == 5)
        #expect(engine.status().statistics.errors == 1 && engine.status().statistics.requests == 2)
    }

    @Test func whatCannotBeAnsweredIsRefusedAtOnce() async throws {
        let engine = InferenceEngine()
        #expect(throws: EngineError.noModelLoaded) { try engine.generate(.fake()) }
        try await engine.load(fake: "fake", context: 100)
        #expect(throws: EngineError.modelNotFound("other")) { try engine.generate(.fake("other")) }
        #expect(throws: EngineError.contextExceeded(promptTokens: 100, maximum: 100)) {
            try engine.generate(.fake(prompt: String(repeating: "x", count: 100)))
        }
        func code(_ change: (inout GenerationRequest) -> Void) -> String? {
            var request = GenerationRequest.fake()
            change(&request)
            do { _ = try engine.generate(request) } catch { return error.code }
            return nil
        }
        #expect(code { $0.prompt = [] } == "invalid_request")
        #expect(code { $0.prompt = [257] } == "invalid_request")
        #expect(code { $0.prompt = [-1] } == "invalid_request")
        #expect(code { $0.maximumTokens = 0 } == "invalid_request")
        #expect(code { $0.stop = [String](repeating: "x", count: 17) } == "invalid_request")
        #expect(code { $0.stop = [String](repeating: "x", count: 16) } == nil)
        #expect(code { $0.stop = [String(repeating: "x", count: 257)] } == "invalid_request")
        #expect(code { $0.topLogprobs = 21 } == "invalid_request")
        #expect(code { $0.sampling.temperature = .nan } == "invalid_request")
        #expect(code { $0.prompt = Bytes.ids(String(repeating: "x", count: 99)) } == nil)
    }
}
