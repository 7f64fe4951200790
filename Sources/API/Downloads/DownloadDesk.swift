import Engine
import Weights

/// One download: what it fetches and how far it is.
struct DownloadJob: Sendable {
    enum State: String, Sendable { case downloading, completed, failed, cancelled }

    let id: String
    let download: Download
    let started = WallClock.seconds
    var state = State.downloading
    var bytes = 0
    var files = 0  // that are whole
    var ended: Double?
    var failure: (code: String, message: String)?

    var percent: Double { download.totalBytes > 0 ? min(100, 100 * Double(bytes) / Double(download.totalBytes)) : 0 }
}

/// What a client wants from the hub.
struct DownloadRequest: Sendable {
    var id: String  // "org/name"
    var revision = "main"
    var allow: [String] = []
    var ignore: [String] = []
}

/// Fetches models on behalf of clients, in the background. Refuses everything unless downloading was configured.
final class DownloadDesk: Sendable {
    private struct State {
        var jobs: [DownloadJob] = []  // oldest first
        var tasks: [String: Task<Void, Never>] = [:]
        var offers: [String: (request: DownloadRequest, until: Double)] = [:]
    }

    static let kept = 100
    static let mostAtOnce = 4
    /// Seconds for which an offer to download can be taken.
    static let offerSeconds = 600.0

    private let state = Locked(State())
    private let configuration: @Sendable () -> Configuration
    private let folder: String?
    private let version: String
    private let observers: Observers

    /// - Parameter folder: where models go; nil: nowhere.
    init(folder: String?, version: String, configuration: @escaping @Sendable () -> Configuration, observers: Observers) {
        self.folder = folder
        self.version = version
        self.configuration = configuration
        self.observers = observers
    }

    var isEnabled: Bool { configuration().downloadsEnabled && folder != nil }
    var jobs: [DownloadJob] { state.withLock(\.jobs) }
    func job(_ id: String) -> DownloadJob? { jobs.first { $0.id == id } }
    /// Whether a model of this name is being fetched.
    func isFetching(_ model: String) -> Bool { jobs.contains { $0.state == .downloading && $0.download.modelID == model } }

    // MARK: Beginning

    /// Looks the model up, and finds out whether it can be fetched. Nothing is written yet.
    func plan(_ request: DownloadRequest) async throws -> Download {
        guard isEnabled, let folder else {
            throw APIError(
                403, "downloads_disabled", type: "invalid_request_error", parameter: "repo_id",
                "downloading is off (security.downloads_enabled; or put the model into a model folder)")
        }
        guard HubRepository.isID(request.id) else { throw APIError.refused("repo_id", "is to be OWNER/NAME, as on the hub") }
        guard HubRepository.isRevision(request.revision) else { throw APIError.refused("revision", "is no name of a branch, tag or commit") }
        let configuration = configuration()
        do {
            let client = HubClient(version: version, patience: configuration.hubTimeout)
            let repository = try await Download.look(
                request.id, revision: request.revision, hub: configuration.hub, token: configuration.hubToken, client: client)
            let download = Download(
                repository: repository, files: try repository.wanted(allow: request.allow, ignore: request.ignore), folder: folder,
                hub: configuration.hub, token: configuration.hubToken, client: client)
            let promised = jobs.filter { $0.state == .downloading }.reduce(0) { $0 + $1.download.totalBytes - $1.bytes }
            if !isFetching(download.modelID) { try await Worker.run { try download.check(promised: promised) } }
            return download
        } catch let failure as HubFailure {
            throw APIError(failure)
        } catch let failure as StorageFailure {
            throw failure.isFull ? Download.storageFull("\(failure)") : APIError(500, "internal_error", type: "internal_server_error", "\(failure)")
        }
    }

    /// Begins to fetch; joins a download of the same model that is in work.
    /// - Parameter done: told the model's name when it is in place.
    func start(_ download: Download, done: (@Sendable (String) async -> Void)? = nil) throws(APIError) -> DownloadJob {
        let job = DownloadJob(id: Identifier.make("dl-"), download: download)
        let (running, isFull) = state.withLock { state -> (DownloadJob?, Bool) in
            let working = state.jobs.filter { $0.state == .downloading }
            if let same = working.first(where: { $0.download.modelID == download.modelID }) { return (same, false) }
            if working.count >= Self.mostAtOnce { return (nil, true) }
            if state.jobs.count >= Self.kept, let old = state.jobs.firstIndex(where: { $0.state != .downloading }) {
                state.jobs.remove(at: old)
            }
            state.jobs.append(job)
            state.tasks[job.id] = Task { await self.work(job, done) }
            return (nil, false)
        }
        if let running { return running }
        if isFull {
            throw APIError(429, "queue_saturated", type: "server_error", retryAfter: 30, "\(Self.mostAtOnce) models are being downloaded already")
        }
        observers.log(LogLine(.info, "Downloading model: \(download.repository.id) (\(download.totalBytes) bytes)"))
        return job
    }

    /// A word with which a client can agree to a download that it was told the size of.
    func offer(_ request: DownloadRequest) -> String {
        let word = Identifier.make("dl-")
        let now = WallClock.seconds
        state.withLock { state in
            state.offers = state.offers.filter { $0.value.until > now - Self.offerSeconds }
            if state.offers.count >= Self.kept, let oldest = state.offers.min(by: { $0.value.until < $1.value.until })?.key {
                state.offers[oldest] = nil
            }
            state.offers[word] = (request, now + Self.offerSeconds)
        }
        return word
    }

    func take(offer word: String) throws(APIError) -> DownloadRequest {
        let offer = state.withLock { $0.offers.removeValue(forKey: word) }
        guard let offer else {
            throw APIError(404, "token_not_found", type: "invalid_request_error", parameter: "confirmation_token", "there is no such offer")
        }
        guard offer.until > WallClock.seconds else {
            throw APIError(
                404, "token_expired", type: "invalid_request_error", parameter: "confirmation_token", "the offer has expired (ask again)")
        }
        return offer.request
    }

    // MARK: Ending

    /// Ends a download and gives back what it wrote. Nil where there is no such job.
    func cancel(_ id: String) async -> DownloadJob? {
        guard let job = job(id) else { return nil }
        if job.state == .downloading { await stop(id) }
        return self.job(id)
    }

    /// For the end of the process: what was fetched stays, for the next try.
    func end() async {
        for job in jobs where job.state == .downloading { await stop(job.id, keeping: true) }
    }

    private func stop(_ id: String, keeping: Bool = false) async {
        let task = state.withLock { $0.tasks[id] }
        task?.cancel()
        await task?.value
        if !keeping, let job = job(id), job.state == .cancelled { try? await Worker.run { job.download.discard() } }
    }

    // MARK: Working

    private func work(_ job: DownloadJob, _ done: (@Sendable (String) async -> Void)?) async {
        let told = Locked((percent: -1, bytes: 0))
        let download = job.download
        do {
            try await download.run { bytes, files in
                self.change(job.id) { ($0.bytes, $0.files) = (bytes, files) }
                let percent = download.totalBytes > 0 ? Int(100 * Double(bytes) / Double(download.totalBytes)) : 0
                let isNews = told.withLock { told in
                    defer { told = (percent, bytes) }
                    return percent != told.percent
                }
                if isNews { self.observers.events.tell(.downloading(job, percent: percent, bytes: bytes)) }
            }
            finish(job, .completed, nil)
            observers.log(LogLine(.info, "Model downloaded: \(download.modelID)"))
            observers.events.tell(.downloaded(job, seconds: WallClock.seconds - job.started))
            await done?(download.modelID)
        } catch {
            if Task.isCancelled {
                finish(job, .cancelled, nil)
                observers.log(LogLine(.info, "Model not downloaded: \(download.repository.id): cancelled"))
                observers.events.tell(.downloadCancelled(job))
            } else {
                let failure = Self.failure(error)
                finish(job, .failed, failure)
                observers.log(LogLine(.error, "Model not downloaded: \(download.repository.id): \(failure.message)"))
                observers.incidents.add("download_failed", failure.message, model: download.modelID)
                observers.events.tell(.downloadFailed(job, failure.message))
            }
        }
    }

    private static func failure(_ error: any Error) -> (code: String, message: String) {
        switch error {
        case let error as StorageFailure: (error.isFull ? "storage-full" : "internal_error", error.description)
        case let error as ChecksumFailure: ("checksum_mismatch", error.description)
        case let error as HubFailure: (error.isTimeout ? "lmx-timeout" : "hub_failed", error.description)
        case let error as APIError: (error.code, error.message)
        default: ("internal_error", "\(error)")
        }
    }

    private func finish(_ job: DownloadJob, _ state: DownloadJob.State, _ failure: (code: String, message: String)?) {
        change(job.id) { job in
            job.state = state
            job.failure = failure
            job.ended = WallClock.seconds
        }
        self.state.withLock { $0.tasks[job.id] = nil }
    }

    private func change(_ id: String, _ body: (inout DownloadJob) -> Void) {
        state.withLock { state in
            if let place = state.jobs.firstIndex(where: { $0.id == id }) { body(&state.jobs[place]) }
        }
    }
}

extension APIError {
    init(_ failure: HubFailure) {
        self =
            failure.isTimeout
            ? APIError(504, "lmx-timeout", type: "server_error", parameter: "repo_id", failure.description)
            : APIError(502, "hub_failed", type: "server_error", parameter: "repo_id", "the hub: \(failure.description)")
    }
}
