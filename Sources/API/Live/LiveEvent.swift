import Engine
package import Weights

/// Something that happened, as one frame of the event stream.
///
/// Two dialects of clients exist. One reads unnamed frames, whose data says its `type`; the other named ones, whose data
/// doesn't. Where both know of a thing it is told twice; a browser's EventSource shows each listener the frames of its own.
package struct LiveEvent: Sendable {
    let name: String?  // nil: unnamed
    let data: JSONObject
    /// Told again to readers that missed it.
    let isKept: Bool

    package init(named name: String, _ data: JSONObject, isKept: Bool = true) {
        self.name = name
        self.data = data
        self.isKept = isKept
    }

    /// An unnamed frame.
    package init(type: String, _ data: JSONObject, isKept: Bool = false) {
        var typed: JSONObject = ["type": .string(type)]
        typed.members += data.members
        name = nil
        self.data = typed
        self.isKept = isKept
    }

    func frame(id: String?) -> String {
        var frame = ""
        if let id { frame += "id: \(id)\n" }
        if let name { frame += "event: \(name)\n" }
        return frame + "data: \(JSONValue.object(data).serialized())\n\n"
    }
}

// MARK: Models

extension LiveEvent {
    /// - Parameter progress: the share done, 0…1.
    static func loading(_ id: String, progress: Double) -> [LiveEvent] {
        [
            LiveEvent(
                type: "model_event", ["action": .string("loading"), "model": .string(id), "progress": .float(progress)],
                isKept: progress == 0)
        ]
    }

    static func loaded(_ model: ServedModel) -> [LiveEvent] {
        let memory = JSONValue.gibibytes(model.memoryBytes)
        return [
            LiveEvent(
                type: "model_event",
                [
                    "action": .string("loaded"), "model": .string(model.id), "vram_gb": memory,
                    "load_time_ms": .float((model.loadSeconds * 1000).rounded()),
                ], isKept: true),
            state(of: model.id, "ready"),
            LiveEvent(
                named: "model_loaded",
                [
                    "model_id": .string(model.id), "format": .string(model.info.format), "memory_gb": memory,
                    "memory_bytes": .int(model.memoryBytes), "duration_sec": .float(model.loadSeconds),
                ]),
        ]
    }

    static func unloaded(_ report: UnloadReport, reason: EngineError.UnloadReason) -> [LiveEvent] {
        let memory = JSONValue.gibibytes(report.freedBytes)
        let reason = JSONValue.string(reason == .idle ? "ttl" : reason.rawValue)
        return [
            LiveEvent(
                type: "model_event",
                ["action": .string("unloaded"), "model": .string(report.id), "vram_gb": memory, "reason": reason, "load_time_ms": .null],
                isKept: true),
            state(of: report.id, "unloaded"),
            LiveEvent(named: "model_unloaded", ["model_id": .string(report.id), "memory_freed_gb": memory, "reason": reason]),
        ]
    }

    static func failed(_ id: String, reason: String) -> [LiveEvent] {
        [
            LiveEvent(
                type: "model_event", ["action": .string("failed"), "model": .string(id), "reason": .string(reason)], isKept: true),
            state(of: id, "failed"),
            LiveEvent(named: "model_load_failed", ["model_id": .string(id), "reason": .string(reason)]),
        ]
    }

    private static func state(of id: String, _ state: String) -> LiveEvent {
        LiveEvent(type: "model_status", ["model": .string(id), "state": .string(state)], isKept: true)
    }
}

// MARK: Figures

extension LiveEvent {
    /// - Parameter milliseconds: since 1970.
    static func throughput(_ tokensPerSecond: Double, active: Int, model: String?, milliseconds: Int) -> LiveEvent {
        LiveEvent(
            type: "throughput",
            [
                "tokens_per_second": .float(tokensPerSecond), "tokens_per_sec": .float(tokensPerSecond),
                "active_requests": .int(active), "model": .text(model),
                "data": .object(["timestamp": .int(milliseconds), "tokensPerSecond": .float(tokensPerSecond)]),
            ])
    }

    static func memory(_ memory: Memory) -> [LiveEvent] {
        let (used, total) = (JSONValue.gibibytes(memory.usedBytes), JSONValue.gibibytes(memory.totalBytes))
        return [
            LiveEvent(type: "memory", figures(memory)),
            LiveEvent(type: "vram", ["used_gb": used, "total_gb": total]),
        ]
    }

    private static func figures(_ memory: Memory) -> JSONObject {
        [
            "vram_used_gb": .gibibytes(memory.usedBytes), "vram_total_gb": .gibibytes(memory.totalBytes),
            "pct": .float(memory.usedPercent),
        ]
    }

    static func heartbeat(uptime: Double, timestamp: Double) -> [LiveEvent] {
        [
            LiveEvent(type: "heartbeat", ["uptime": .float(uptime)]),
            LiveEvent(named: "heartbeat", ["timestamp": .float(timestamp)], isKept: false),
        ]
    }

    /// Everything that the older dashboard shows, under its names.
    static func status(_ status: EngineStatus, _ memory: Memory, uptime: Double) -> LiveEvent {
        let models = status.models.map { status in
            JSONValue.object([
                "id": .string(status.model.id), "name": .string(status.model.id), "vram_gb": .gibibytes(status.model.memoryBytes),
                "quantization": .text(status.model.info.quantization), "context_length": .int(status.model.contextLength),
                "loaded_at": .string(ISODate.text(status.model.loadedAt)),
            ])
        }
        return LiveEvent(
            type: "status",
            [
                "data": .object([
                    "vram_used_gb": .gibibytes(memory.usedBytes), "vram_total_gb": .gibibytes(memory.totalBytes),
                    "loaded_models": .array(models), "active_requests": .int(status.inFlight),
                    "tokens_per_second": .float(status.throughput), "temperature_celsius": .null,
                    "uptime_seconds": .float(uptime),
                ])
            ])
    }

    static func completed(model: String, milliseconds: Double, tokens: Int, streams: Bool) -> LiveEvent {
        LiveEvent(
            named: "request_completed",
            [
                "model_id": .string(model), "latency_ms": .float(milliseconds.rounded()), "tokens": .int(tokens),
                "stream": .bool(streams),
            ], isKept: false)
    }

    /// Memory in use has passed the threshold at which it is wise to act.
    static func memoryWarning(_ memory: Memory, threshold: Double) -> [LiveEvent] {
        var data = figures(memory)
        data["message"] = .string("Memory usage exceeds warning threshold")
        return [
            LiveEvent(type: "memory_warning", data, isKept: true),
            LiveEvent(
                named: "memory_warning",
                [
                    "usage_percent": .float(memory.usedPercent), "threshold": .float(threshold),
                    "available_gb": .gibibytes(memory.availableBytes),
                ]),
        ]
    }

    /// Memory in use has passed the limit, and `model` was taken away.
    static func memoryCritical(_ memory: Memory, unloading model: String) -> [LiveEvent] {
        var data = figures(memory)
        data["message"] = .string("OOM threshold reached, unloading model")
        data["action"] = .string("model_unloaded")
        data["model"] = .string(model)
        return [LiveEvent(type: "memory_critical", data, isKept: true), LiveEvent(named: "memory_critical", data)]
    }
}
