import Weights

/// The parts of a load that run on a thread of their own: first what the model will take, then the model itself, with
/// cache and working memory sized to what is free.
struct Preparation: Sendable {
    let options: EngineOptions
    let registry: EngineRegistry
    let id: String
    let key: UInt64
    let keepAlive: Double?

    /// What a load needs at least, and what it needs for one whole context.
    struct Demand: Sendable {
        let least: Int
        let whole: Int
    }

    func demand(_ forecast: InferenceEngine.Forecast) -> Result<Demand, EngineError> {
        Self.catching(at: id) {
            let needs = try forecast()
            let wanted = context(needs.contextLength, asked: nil)
            return Demand(least: needs.total(tokens: min(wanted, MemoryGuard.minimumTokens)), whole: needs.total(tokens: wanted))
        }
    }

    func run(_ loader: InferenceEngine.Loader) -> Result<Handover<Resident>, EngineError> {
        let result = Self.catching(at: id) { Handover(value: try prepare(loader)) }
        if registry.isCalledOff(id) { return .failure(registry.isShuttingDown ? .shuttingDown : .loadCancelled(id)) }
        return result
    }

    private static func catching<Value>(at place: String, _ body: () throws -> Value) -> Result<Value, EngineError> {
        do {
            return .success(try body())
        } catch let error as EngineError {
            return .failure(error)
        } catch let error as ModelError {
            return .failure(.loadFailed(error))
        } catch {
            return .failure(.loadFailed(ModelError(.unreadable, at: place, "\(error)")))
        }
    }

    private func context(_ made: Int, asked: Int?) -> Int {
        let wanted = asked ?? options.contextLength ?? min(made, EngineOptions.defaultContextLength)
        return max(1, min(wanted, max(1, made)))
    }

    private func prepare(_ loader: InferenceEngine.Loader) throws -> Resident {
        let begun = Clock.seconds
        let loaded = try loader { [registry, id] (share) throws(ModelError) in
            if registry.isCalledOff(id) { throw ModelError(.unreadable, at: id, "the load was called off") }
            registry.progress(id, share)
        }

        let parallel = max(1, loaded.parallel ?? options.parallel)
        let context = context(loaded.info.contextLength, asked: loaded.contextLength)
        let workspace = loaded.workspaceBytes + parallel * loaded.logitsBytesPerRow
        let pages = try MemoryGuard.cachePages(
            contextLength: context, parallel: parallel, pageTokens: loaded.pageTokens, bytesPerPage: loaded.bytesPerPage,
            available: registry.room(options).map { max(0, $0 - workspace) })
        let step = try loaded.makeStep(pages)

        var info = loaded.info
        info.id = id
        let cache = step.totalPages * loaded.bytesPerPage
        let model = ServedModel(
            info: info, tokenizer: loaded.tokenizer, template: loaded.template,
            contextLength: min(context, step.totalPages * step.pageTokens),
            memoryBytes: loaded.weightBytes + workspace + cache, loadedAt: Clock.epochSeconds, loadSeconds: Clock.seconds - begun)
        let record = ModelRecord(
            model: model, key: key, weightBytes: loaded.weightBytes, workspaceBytes: workspace, cachePages: step.totalPages,
            bytesPerPage: loaded.bytesPerPage, maximumActive: min(parallel, step.maximumStepTokens),
            maximumQueued: max(0, options.queue), speculation: step.isExact ? options.speculation : .off, keepAlive: keepAlive)
        return Resident(step, record: record, totals: registry.totals, options: options)
    }
}

extension EngineRegistry {
    /// Memory below the limit that nobody holds and no cache may come to claim; nil where memory can't be measured.
    func room(_ options: EngineOptions) -> Int? {
        guard let room = MemoryGuard(options.memory, limitPercent: options.memoryLimitPercent).room() else { return nil }
        return max(0, room - records.reduce(0) { $0 + $1.untouchedCacheBytes })
    }
}
