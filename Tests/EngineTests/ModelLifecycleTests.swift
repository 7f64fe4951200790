import Engine
import Testing
import Weights

/// The way of one model into memory and out, as a value: no engine, no thread, no time.
struct ModelLifecycleTests {
    private static let problem = EngineError.loadFailed(ModelError(.truncated, at: "x", "ends early"))

    /// The value in a box, so that an expectation can change it.
    @dynamicMemberLookup private final class Model {
        private var value = ModelLifecycle()
        subscript<Value>(dynamicMember path: KeyPath<ModelLifecycle, Value>) -> Value { value[keyPath: path] }
        func load() -> ModelLifecycle.Load { value.load() }
        func loaded(share: Double) { value.loaded(share: share) }
        func loadEnded(_ error: EngineError?) -> Bool { value.loadEnded(error) }
        func unload(_ reason: EngineError.UnloadReason) -> ModelLifecycle.Unload { value.unload(reason) }
        func evict(isInUse: Bool, _ reason: EngineError.UnloadReason) -> Bool { value.evict(isInUse: isInUse, reason) }
        func freed() { value.freed() }
        func forget() { value.forget() }
    }

    private static func loading() -> Model {
        let model = Model()
        _ = model.load()
        return model
    }

    private static func ready() -> Model {
        let model = loading()
        _ = model.loadEnded(nil)
        return model
    }

    @Test func aModelIsLoadedAndTakenAwayAgain() {
        let model = Model()
        #expect(model.state == .absent && model.admission == .refuse(nil) && model.isForgettable)
        #expect(model.load() == .begin)
        #expect(model.state == .loading(0) && model.admission == .wait)
        model.loaded(share: 0.5)
        model.loaded(share: 0.25)  // a report that came late
        #expect(model.state == .loading(0.5))
        model.loaded(share: 7)
        #expect(model.state == .loading(1))
        #expect(model.loadEnded(nil))
        #expect(model.state == .ready && model.admission == .serve)
        #expect(model.unload(.memory) == .begin)
        #expect(model.state == .draining && model.admission == .refuse(.memory))
        model.freed()
        #expect(model.isForgettable)
    }

    @Test func aSecondLoadJoinsTheFirst() {
        let model = Self.loading()
        #expect(model.load() == .join && model.load() == .join)
        #expect(model.loadEnded(nil))
        #expect(model.load() == .present)
    }

    @Test func anUnloadCallsALoadOffAndTheNextLoadBeginsAnew() {
        let model = Self.loading()
        #expect(model.unload(.manual) == .callOff)
        #expect(model.isCalledOff && model.state == .draining && model.admission == .refuse(.manual))
        #expect(model.load() == .wait && model.unload(.memory) == .join)
        model.loaded(share: 0.9)
        #expect(model.progress == 0)
        #expect(!model.loadEnded(nil), "what was loaded is dropped")
        #expect(model.state == .absent && model.load() == .begin)
    }

    @Test func aLoadThatWasCalledOffAndFailsIsNoFailure() {
        let model = Self.loading()
        _ = model.unload(.manual)
        #expect(!model.loadEnded(Self.problem))
        #expect(model.state == .absent)
    }

    @Test func aFailureIsRememberedUntilTheNextLoad() {
        let model = Self.loading()
        #expect(!model.loadEnded(Self.problem))
        #expect(model.state == .failed("x: ends early") && model.admission == .refuse(nil) && !model.isForgettable)
        #expect(model.unload(.manual) == .nothing)
        #expect(model.load() == .begin)
        #expect(model.state == .loading(0))
        _ = model.loadEnded(Self.problem)
        model.forget()
        #expect(model.isForgettable)
    }

    @Test func aLoadThatTheEndOfTheServerStopsLeavesNothing() {
        let model = Self.loading()
        #expect(!model.loadEnded(.shuttingDown))
        #expect(model.isForgettable)
    }

    @Test func aLoadDuringAnUnloadWaitsForIt() {
        let model = Self.ready()
        _ = model.unload(.manual)
        #expect(model.load() == .wait && model.unload(.memory) == .join)
        model.freed()
        #expect(model.load() == .begin)
    }

    @Test func onlyAReadyModelThatNobodyUsesIsEvicted() {
        let absent = Model()
        let loading = Self.loading()
        let ready = Self.ready()
        #expect(!absent.evict(isInUse: false, .lru) && !loading.evict(isInUse: false, .lru))
        #expect(!ready.evict(isInUse: true, .lru) && ready.state == .ready)
        #expect(ready.evict(isInUse: false, .lru) && ready.admission == .refuse(.lru))
        #expect(!ready.evict(isInUse: false, .idle))
        #expect(loading.state == .loading(0))
    }

    /// Whatever is asked in whatever order: one load or unload at a time, and every one that began has its end.
    @Test(arguments: UInt64(0)..<8)
    func atMostOneThingIsInWork(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let model = Model()
        var isLoading = false
        var isUnloading = false
        for _ in 0..<1000 {
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1:
                let step = model.load()
                if step == .begin { #expect(!isLoading && !isUnloading) }
                if step == .join { #expect(isLoading && !isUnloading) }
                if step == .wait { #expect(isLoading || isUnloading) }
                isLoading = isLoading || step == .begin
            case 2:
                let step = model.unload(.manual)
                if step == .begin { #expect(!isLoading && !isUnloading) }
                if step == .callOff { #expect(isLoading) }
                if step == .nothing { #expect(!isLoading && !isUnloading) }
                isUnloading = isUnloading || step == .begin
            case 3:
                if model.evict(isInUse: Bool.random(using: &random), .lru) {
                    #expect(!isLoading && !isUnloading)
                    isUnloading = true
                }
            case 4 where isLoading:
                let isReady = model.loadEnded(Bool.random(using: &random) ? nil : Self.problem)
                #expect(isReady == (model.admission == .serve))
                isLoading = false
            case 5 where isUnloading:
                model.freed()
                isUnloading = false
            default: break
            }
            #expect((model.admission == .serve) == (model.state == .ready))
            #expect(isLoading == (model.phase == .loading || model.isCalledOff))
        }
    }

    // ------------------------------------------------------------------------------------------------------- who may go

    private static func candidate(_ id: String, _ lastUsedAt: Double, inUse: Bool = false, keep: Double? = nil) -> EvictionCandidate {
        EvictionCandidate(id: id, lastUsedAt: lastUsedAt, isInUse: inUse, keepAlive: keep)
    }

    @Test func theLeastRecentlyUsedGoesAndNeverOneInUse() {
        let models = [Self.candidate("b", 2), Self.candidate("a", 1, inUse: true), Self.candidate("c", 3), Self.candidate("d", 2)]
        #expect(EvictionCandidate.leastRecentlyUsed(models) == "b")
        #expect(EvictionCandidate.leastRecentlyUsed(models, keeping: "b") == "d")
        #expect(EvictionCandidate.leastRecentlyUsed([Self.candidate("a", 1, inUse: true)]) == nil)
    }

    @Test func aModelIsUpWhenItsOwnOrTheCommonTimeHasPassed() {
        let models = [
            Self.candidate("old", 10), Self.candidate("older", 5), Self.candidate("used", 0, inUse: true), Self.candidate("new", 95),
            Self.candidate("kept", 0, keep: 0), Self.candidate("long", 0, keep: 101), Self.candidate("short", 97, keep: 2),
        ]
        #expect(EvictionCandidate.expired(models, at: 100, timeout: 60) == ["older", "old", "short"])
        #expect(EvictionCandidate.expired(models, at: 100, timeout: nil) == ["short"])
        #expect(EvictionCandidate.expired(models, at: 100, timeout: 0) == ["short"])
    }
}
