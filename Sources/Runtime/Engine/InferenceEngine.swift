import Text
import Weights

/// Loads models, answers prompts, says what it is doing.
///
/// Only loading and unloading take turns on the actor; generating and reading the status never wait for it. Nothing here
/// computes: models run on the inference thread and load on threads of their own.
public actor InferenceEngine {
    /// Opens and prepares a model; runs on a thread of its own. It reports its progress, 0…1.
    public typealias Loader = @Sendable (_ progress: @escaping @Sendable (Double) -> Void) throws -> LoadedModel

    /// What an id stands for while it is not simply unknown.
    private enum Place {
        case loading(Task<Result<LoadReport, EngineError>, Never>)
        case loaded(ModelRecord)
        case unloading(Task<UnloadReport, Never>)
    }

    private let options: EngineOptions
    private let registry = EngineRegistry()
    private let thread = InferenceThread()
    private var places: [String: Place] = [:]
    private var lastLoad: Task<Result<LoadReport, EngineError>, Never>?

    public init(options: EngineOptions = EngineOptions()) { self.options = options }

    deinit { thread.post(.stop) }

    // -------------------------------------------------------------------------------------------------------- loading

    /// Makes a model available under `id`; returns when it can be used.
    ///
    /// A load goes on when the caller is cancelled. A second load of the same id joins the first; loads of different ids
    /// follow one another, so that each sees the memory that the one before it has left.
    ///
    /// - Parameter expectedBytes: what the weights will take, refused with `insufficientMemory` before the loader runs where
    ///   it does not fit beside what is loaded. 0 leaves the question to the loader.
    public func load(_ id: String, expectedBytes: Int = 0, using loader: @escaping Loader) async throws(EngineError) -> LoadReport {
        while true {
            if registry.isShuttingDown { throw .shuttingDown }
            switch places[id] {
            case .loaded(let record): return LoadReport(model: record.model, wasLoaded: true)
            case .loading(let task): return try await task.value.get()
            case .unloading(let task): _ = await task.value
            case nil:
                let before = lastLoad
                registry.beginLoading(id)
                let task = Task {
                    _ = await before?.value
                    return await perform(loader, for: id, expectedBytes: expectedBytes)
                }
                places[id] = .loading(task)
                lastLoad = task
                return try await task.value.get()
            }
        }
    }

    private func perform(_ loader: @escaping Loader, for id: String, expectedBytes: Int) async -> Result<LoadReport, EngineError> {
        let result: Result<ModelRecord, EngineError>
        if !thread.start() {
            result = .failure(.loadFailed(ModelError(.insufficientMemory, at: id, "the system grants no thread")))
        } else {
            let untouched = registry.records.reduce(0) { $0 + $1.untouchedCacheBytes }
            let key = registry.number()
            let prepared = await WorkerThread.run(name: "lmx-load") { [registry, options] in
                let preparation = Preparation(
                    options: options, registry: registry, id: id, key: key, expectedBytes: expectedBytes, untouchedBytes: untouched)
                let result = preparation.run(loader)
                MemoryGuard.releaseFreed()
                return result
            }
            let refused = EngineError.loadFailed(ModelError(.insufficientMemory, at: id, "the system grants no thread"))
            result = (prepared ?? .failure(refused)).flatMap { resident in
                let record = resident.value.record
                thread.post(.attach(resident))
                return registry.insert(record) ? .success(record) : .failure(.shuttingDown)
            }
        }
        registry.endLoading(id)
        switch result {
        case .success(let record):
            places[id] = .loaded(record)
            return .success(LoadReport(model: record.model, wasLoaded: false))
        case .failure(let error):
            places[id] = nil
            return .failure(error)
        }
    }

    /// Takes a model away: refuses new requests at once, lets running and waiting ones go on for `grace`, ends the rest
    /// with an error, and returns when the memory is free.
    public func unload(
        _ id: String, grace: Duration = .zero, reason: EngineError.UnloadReason = .manual
    ) async throws(EngineError) -> UnloadReport {
        switch places[id] {
        case .loading, nil: throw registry.records.isEmpty ? .noModelLoaded : .modelNotFound(id)
        case .unloading(let task): return await task.value
        case .loaded(let record):
            let task = Task { await remove(record, grace: grace, reason: reason) }
            places[id] = .unloading(task)
            return await task.value
        }
    }

    private func remove(_ record: ModelRecord, grace: Duration, reason: EngineError.UnloadReason) async -> UnloadReport {
        let id = record.model.id
        registry.remove(record, reason: reason)
        await withCheckedContinuation { continuation in
            let error: EngineError = reason == .shutdown ? .shuttingDown : .modelUnloaded(id, reason)
            let told = thread.post(
                .detach(key: record.key, deadline: Clock.seconds + grace.inSeconds, error: error, done: { continuation.resume() }))
            if !told { continuation.resume() }
        }
        MemoryGuard.releaseFreed()
        registry.endUnloading(record)
        places[id] = nil
        return UnloadReport(id: id, freedBytes: record.model.memoryBytes)
    }

    /// For the end of the process: refuses everything new, lets answers go on for `grace`, ends the rest with an error,
    /// and returns when nothing runs and nothing is loaded.
    public func drain(grace: Duration) async {
        registry.shutDown()
        let deadline = Clock.seconds + grace.inSeconds
        var removals: [Task<UnloadReport, Never>] = []
        for case .loaded(let record) in places.values {
            let task = Task { await remove(record, grace: grace, reason: .shutdown) }
            places[record.model.id] = .unloading(task)
            removals.append(task)
        }
        for case .unloading(let task) in places.values { removals.append(task) }
        for task in removals { _ = await task.value }
        // A load in work cannot be stopped; it ends with an error when it is done. The process need not wait for it.
        while Clock.seconds < deadline, places.values.contains(where: { if case .loading = $0 { true } else { false } }) {
            try? await Task.sleep(for: .milliseconds(20))
        }
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

    /// All loaded models, by time of loading.
    public nonisolated var models: [ServedModel] { registry.records.map(\.model) }

    public nonisolated func status() -> EngineStatus { registry.status() }
}
