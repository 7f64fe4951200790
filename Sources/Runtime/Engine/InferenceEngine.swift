import Text
public import Weights

/// Loads models, answers prompts, says what it is doing.
///
/// Only loading and unloading take turns on the actor; generating and reading the status never wait for it. Nothing here
/// computes: models run on the inference thread and load on threads of their own.
public actor InferenceEngine {
    /// Opens and prepares a model; runs on a thread of its own. It reports its progress, 0…1; that throws when the load was
    /// called off, and so ends it.
    public typealias Loader = @Sendable (_ progress: @escaping @Sendable (Double) throws(ModelError) -> Void) throws -> LoadedModel
    /// What a model will take, seen without loading it; runs on a thread of its own.
    public typealias Forecast = @Sendable () throws -> MemoryNeeds
    /// Makes room by taking other models away; false when there is nothing more to take.
    public typealias MakeRoom = @Sendable () async -> Bool

    /// Everything about a load but the model itself.
    public struct LoadPlan: Sendable {
        /// Nil: nothing is foretold, and only the cache is fitted to memory.
        public var forecast: Forecast?
        /// Asked when the model does not fit, until it fits or this says no.
        public var makeRoom: MakeRoom?
        /// Done when the load's turn has come.
        public var before: (@Sendable () async -> Void)?
        /// Told once when it is over, before any caller hears of it; those that join it bring plans of their own for nothing.
        public var ended: (@Sendable (Result<LoadReport, EngineError>) -> Void)?
        /// How long the model stays unused at least; zero: for ever, nil: as all others.
        public var keepAlive: Duration?

        public init(forecast: Forecast? = nil, makeRoom: MakeRoom? = nil, keepAlive: Duration? = nil) {
            self.forecast = forecast
            self.makeRoom = makeRoom
            self.keepAlive = keepAlive
        }
    }

    private let options: EngineOptions
    private let registry = EngineRegistry()
    private let thread = InferenceThread()
    private var loads: [String: Task<Result<LoadReport, EngineError>, Never>] = [:]
    private var unloads: [String: Task<UnloadReport, Never>] = [:]
    private var lastLoad: Task<Result<LoadReport, EngineError>, Never>?

    public init(options: EngineOptions = EngineOptions()) { self.options = options }

    deinit { thread.post(.stop) }

    // -------------------------------------------------------------------------------------------------------- loading

    /// Makes a model available under `id`; returns when it can be used.
    ///
    /// A load goes on when the caller is cancelled, and ends when the model is unloaded. A second load of the same id joins
    /// the first; loads of different ids follow one another, so that each sees the memory that the one before it has left.
    ///
    /// Throws `insufficientMemory` before anything is allocated where the model does not fit beside what is loaded and
    /// `plan` can make no room.
    public func load(_ id: String, _ plan: LoadPlan = LoadPlan(), using loader: @escaping Loader) async throws(EngineError) -> LoadReport {
        while true {
            if registry.isShuttingDown { throw .shuttingDown }
            switch registry.load(id) {
            case .present:
                // Unless it went between the two questions.
                if let record = try? registry.record(id) {
                    if let time = plan.keepAlive { record.keep(for: time.inSeconds) }
                    return LoadReport(model: record.model, wasLoaded: true)
                }
            case .join:
                if let task = loads[id] { return try await task.value.get() }
            case .wait:
                if let task = unloads[id] { _ = await task.value } else if let task = loads[id] { _ = await task.value }
            case .begin:
                let before = lastLoad
                let task = Task {
                    _ = await before?.value
                    let result = await perform(loader, for: id, plan)
                    plan.ended?(result)
                    return result
                }
                loads[id] = task
                lastLoad = task
                return try await task.value.get()
            }
        }
    }

    private func perform(_ loader: @escaping Loader, for id: String, _ plan: LoadPlan) async -> Result<LoadReport, EngineError> {
        let preparation = Preparation(
            options: options, registry: registry, id: id, key: registry.number(), keepAlive: plan.keepAlive?.inSeconds)
        var result: Result<Handover<Resident>, EngineError>
        if let problem = await obstacle(preparation, plan) {
            result = .failure(problem)
        } else {
            let prepared = await WorkerThread.run(name: "lmx-load") {
                let result = preparation.run(loader)
                MemoryGuard.releaseFreed()
                return result
            }
            result = prepared ?? .failure(Self.noThread(id))
        }
        loads[id] = nil
        let record = result.map(\.value.record)
        // The thread knows the model before anybody can ask it for an answer.
        if case .success(let resident) = result { thread.post(.attach(resident)) }
        result = .failure(.loadCancelled(id))  // lets go of what was loaded
        if registry.endLoading(id, record) {
            return record.map { LoadReport(model: $0.model, wasLoaded: false) }
        }
        switch record {
        case .failure(let error): return .failure(error)
        case .success(let record):  // called off at the last moment
            await detach(record, at: Clock.seconds, .loadCancelled(id))
            return .failure(registry.isShuttingDown ? .shuttingDown : .loadCancelled(id))
        }
    }

    private static func noThread(_ id: String) -> EngineError {
        .loadFailed(ModelError(.insufficientMemory, at: id, "the system grants no thread"))
    }

    /// Why a load can't go on: it was called off, or does not fit and no room can be made.
    private func obstacle(_ preparation: Preparation, _ plan: LoadPlan) async -> EngineError? {
        let id = preparation.id
        func calledOff() -> EngineError? { registry.isShuttingDown ? .shuttingDown : registry.isCalledOff(id) ? .loadCancelled(id) : nil }
        if let end = calledOff() { return end }
        guard thread.start() else { return Self.noThread(id) }
        await plan.before?()
        guard let forecast = plan.forecast else { return calledOff() }
        guard let demand = await WorkerThread.run(name: "lmx-forecast", { preparation.demand(forecast) }) else { return Self.noThread(id) }
        switch demand {
        case .failure(let error): return calledOff() ?? error
        case .success(let demand):
            // The rest of a cache is taken if there is room, but nothing is put out for it.
            while let room = registry.room(options), room < demand.whole, calledOff() == nil {
                if await plan.makeRoom?() ?? false { continue }
                if room >= demand.least { break }
                return .insufficientMemory(neededBytes: demand.least, availableBytes: room)
            }
            return calledOff()
        }
    }

    // ------------------------------------------------------------------------------------------------------ unloading

    /// Takes a model away: refuses new requests at once, lets running and waiting ones go on for `grace`, ends the rest
    /// with an error, and returns when the memory is free. A load of it is called off.
    public func unload(
        _ id: String, grace: Duration = .zero, reason: EngineError.UnloadReason = .manual
    ) async throws(EngineError) -> UnloadReport {
        switch registry.unload(id, reason) {
        case (.begin, let record?): return await remove(record, grace: grace, reason).value
        case (.nothing, _), (.begin, nil): throw registry.records.isEmpty ? .noModelLoaded : .modelNotFound(id)
        case (.join, _), (.callOff, _):
            if let task = unloads[id] { return await task.value }
            if let task = loads[id] { _ = await task.value }
            return UnloadReport(id: id, freedBytes: 0)
        }
    }

    /// Takes a model away that nobody uses; nil, and nothing happens, where somebody does or it is not loaded.
    public func evict(_ id: String, reason: EngineError.UnloadReason) async -> UnloadReport? {
        guard let record = registry.evict(id, reason) else { return nil }
        return await remove(record, grace: .zero, reason).value
    }

    /// The loaded model that nobody uses and whose last use is longest ago.
    public nonisolated func leastRecentlyUsed(keeping id: String? = nil) -> String? {
        EvictionCandidate.leastRecentlyUsed(registry.records.map(\.candidate), keeping: id)
    }

    /// The loaded models whose time without use is up: their own, else `timeout`; nil: no end.
    public nonisolated func expired(after timeout: Duration?) -> [String] {
        EvictionCandidate.expired(registry.records.map(\.candidate), at: Clock.seconds, timeout: timeout?.inSeconds)
    }

    /// Forgets that the last load of a model failed.
    public nonisolated func forget(_ id: String) { registry.forget(id) }

    private func remove(_ record: ModelRecord, grace: Duration, _ reason: EngineError.UnloadReason) -> Task<UnloadReport, Never> {
        let id = record.model.id
        let task = Task {
            await detach(record, at: Clock.seconds + grace.inSeconds, reason == .shutdown ? .shuttingDown : .modelUnloaded(id, reason))
            unloads[id] = nil
            registry.endUnloading(id)
            return UnloadReport(id: id, freedBytes: record.model.memoryBytes)
        }
        unloads[id] = task
        return task
    }

    /// Returns when the model's memory is given back.
    private func detach(_ record: ModelRecord, at deadline: Double, _ error: EngineError) async {
        await withCheckedContinuation { continuation in
            let told = thread.post(.detach(key: record.key, deadline: deadline, error: error, done: { continuation.resume() }))
            if !told { continuation.resume() }
        }
        MemoryGuard.releaseFreed()
    }

    /// For the end of the process: refuses everything new, lets answers go on for `grace`, ends the rest with an error,
    /// and returns when nothing runs and nothing is loaded.
    public func drain(grace: Duration) async {
        registry.shutDown()
        let deadline = Clock.seconds + grace.inSeconds
        for record in registry.records {
            if case (.begin, let record?) = registry.unload(record.model.id, .shutdown) { _ = remove(record, grace: grace, .shutdown) }
        }
        for task in unloads.values { _ = await task.value }
        // A load in work ends at its next look up; the process need not wait for one that does not look.
        while Clock.seconds < deadline, registry.hasLoads { try? await Task.sleep(for: .milliseconds(20)) }
        thread.post(.stop)
    }

    // ------------------------------------------------------------------------------------------------------ answering

    /// Begins an answer. What can be refused is refused here, before anything waits.
    public nonisolated func generate(_ request: GenerationRequest) throws(EngineError) -> GenerationStream {
        try generate([request])[0]
    }

    /// Begins several answers of one model, all or none: their number counts against the queue before any of them starts.
    public nonisolated func generate(_ requests: [GenerationRequest]) throws(EngineError) -> [GenerationStream] {
        guard let first = requests.first else { return [] }
        let record = try registry.record(first.model)
        for request in requests {
            if request.model != first.model { throw .invalidRequest("model: requests made together must name one model") }
            if let objection = request.objection(vocabularySize: record.model.tokenizer.vocabularySize) { throw .invalidRequest(objection) }
            if request.prompt.count >= record.model.contextLength {
                throw .contextExceeded(promptTokens: request.prompt.count, maximum: record.model.contextLength)
            }
        }
        try record.enter(requests.count)
        return requests.map { begin($0, record) }
    }

    private nonisolated func begin(_ request: GenerationRequest, _ record: ModelRecord) -> GenerationStream {
        let id = registry.number()
        let (events, continuation) = AsyncThrowingStream.makeStream(
            of: GenerationEvent.self, throwing: (any Error).self, bufferingPolicy: .bufferingOldest(max(16, options.unreadEvents)))
        let cancel: @Sendable () -> Void = { [thread] in thread.post(.cancel(id)) }
        continuation.onTermination = { if case .cancelled = $0 { cancel() } }
        let room = record.model.contextLength - request.prompt.count
        let submission = Submission(
            id: id, request: request, newTokens: min(request.maximumTokens ?? room, room),
            seed: request.sampling.seed ?? UInt64.random(in: .min ... .max), record: record, totals: registry.totals,
            submittedAt: Clock.seconds, events: continuation)
        if !thread.post(.submit(submission)) { submission.fail(.shuttingDown, active: 0, at: Clock.seconds) }
        return GenerationStream(id: id, events: events, onCancel: cancel)
    }

    // --------------------------------------------------------------------------------------------------------- status

    /// The loaded model of this id; throws what `generate` would.
    public nonisolated func model(_ id: String) throws(EngineError) -> ServedModel { try registry.record(id).model }

    /// The model of this id for a request that is about to use it: waits while it loads, and is not evicted while a copy of
    /// what is returned lives.
    ///
    /// Throws what `generate` would, `queueFull` where too many wait already, and `CancellationError`.
    public nonisolated func use(_ id: String) async throws -> ServedModel {
        while registry.isLoading(id), !registry.isShuttingDown {
            try await registry.waitForLoad(id, limit: max(1, options.queue))
            try Task.checkCancellation()
        }
        return try registry.record(id).held()
    }

    public nonisolated func state(of id: String) -> ModelState { registry.state(of: id) }

    /// Requests that wait for this model's load.
    public nonisolated func waitingRequests(for id: String) -> Int { registry.waitingRequests(for: id) }

    /// Memory as it is now; nil where it can't be measured.
    public nonisolated var memory: MemoryReading? { options.memory.read() }

    /// All loaded models, by time of loading.
    public nonisolated var models: [ServedModel] { registry.records.map(\.model) }

    public nonisolated func status() -> EngineStatus { registry.status() }
}
