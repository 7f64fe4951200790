import Engine

/// Looks at the engine and the memory every second and tells the readers of the events what they are to know.
struct Monitor: Sendable {
    let server: ServerContext

    /// Seconds between memory frames while little changes.
    private static let memoryPause = 5
    /// A change of the memory in use that is told at the next tick, in per cent of all.
    private static let memoryStep = 0.5

    /// Runs until it is cancelled.
    func run() async {
        var last = Seen(requests: server.engine.status().statistics.requests)
        var next = ContinuousClock.now
        var beat = next
        var relief = MemoryRelief(server)
        while !Task.isCancelled {
            let now = ContinuousClock.now
            let memory = server.memory()
            tick(&last, memory)
            await relief.look(at: memory)
            await server.loads.evictExpired()
            if now >= beat {
                server.events.tell(LiveEvent.heartbeat(uptime: server.lifecycle.uptime, timestamp: WallClock.seconds))
                beat = now + server.configuration.heartbeat
            }
            next += server.configuration.pulse
            if next < now { next = now + server.configuration.pulse }
            try? await Task.sleep(until: next, tolerance: .milliseconds(20))
        }
    }

    /// What was told last.
    private struct Seen {
        var models: [String] = []
        var requests = 0  // that have ended
        var inFlight = 0
        var wasBusy = false
        var percent = -1000.0
        var ticks = 0  // since the last memory frame
    }

    private func tick(_ last: inout Seen, _ memory: Memory) {
        let status = server.engine.status()
        var events: [LiveEvent] = []

        // An answer may begin and end between two looks.
        let isBusy = status.active > 0 || status.statistics.requests != last.requests
        last.requests = status.statistics.requests
        if isBusy || last.wasBusy {
            // The frame after the last answer says 0, so that a graph comes down.
            let busiest = status.models.max { $0.throughput < $1.throughput } ?? status.models.last
            events.append(
                .throughput(
                    isBusy ? status.throughput : 0, active: status.active, model: busiest?.model.id,
                    milliseconds: Int(WallClock.seconds * 1000)))
        }
        last.wasBusy = isBusy

        last.ticks += 1
        if last.ticks >= Self.memoryPause || abs(memory.usedPercent - last.percent) > Self.memoryStep {
            events += LiveEvent.memory(memory)
            last.percent = memory.usedPercent
            last.ticks = 0
        }

        let models = status.models.map(\.model.id)
        if models != last.models || status.inFlight != last.inFlight {
            events.append(.status(status, memory, uptime: server.lifecycle.uptime))
            (last.models, last.inFlight) = (models, status.inFlight)
        }
        if !events.isEmpty { server.events.tell(events) }
    }

    /// How things stand, for a reader that has just come.
    static func greeting(_ server: ServerContext) -> [LiveEvent] {
        let status = server.engine.status()
        let memory = server.memory()
        let loading = status.loading.flatMap { LiveEvent.loading($0.id, progress: $0.progress) }
        return [.status(status, memory, uptime: server.lifecycle.uptime)] + LiveEvent.memory(memory) + loading
    }
}
