import Weights

extension QuantizeJob {
    /// A member that says nothing is null, except `error`: a dashboard takes a job that has one for a missing job.
    func json(position: Int?) -> JSONValue {
        var answer: JSONObject = [
            "job_id": .string(id), "source_model": .string(request.source.id), "output_path": .string(path),
            "bits": .int(request.bits), "group_size": .int(request.groupSize), "mode": .string("affine"),
            "status": .string(state.rawValue), "progress_percent": .float((progress * 1000).rounded() / 10),
            "queue_position": .count(position), "cancel_requested": .bool(cancelAsked != nil),
            "cancel_requested_at": .decimal(cancelAsked), "failure_code": .text(failure?.code), "exit_code": .null, "signal": .null,
            "worker_pid": .null, "created_at": .float(created), "started_at": .decimal(started), "updated_at": .decimal(ended ?? started),
            "completed_at": .decimal(state == .completed ? ended : nil), "cancelled_at": .decimal(state == .cancelled ? ended : nil),
            "duration_sec": .decimal(started.map { (ended ?? WallClock.seconds) - $0 }), "output_size_bytes": .count(bytes),
            "output_size_gb": .gibibytes(bytes),
        ]
        if let failure { answer["error"] = .string(failure.message) }
        return .object(answer)
    }
}
