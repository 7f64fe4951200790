import Weights

extension DownloadJob {
    /// The job as the list of downloads shows it.
    var json: JSONValue {
        .object([
            "download_id": .string(id), "repo_id": .string(download.repository.id), "revision": .string(download.repository.commit),
            "model_id": .string(download.modelID), "status": .string(state.rawValue), "progress_percent": .float(percent),
            "downloaded_bytes": .int(bytes), "total_bytes": .int(download.totalBytes), "files_completed": .int(files),
            "files_total": .int(download.files.count), "error": .text(failure?.message), "error_code": .text(failure?.code),
            "started_at": .float(started), "completed_at": .decimal(ended),
        ])
    }

    /// What a client is told that asked to load a model which is now being fetched.
    var loading: JSONValue {
        .object([
            "status": .string("downloading"), "model_id": .string(download.repository.id), "download_id": .string(id),
            "estimated_size_bytes": .int(download.totalBytes), "estimated_size_human": .string(Self.human(download.totalBytes)),
            "confirmation_token": .null, "message": .string("The model is being downloaded and will be loaded then"), "confirm_url": .null,
            "progress_url": .string("/admin/models/download/\(id)/progress"),
        ])
    }

    /// `18.4 GB`
    static func human(_ bytes: Int) -> String {
        let tenths = { (number: Double) in "\((number * 10).rounded() / 10)" }
        return bytes >= 1 << 30 ? tenths(Double(bytes) / 1_073_741_824) + " GB" : tenths(Double(bytes) / 1_048_576) + " MB"
    }
}

extension LiveEvent {
    static func downloading(_ job: DownloadJob, percent: Int, bytes: Int) -> LiveEvent {
        LiveEvent(named: "download_progress", base(job, ["percent": .int(percent), "bytes": .int(bytes)]), isKept: false)
    }

    static func downloaded(_ job: DownloadJob, seconds: Double) -> LiveEvent {
        LiveEvent(
            named: "download_completed",
            base(job, ["local_path": .string(job.download.modelPath), "duration_sec": .float(seconds)]))
    }

    static func downloadFailed(_ job: DownloadJob, _ error: String) -> LiveEvent {
        LiveEvent(named: "download_failed", base(job, ["error": .string(error)]))
    }

    static func downloadCancelled(_ job: DownloadJob) -> LiveEvent { LiveEvent(named: "download_cancelled", base(job, [:])) }

    private static func base(_ job: DownloadJob, _ more: JSONObject) -> JSONObject {
        var data: JSONObject = [
            "download_id": .string(job.id), "repo_id": .string(job.download.repository.id), "model_id": .string(job.download.modelID),
        ]
        data.members += more.members
        return data
    }
}
