import Engine
import Testing
import Weights

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Loading, unloading, draining, and all of it at once.
struct LifecycleTests {
    @Test func aModelIsListedOnlyWhenItCanBeUsed() async throws {
        let engine = InferenceEngine()
        let inside = Locked<(listed: Int, loading: [LoadingStatus])>((-1, []))
        let report = try await engine.load("fake") { progress in
            try progress(0.25)
            let status = engine.status()
            inside.change { $0 = (status.models.count, status.loading) }
            guard let tokenizer = Bytes.tokenizer else { throw ModelError(.malformed, at: "tests", "no tokenizer") }
            let info = ModelInfo(id: "x", path: "p", format: "f", quantization: "Q", architecture: "a", sizeBytes: 7, contextLength: 99)
            return LoadedModel(info: info, tokenizer: tokenizer, weightBytes: 50, bytesPerPage: 3) { pages in
                FakeModel(
                    pages: pages, vocabularySize: 257, maximumStepTokens: 8, stepMicroseconds: 0, control: .init(), rule: Rules.alphabet)
            }
        }
        let (listed, loading) = inside.value
        #expect(listed == 0 && loading.map(\.id) == ["fake"] && loading.map(\.progress) == [0.25])
        #expect(!report.wasLoaded && report.model.id == "fake" && report.model.contextLength == 99)
        #expect(report.model.memoryBytes == 50 + 4 * 4 * 3, "four sequences of 99 tokens, 32 to a page of 3 bytes")
        let status = engine.status()
        #expect(status.models.map(\.model.id) == ["fake"] && status.loading.isEmpty)
        #expect(abs(status.models[0].model.loadedAt - report.model.loadedAt) == 0)
        #expect(try await engine.load(fake: "fake").wasLoaded)
    }

    @Test func aFailedLoadLeavesNothingButItsError() async throws {
        let engine = InferenceEngine()
        let problem = ModelError(.truncated, at: "x.gguf", "ends after 12 bytes")
        await #expect(throws: EngineError.loadFailed(problem)) { try await engine.load("x") { _ in throw problem } }
        await #expect(throws: EngineError.insufficientMemory(neededBytes: 5, availableBytes: 4)) {
            try await engine.load("x") { _ in
                try MemoryGuard.require(5, available: 4)
                throw problem
            }
        }
        do {
            let plan = InferenceEngine.LoadPlan(forecast: { MemoryNeeds(weightBytes: .max) })
            _ = try await engine.load("x", plan) { _ in throw problem }
            Issue.record("loaded into memory that is not there")
        } catch { #expect(error.code == "insufficient_memory") }
        let status = engine.status()
        #expect(status.models.isEmpty && status.loading.isEmpty)
        #expect(status.states.keys.sorted() == ["x"] && status.failures["x"]?.contains("bytes needed") == true)
        try await engine.load(fake: "x")
        #expect(engine.state(of: "x") == .ready && engine.status().failures.isEmpty)
        #expect(try await engine.generate(.fake("x", maximumTokens: 2)).collected().text.count == 2)
    }

    @Test func loadsOfOneIdJoin() async throws {
        let engine = InferenceEngine()
        let reports = try await withThrowingTaskGroup(of: LoadReport.self) { group in
            for _ in 0..<10 {
                group.addTask { try await engine.load(fake: "one") }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(reports.map(\.model.loadedAt)).count == 1 && engine.models.count == 1)
    }

    @Test func aLoadGoesOnWhenItsCallerIsCancelled() async throws {
        let engine = InferenceEngine()
        let caller = Task {
            try await engine.load("slow") { _ in
                Blocking.pause(milliseconds: 50)
                throw ModelError(.malformed, at: "slow", "read to its end")
            }
        }
        try await Task.sleep(for: .milliseconds(10))
        caller.cancel()
        await #expect(throws: EngineError.loadFailed(ModelError(.malformed, at: "slow", "read to its end"))) { try await caller.value }
    }

    @Test func anUnloadEndsRunningRequestsWithAnErrorAndFreesTheModel() async throws {
        let engine = InferenceEngine()
        let control = FakeModel.Control()
        try await engine.load(fake: "fake", stepMicroseconds: 1000, control: control)
        let stream = try engine.generate(.fake(maximumTokens: 900))
        var events = stream.makeAsyncIterator()
        for _ in 0..<3 { _ = try await events.next() }
        let report = try await engine.unload("fake", reason: .memory)
        #expect(control.isGone && report.freedBytes > 0)
        #expect(engine.status().models.isEmpty)
        await #expect(throws: EngineError.modelUnloaded("fake", .memory)) { while try await events.next() != nil {} }
        #expect(throws: EngineError.noModelLoaded) { try engine.generate(.fake()) }
        await #expect(throws: EngineError.noModelLoaded) { try await engine.unload("fake") }
    }

    @Test func anUnloadWithGraceLetsAnswersEnd() async throws {
        let engine = InferenceEngine()
        try await engine.load(fake: "fake", stepMicroseconds: 1000)
        let stream = try engine.generate(.fake(maximumTokens: 30))
        async let report = engine.unload("fake", grace: .seconds(20))
        #expect(try await stream.collected().usage.completionTokens == 30)
        _ = try await report
    }

    @Test func aDrainLetsAnswersEndAndRefusesNewOnes() async throws {
        let engine = InferenceEngine()
        try await engine.load(fake: "fake", stepMicroseconds: 1000)
        let stream = try engine.generate(.fake(maximumTokens: 50))
        async let drained: Void = engine.drain(grace: .seconds(20))
        while !engine.status().isShuttingDown { await Task.yield() }
        #expect(throws: EngineError.shuttingDown) { try engine.generate(.fake()) }
        await #expect(throws: EngineError.shuttingDown) { try await engine.load(fake: "other") }
        #expect(try await stream.collected().usage.completionTokens == 50)
        await drained
        #expect(engine.status().models.isEmpty)
    }

    @Test func aDrainEndsWhatTakesTooLong() async throws {
        let engine = InferenceEngine()
        try await engine.load(fake: "fake", context: 100_000, stepMicroseconds: 1000)
        let stream = try engine.generate(.fake(maximumTokens: 90_000))
        let time = await ContinuousClock().measure { await engine.drain(grace: .milliseconds(50)) }
        #expect(time < .seconds(5))
        await #expect(throws: EngineError.shuttingDown) { try await stream.collected() }
    }

    @Test func anEngineThatIsLetGoEndsItsStreams() async throws {
        var engine: InferenceEngine? = InferenceEngine()
        try await engine?.load(fake: "fake", context: 100_000, stepMicroseconds: 1000)
        let stream = try #require(try engine?.generate(.fake(maximumTokens: 90_000)))
        engine = nil
        await #expect(throws: EngineError.shuttingDown) { try await stream.collected() }
    }

    /// Many tasks load, unload, generate, cancel and look at the same few models: every stream ends, nothing is left over.
    @Test func racesOfLoadUnloadAndGenerateEndWell() async throws {
        let engine = InferenceEngine()
        let ids = ["a", "b", "c"]
        let controls = Locked<[FakeModel.Control]>([])
        let ends = Locked<[String: Int]>([:])
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<12 {
                group.addTask {
                    var random = SeededGenerator(seed: UInt64(worker))
                    for _ in 0..<40 {
                        let id = ids[Int.random(in: 0..<3, using: &random)]
                        var end = "other"
                        do {
                            switch Int.random(in: 0..<10, using: &random) {
                            case 0, 1:
                                let control = FakeModel.Control()
                                controls.change { $0.append(control) }
                                try await engine.load(fake: id, Rules.chaotic, control: control)
                            case 2: _ = try await engine.unload(id, grace: .milliseconds(Int.random(in: 0...5, using: &random)))
                            case 3: _ = engine.status()
                            case 4:
                                let stream = try engine.generate(.fake(id, maximumTokens: 200))
                                stream.cancel()
                                end = "\(try await stream.collected().reason)"
                            case 5: _ = try engine.generate(.fake(id, maximumTokens: 200))
                            default: end = "\(try await engine.generate(.fake(id, prompt: "abc", maximumTokens: 50)).collected().reason)"
                            }
                        } catch {
                            end = error is EngineError ? "error" : "foreign"
                        }
                        ends.change { $0[end, default: 0] += 1 }
                    }
                }
            }
        }
        let counts = ends.value
        print("race: \(counts)")
        #expect(counts["foreign"] == nil && counts.values.reduce(0, +) == 480)
        await engine.drain(grace: .seconds(10))
        #expect(engine.status().models.isEmpty && engine.status().loading.isEmpty)
        for control in controls.value {
            #expect(control.broken == [])
            #expect(control.isGone || control.stepCount == 0)  // a load that joined another never made its model
        }
    }
}

/// Blocks a thread that may be blocked.
enum Blocking {
    static func pause(milliseconds: UInt32) { usleep(milliseconds * 1000) }
}
