/// What a model is at one moment, as everybody may see it.
public enum ModelState: Sendable, Equatable {
    case absent  // from memory
    /// Its load waits for its turn or works; the share done, 0…1.
    case loading(Double)
    case ready
    /// Takes no more requests; running answers may end, then its memory goes.
    case draining
    /// The last load, and why.
    case failed(String)
}

/// The way of one model into memory and out again: which request begins something, which joins what is in work, and
/// which is refused. A value without clock, thread or memory.
///
///                    ┌───────────────── failed ◀──error──┐
///                    ▼ load                              │
///     absent ──load──▶ loading ──────────────────────────┴──done──▶ ready
///       ▲                │ unload                                     │ unload, evict
///       │                ▼                                            ▼
///       ├──ended──── called off                                    draining
///       └──freed───────────────────────────────────────────────────┘
///
/// Only a ready model that nobody uses can be evicted; a model that loads never is. A load that is called off goes on until
/// its thread looks up; who asks for the model meanwhile waits for that and begins anew.
package struct ModelLifecycle: Sendable, Equatable {
    package enum Phase: Sendable, Equatable {
        case absent, loading, ready
        case calledOff(EngineError.UnloadReason)
        case draining(EngineError.UnloadReason)
        case failed(EngineError)
    }

    package private(set) var phase = Phase.absent
    package private(set) var progress = 0.0  // of the load, 0…1

    package init() {}

    package var state: ModelState {
        switch phase {
        case .absent: .absent
        case .loading: .loading(progress)
        case .ready: .ready
        case .calledOff, .draining: .draining
        case .failed(let error): .failed(error.description)
        }
    }

    /// Nothing of it is in memory or on the way there, and nothing is to be remembered.
    package var isForgettable: Bool { phase == .absent }

    // -------------------------------------------------------------------------------------------------------- loading

    package enum Load: Sendable, Equatable {
        case begin  // the caller now loads it, and tells by `loadEnded`
        case join  // the load in work is as good
        case present
        case wait  // until it is out of memory; then ask again
    }

    package mutating func load() -> Load {
        switch phase {
        case .absent, .failed:
            phase = .loading
            progress = 0
            return .begin
        case .loading: return .join
        case .ready: return .present
        case .calledOff, .draining: return .wait
        }
    }

    package mutating func loaded(share: Double) {
        if phase == .loading { progress = max(progress, min(max(share, 0), 1)) }
    }

    package var isCalledOff: Bool { if case .calledOff = phase { true } else { false } }

    /// The load is over, by an error or without.
    /// - Returns: true when the model is ready from now on; otherwise what was loaded is to be dropped.
    package mutating func loadEnded(_ error: EngineError?) -> Bool {
        switch (phase, error) {
        case (.loading, nil): phase = .ready
        case (.loading, .shuttingDown?): phase = .absent
        case (.loading, let error?): phase = .failed(error)
        case (.calledOff, _): phase = .absent
        default: break
        }
        return phase == .ready
    }

    // ------------------------------------------------------------------------------------------------------ unloading

    package enum Unload: Sendable, Equatable {
        case begin  // the caller now takes it away, and tells by `freed`
        case join  // somebody is at it already
        case callOff  // the load in work, which is to be ended as soon as may be
        case nothing  // is loaded
    }

    package mutating func unload(_ reason: EngineError.UnloadReason) -> Unload {
        switch phase {
        case .ready:
            phase = .draining(reason)
            return .begin
        case .loading:
            phase = .calledOff(reason)
            return .callOff
        case .calledOff, .draining: return .join
        case .absent, .failed: return .nothing
        }
    }

    /// Takes a ready model away that nobody uses. False, and nothing happens, in any other case.
    package mutating func evict(isInUse: Bool, _ reason: EngineError.UnloadReason) -> Bool {
        guard phase == .ready, !isInUse else { return false }
        phase = .draining(reason)
        return true
    }

    package mutating func freed() { if case .draining = phase { phase = .absent } }

    /// The last load's failure is of no more interest.
    package mutating func forget() { if case .failed = phase { phase = .absent } }

    // ------------------------------------------------------------------------------------------------------ answering

    package enum Admission: Sendable, Equatable {
        case serve
        case wait  // for the load in work
        case refuse(EngineError.UnloadReason?)  // being taken away; nil: not there
    }

    /// What a request that wants the model now is to do.
    package var admission: Admission {
        switch phase {
        case .ready: .serve
        case .loading: .wait
        case .calledOff(let reason), .draining(let reason): .refuse(reason)
        case .absent, .failed: .refuse(nil)
        }
    }
}

/// Which loaded models may go when memory is wanted or their time is up. A model in use is never among them.
package struct EvictionCandidate: Sendable, Equatable {
    package var id: String
    package var lastUsedAt: Double  // in seconds of any clock that only goes forward
    package var isInUse: Bool
    /// Seconds that it stays unused at least; 0: for ever, nil: as all others.
    package var keepAlive: Double?

    package init(id: String, lastUsedAt: Double, isInUse: Bool, keepAlive: Double? = nil) {
        self.id = id
        self.lastUsedAt = lastUsedAt
        self.isInUse = isInUse
        self.keepAlive = keepAlive
    }

    /// The one whose last use is longest ago.
    package static func leastRecentlyUsed(_ candidates: [EvictionCandidate], keeping kept: String? = nil) -> String? {
        candidates.filter { !$0.isInUse && $0.id != kept }.min { ($0.lastUsedAt, $0.id) < ($1.lastUsedAt, $1.id) }?.id
    }

    /// Those that were not used for so long, the longest unused first. `timeout` nil: only those with a time of their own.
    package static func expired(_ candidates: [EvictionCandidate], at time: Double, timeout: Double?) -> [String] {
        candidates.filter { candidate in
            guard !candidate.isInUse, let limit = candidate.keepAlive ?? timeout, limit > 0 else { return false }
            return time - candidate.lastUsedAt >= limit
        }.sorted { ($0.lastUsedAt, $0.id) < ($1.lastUsedAt, $1.id) }.map(\.id)
    }
}
