import Weights

/// The part of a load that runs on its own thread: the loader, then cache and working memory sized to what is free.
struct Preparation: Sendable {
    let options: EngineOptions
    let registry: EngineRegistry
    let id: String
    let key: UInt64
    let expectedBytes: Int
    /// What caches of other models may still come to take.
    let untouchedBytes: Int

    func run(_ loader: InferenceEngine.Loader) -> Result<Handover<Resident>, EngineError> {
        do {
            return .success(Handover(value: try prepare(loader)))
        } catch {
            return .failure(error)
        }
    }

    private func prepare(_ loader: InferenceEngine.Loader) throws(EngineError) -> Resident {
        if registry.isShuttingDown { throw .shuttingDown }
        try MemoryGuard.require(expectedBytes, available: available())
        let begun = Clock.seconds
        let loaded: LoadedModel
        do {
            loaded = try loader { [registry, id] progress in registry.progress(id, progress) }
        } catch let error as EngineError {
            throw error
        } catch let error as ModelError {
            throw .loadFailed(error)
        } catch {
            throw .loadFailed(ModelError(.unreadable, at: id, "\(error)"))
        }

        let parallel = max(1, loaded.parallel ?? options.parallel)
        let wanted = loaded.contextLength ?? options.contextLength ?? min(loaded.info.contextLength, EngineOptions.defaultContextLength)
        let context = max(1, min(wanted, max(1, loaded.info.contextLength)))
        let pages = try MemoryGuard.cachePages(
            contextLength: context, parallel: parallel, pageTokens: loaded.pageTokens, bytesPerPage: loaded.bytesPerPage,
            available: available())
        let step: any StepModel
        do {
            step = try loaded.makeStep(pages)
        } catch {
            throw .loadFailed(error)
        }

        var info = loaded.info
        info.id = id
        let model = ServedModel(
            info: info, tokenizer: loaded.tokenizer, template: loaded.template,
            contextLength: min(context, step.totalPages * step.pageTokens),
            memoryBytes: loaded.weightBytes + step.totalPages * loaded.bytesPerPage, loadedAt: Clock.epochSeconds,
            loadSeconds: Clock.seconds - begun)
        let record = ModelRecord(
            model: model, key: key, cachePages: step.totalPages, bytesPerPage: loaded.bytesPerPage,
            maximumActive: min(parallel, step.maximumStepTokens), maximumQueued: max(0, options.queue),
            speculation: step.isExact ? options.speculation : .off)
        return Resident(step, record: record, totals: registry.totals, options: options)
    }

    /// Memory below the limit that nobody holds or may come to claim.
    private func available() -> Int? {
        guard let free = MemoryGuard.availableBytes() else { return nil }
        let percent = min(max(options.memoryLimitPercent, 1), 100)
        let kept = MemoryGuard.totalBytes().map { $0 / 100 * (100 - percent) } ?? 0
        return max(0, min(free, free + MemoryGuard.reservedBytes - kept) - untouchedBytes)
    }
}
