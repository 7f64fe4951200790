import Engine
import TestSupport
import Testing
import Weights

/// The same races in the engine, with threads and streams.
struct ModelRaceTests {
    /// Loads a model whose loader reports progress until it is let go.
    private static func loadHeld(_ engine: InferenceEngine, _ id: String, _ gate: Locked<Bool>) -> Task<LoadReport, any Error> {
        Task {
            try await engine.load(id) { progress in
                while gate.value {
                    try progress(0.5)
                    Blocking.pause(milliseconds: 1)
                }
                throw ModelError(.malformed, at: id, "read to its end")
            }
        }
    }

    private static func until(_ isTrue: () -> Bool) async throws {
        for _ in 0..<5000 where !isTrue() { try await Task.sleep(for: .milliseconds(1)) }
        #expect(isTrue())
    }

    @Test func anUnloadEndsALoadAndWhoJoinedItAndTheNextOneBeginsAnew() async throws {
        let engine = InferenceEngine()
        let gate = Locked(true)
        let first = Self.loadHeld(engine, "a", gate)
        try await Self.until { engine.state(of: "a") == .loading(0.5) }
        let joined = Task { try await engine.load(fake: "a") }
        try await Task.sleep(for: .milliseconds(50))
        #expect(try await engine.unload("a").freedBytes == 0)
        await #expect(throws: EngineError.loadCancelled("a")) { try await first.value }
        switch await joined.result {
        case .failure(let error): #expect(error as? EngineError == .loadCancelled("a"))
        case .success: _ = try await engine.unload("a")  // it was too late to join
        }
        #expect(engine.state(of: "a") == .absent)
        try await engine.load(fake: "a")
        #expect(engine.state(of: "a") == .ready)
    }

    @Test func aLoadAskedForWhileOneIsBeingCalledOffWaitsAndSucceeds() async throws {
        let engine = InferenceEngine()
        let gate = Locked(true)
        let control = FakeModel.Control()
        let first = Task {
            try await engine.load("a") { _ in  // looks up only at its end
                while gate.value { Blocking.pause(milliseconds: 1) }
                guard let tokenizer = Bytes.tokenizer else { throw ModelError(.malformed, at: "tests", "no tokenizer") }
                let info = ModelInfo(id: "a", path: "", format: "f", quantization: nil, architecture: "a", sizeBytes: 1, contextLength: 99)
                return LoadedModel(info: info, tokenizer: tokenizer) { pages in
                    FakeModel(
                        pages: pages, vocabularySize: 300, maximumStepTokens: 8, stepMicroseconds: 0, control: control, rule: Rules.alphabet)
                }
            }
        }
        try await Self.until { engine.state(of: "a") == .loading(0) }
        async let unloaded = engine.unload("a")
        try await Self.until { engine.state(of: "a") == .draining }
        async let second = engine.load(fake: "a")
        gate.change { $0 = false }
        await #expect(throws: EngineError.loadCancelled("a")) { try await first.value }
        _ = try await unloaded
        #expect(try await !second.wasLoaded)
        #expect(control.isGone || control.stepCount == 0)
        #expect(engine.state(of: "a") == .ready)
    }

    @Test func aLoadDuringAnUnloadUnderStreamsWaitsForTheStreams() async throws {
        let engine = InferenceEngine()
        let control = FakeModel.Control()
        try await engine.load(fake: "a", stepMicroseconds: 1000, control: control)
        let stream = try engine.generate(.fake("a", maximumTokens: 40))
        async let unloaded = engine.unload("a", grace: .seconds(20))
        try await Self.until { engine.state(of: "a") == .draining }
        async let again = engine.load(fake: "a")
        #expect(try await stream.collected().usage.completionTokens == 40)
        _ = try await unloaded
        #expect(try await !again.wasLoaded && control.isGone)
    }

    @Test func aModelThatLoadsOrIsUsedIsNotEvicted() async throws {
        let engine = InferenceEngine()
        let gate = Locked(true)
        let load = Self.loadHeld(engine, "loads", gate)
        try await Self.until { engine.state(of: "loads") == .loading(0.5) }
        #expect(await engine.evict("loads", reason: .lru) == nil)
        gate.change { $0 = false }
        await #expect(throws: EngineError.self) { try await load.value }

        try await engine.load(fake: "a", stepMicroseconds: 1000)
        let stream = try engine.generate(.fake("a", maximumTokens: 30))
        #expect(await engine.evict("a", reason: .lru) == nil && engine.leastRecentlyUsed() == nil)
        #expect(try await stream.collected().usage.completionTokens == 30)

        var held: ServedModel? = try await engine.use("a")
        #expect(held?.id == "a")
        #expect(await engine.evict("a", reason: .lru) == nil)
        held = nil
        #expect(engine.leastRecentlyUsed() == "a")
        #expect(await engine.evict("a", reason: .lru) != nil)
        #expect(engine.state(of: "a") == .absent)
    }

    @Test func aRequestWaitsWhileItsModelLoads() async throws {
        var options = EngineOptions()
        options.queue = 2
        let engine = InferenceEngine(options: options)
        let gate = Locked(true)
        let first = Self.loadHeld(engine, "other", gate)
        async let load = engine.load(fake: "a")  // its turn comes after the other's
        try await Self.until { engine.state(of: "a") == .loading(0) }
        let waiting = Task { try await engine.use("a").id }
        let impatient = Task { try await engine.use("a").id }
        try await Self.until { engine.waitingRequests(for: "a") == 2 }
        await #expect(throws: EngineError.queueFull(limit: 2, retryAfter: 5)) { try await engine.use("a") }
        impatient.cancel()
        await #expect(throws: CancellationError.self) { try await impatient.value }
        #expect(engine.waitingRequests(for: "a") == 1)
        gate.change { $0 = false }
        #expect(try await waiting.value == "a")
        _ = try await load
        await #expect(throws: EngineError.self) { try await first.value }
    }

    @Test func aRequestThatWaitsForALoadThatFailsIsRefused() async throws {
        let engine = InferenceEngine()
        let gate = Locked(true)
        let load = Self.loadHeld(engine, "a", gate)
        try await Self.until { engine.state(of: "a") == .loading(0.5) }
        let waiting = Task { try await engine.use("a").id }
        try await Self.until { engine.waitingRequests(for: "a") == 1 }
        gate.change { $0 = false }
        await #expect(throws: EngineError.noModelLoaded) { try await waiting.value }
        await #expect(throws: EngineError.self) { try await load.value }
    }

    @Test func aDrainLetsGoOfWhoWaitsForALoad() async throws {
        let engine = InferenceEngine()
        let load = Self.loadHeld(engine, "a", Locked(true))
        try await Self.until { engine.state(of: "a") == .loading(0.5) }
        let waiting = Task { try await engine.use("a").id }
        try await Self.until { engine.waitingRequests(for: "a") == 1 }
        await engine.drain(grace: .seconds(5))
        await #expect(throws: EngineError.shuttingDown) { try await waiting.value }
        await #expect(throws: EngineError.shuttingDown) { try await load.value }
    }

    @Test func aLoadThatDoesNotFitTakesIdleModelsAwayAndIsRefusedWithNumbersThen() async throws {
        let engine = InferenceEngine()
        try await engine.load(fake: "first")
        try await engine.load(fake: "second")
        try await engine.load(fake: "used", stepMicroseconds: 1000)
        let stream = try engine.generate(.fake("used", maximumTokens: 200))
        _ = try await engine.use("first")  // so that the second is the one that was used the longest ago
        let gone = Locked<[String]>([])
        var plan = InferenceEngine.LoadPlan(forecast: { MemoryNeeds(weightBytes: 1 << 60) })
        plan.makeRoom = {
            guard let id = engine.leastRecentlyUsed(keeping: "huge"), await engine.evict(id, reason: .lru) != nil else { return false }
            gone.change { $0.append(id) }
            return true
        }
        do {
            _ = try await engine.load("huge", plan) { _ in throw ModelError(.malformed, at: "", "was opened") }
            Issue.record("loaded into memory that is not there")
        } catch {
            guard case .insufficientMemory(let needed, let available) = error else { throw error }
            #expect(needed >= 1 << 60 && available < 1 << 60)
        }
        #expect(gone.value == ["second", "first"])
        #expect(engine.models.map(\.id) == ["used"])
        stream.cancel()
        _ = try await stream.collected()
    }

    @Test func aModelWhoseTimeIsUpIsSeen() async throws {
        let engine = InferenceEngine()
        try await engine.load(fake: "common")
        try await engine.load(fake: "kept", plan: .init(keepAlive: .zero))
        try await engine.load(fake: "short", plan: .init(keepAlive: .milliseconds(1)))
        try await Task.sleep(for: .milliseconds(20))
        #expect(engine.expired(after: nil) == ["short"])
        #expect(engine.expired(after: .milliseconds(10)) == ["common", "short"])
        #expect(engine.expired(after: .seconds(3600)) == ["short"])
        try await engine.load(fake: "short", plan: .init(keepAlive: .seconds(60)))
        #expect(engine.expired(after: nil) == [])
    }

    @Test func aFailedLoadGivesItsMemoryBack() async throws {
        let engine = InferenceEngine()
        let gauge = MemoryGauge()
        let before = try #require(gauge.processBytes())
        let during = Locked(0)
        await #expect(throws: EngineError.self) {
            try await engine.load("x") { _ in
                var block = [UInt8](repeating: 1, count: 256 << 20)
                block[block.count / 2] = 2
                during.change { $0 = (gauge.processBytes() ?? 0) + Int(block[block.count / 2]) }
                throw ModelError(.malformed, at: "x", "is broken")
            }
        }
        let after = try #require(gauge.processBytes())
        #expect(during.value - before > 200 << 20, "\(during.value) - \(before)")
        #expect(during.value - after > 200 << 20, "\(during.value) - \(after)")
    }
}
