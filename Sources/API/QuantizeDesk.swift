import Engine
import Weights

/// What a job is to write: a model of the folders with its weights rounded to MLX's codes.
public struct QuantizeRequest: Sendable {
    public var source: CatalogueEntry
    /// Where to; nil: beside the source.
    public var output: String?
    public var bits: Int
    public var groupSize: Int

    public init(source: CatalogueEntry, output: String?, bits: Int, groupSize: Int) {
        self.source = source
        self.output = output
        self.bits = bits
        self.groupSize = groupSize
    }
}

/// Rounds models, on behalf of a job.
public struct Quantizer: Sendable {
    /// The path to write to; throws where it lies outside the model folders.
    public var place: @Sendable (QuantizeRequest) throws -> String
    /// Writes and returns the bytes written. Told its progress, 0…1; ends early with an error once `isStopped` says so. Blocks.
    public var run: @Sendable (
        _ request: QuantizeRequest, _ path: String, _ progress: @escaping @Sendable (Double) -> Void,
        _ isStopped: @escaping @Sendable () -> Bool
    ) throws -> Int

    public init(
        place: @escaping @Sendable (QuantizeRequest) throws -> String,
        run: @escaping @Sendable (
            QuantizeRequest, String, @escaping @Sendable (Double) -> Void, @escaping @Sendable () -> Bool
        ) throws -> Int
    ) {
        self.place = place
        self.run = run
    }
}

/// One job: what it is to do and how far it is.
struct QuantizeJob: Sendable {
    enum State: String, Sendable {
        case queued, running, cancelling, completed, failed, cancelled
        var isTerminal: Bool { [.completed, .failed, .cancelled].contains(self) }
    }

    let id: String
    let request: QuantizeRequest
    let path: String
    let created = WallClock.seconds
    var state = State.queued
    var progress = 0.0
    var started: Double?
    var ended: Double?
    var cancelAsked: Double?
    var bytes: Int?
    var failure: (code: String, message: String)?
}

/// Jobs one after another, in the background: they take a processor's time from answers, and memory.
final class QuantizeDesk: Sendable {
    private struct State {
        var jobs: [QuantizeJob] = []  // oldest first
        var isWorking = false
    }

    static let kept = 100
    private let state = Locked(State())
    private let quantizer: Quantizer?
    private let observers: Observers

    init(_ quantizer: Quantizer?, _ observers: Observers) {
        self.quantizer = quantizer
        self.observers = observers
    }

    var jobs: [QuantizeJob] { state.withLock(\.jobs) }
    func job(_ id: String) -> QuantizeJob? { jobs.first { $0.id == id } }
    /// Jobs that are before this one.
    func position(of id: String) -> Int? {
        jobs.filter { $0.state == .queued }.firstIndex { $0.id == id }.map { $0 + 1 }
    }

    /// - Throws: `not_supported` where there is no quantizer, what is wrong with the path, `queue_saturated`.
    func add(_ request: QuantizeRequest) throws -> QuantizeJob {
        guard let quantizer else { throw APIError.unsupported("source_model", "this server does not convert models") }
        let path: String
        do {
            path = try quantizer.place(request)
        } catch {
            throw APIError.refused("output_path", "\(error)")
        }
        let job = QuantizeJob(id: Identifier.make("quant-"), request: request, path: path)
        let (fits, begins) = state.withLock { state -> (Bool, Bool) in
            while state.jobs.count >= Self.kept {
                guard let old = state.jobs.firstIndex(where: { $0.state.isTerminal }) else { return (false, false) }
                state.jobs.remove(at: old)
            }
            state.jobs.append(job)
            defer { state.isWorking = true }
            return (true, !state.isWorking)
        }
        guard fits else {
            throw APIError(429, "queue_saturated", type: "server_error", retryAfter: 30, "\(Self.kept) jobs are waiting already")
        }
        if begins { Task { await work(quantizer) } }
        return job
    }

    enum Cancellation: String, Sendable { case cancelled, cancelling, alreadyTerminal = "already_terminal" }

    /// Nil where there is no such job.
    func cancel(_ id: String) -> (QuantizeJob, Cancellation)? {
        let now = WallClock.seconds
        let result = state.withLock { state -> (QuantizeJob, Cancellation)? in
            guard let place = state.jobs.firstIndex(where: { $0.id == id }) else { return nil }
            if state.jobs[place].state.isTerminal { return (state.jobs[place], .alreadyTerminal) }
            state.jobs[place].cancelAsked = state.jobs[place].cancelAsked ?? now
            guard state.jobs[place].state == .queued else {
                state.jobs[place].state = .cancelling
                return (state.jobs[place], .cancelling)
            }
            state.jobs[place].state = .cancelled
            state.jobs[place].ended = now
            return (state.jobs[place], .cancelled)
        }
        if let job = result?.0, result?.1 != .alreadyTerminal { tell(job) }
        return result
    }

    // MARK: Working

    private func work(_ quantizer: Quantizer) async {
        while let job = next() {
            tell(job)
            observers.log(LogLine(.info, "Converting model: \(job.request.source.id) to \(job.request.bits) bits", event: "quantize_started"))
            let result = await Self.run(quantizer, job, self)
            finish(job.id, result)
        }
    }

    private static func run(_ quantizer: Quantizer, _ job: QuantizeJob, _ desk: QuantizeDesk) async -> Result<Int, any Error> {
        do {
            return .success(
                try await Worker.run {
                    try quantizer.run(job.request, job.path, { desk.progress(job.id, $0) }, { desk.job(job.id)?.state == .cancelling })
                })
        } catch {
            return .failure(error)
        }
    }

    private func next() -> QuantizeJob? {
        state.withLock { state in
            guard let place = state.jobs.firstIndex(where: { $0.state == .queued }) else {
                state.isWorking = false
                return nil
            }
            state.jobs[place].state = .running
            state.jobs[place].started = WallClock.seconds
            return state.jobs[place]
        }
    }

    private func progress(_ id: String, _ share: Double) {
        let job = change(id) { job -> QuantizeJob? in
            let (before, now) = (Int(job.progress * 100), Int(min(max(share, 0), 1) * 100))
            job.progress = min(max(share, 0), 1)
            return now > before && now < 100 ? job : nil
        }
        if let job { tell(job) }
    }

    private func finish(_ id: String, _ result: Result<Int, any Error>) {
        let job = change(id) { job -> QuantizeJob? in
            job.ended = WallClock.seconds
            switch result {
            case .success(let bytes):
                job.state = .completed
                job.progress = 1
                job.bytes = bytes
            case .failure where job.state == .cancelling: job.state = .cancelled
            case .failure(let error):
                job.state = .failed
                job.failure = ((error as? ModelError)?.code ?? "failed", "\(error)")
            }
            return job
        }
        guard let job else { return }
        if let failure = job.failure {
            observers.incidents.add("quantize_failed", failure.message, model: job.request.source.id)
            observers.log(LogLine(.error, "Model not converted: \(job.request.source.id): \(failure.message)", event: "quantize_failed"))
        } else {
            observers.log(LogLine(.info, "Conversion \(job.state.rawValue): \(job.request.source.id)", event: "quantize_ended"))
        }
        tell(job)
    }

    private func change(_ id: String, _ body: (inout QuantizeJob) -> QuantizeJob?) -> QuantizeJob? {
        state.withLock { state in
            guard let place = state.jobs.firstIndex(where: { $0.id == id }) else { return nil }
            return body(&state.jobs[place])
        }
    }

    private func tell(_ job: QuantizeJob) {
        let words = [QuantizeJob.State.running: "quantizing", .queued: "queued"]
        let status = job.failure.map { "failed: \($0.message)" } ?? words[job.state] ?? job.state.rawValue
        let data: JSONObject = [
            "model_id": .string(job.request.source.id), "job_id": .string(job.id), "status": .string(status),
            "percent": .int(Int(job.progress * 100)),
        ]
        observers.events.tell(LiveEvent(named: "quantize_progress", data, isKept: job.state.isTerminal))
        if job.state == .completed || job.state == .failed {
            observers.events.tell(LiveEvent(named: "quantize_\(job.state.rawValue)", data))
        }
    }
}
