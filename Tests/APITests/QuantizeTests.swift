import API
import Engine
import TestSupport
import Testing
import Weights

@Suite struct QuantizeTests {
    /// Waits at each hundredth for a gate, where there is one.
    static func closures(_ gate: Gate? = nil, failure: ModelError? = nil) -> Closures {
        var closures = Closures()
        closures.quantizer = Quantizer(
            place: { request in
                if request.output == "/etc/passwd" { throw ModelError(.outOfRange, at: "/etc/passwd", "is outside the model folders") }
                return "/models/\(request.source.id)-\(request.bits)bit"
            },
            run: { _, path, progress, isStopped in
                for step in 0..<100 {
                    if isStopped() { throw ModelError(.unreadable, at: path, "stopped") }
                    progress(Double(step) / 100)
                    if step == 50 {
                        gate?.wait()
                        if let failure { throw failure }
                    }
                }
                return 4096
            })
        return closures
    }

    @Test func aJobRunsInTheBackgroundAndTellsItsProgress() async throws {
        try await RunningServer.run(models: [], disk: ["one"], closures: Self.closures()) { server in
            let reader = try await server.events()
            let job = try await server.post("/admin/quantize", #"{"source_model":"one","bits":8,"group_size":32}"#)
            #expect(job.status == 200)
            for key in [
                "job_id", "source_model", "output_path", "bits", "group_size", "mode", "status", "queue_position", "cancel_requested",
                "cancel_requested_at", "failure_code", "exit_code", "signal", "worker_pid",
            ] { #expect(job.json[key] != nil, "\(key)") }
            #expect(job.json["output_path"]?.string == "/models/one-8bit" && job.json["error"] == nil)
            let id = try #require(job.json["job_id"]?.string)
            let frames = try await reader.collect { $0.event == "quantize_completed" }
            let progress = frames.filter { $0.event == "quantize_progress" }
            #expect(progress.first?.data["status"]?.string == "quantizing" && progress.last?.data["percent"]?.int == 100)
            #expect(progress.last?.data["status"]?.string == "completed")
            let done = try await server.get("/admin/quantize/\(id)").json
            #expect(done["status"]?.string == "completed" && done["output_size_bytes"]?.int == 4096)
            for key in ["started_at", "completed_at", "duration_sec", "output_size_gb"] { #expect(done[key]?.number != nil, "\(key)") }
            let list = try await server.get("/admin/quantize").json
            #expect(list["count"]?.int == 1 && list["jobs"]?[0] == done)
            let late = try await server.send("POST", "/admin/quantize/\(id)/cancel")
            #expect(late.status == 200 && late.json["reason"]?.string == "already_terminal")
        }
    }

    @Test func jobsFollowOneAnotherAndAreCancelled() async throws {
        let gate = Gate()
        try await RunningServer.run(models: [], disk: ["one", "two"], closures: Self.closures(gate)) { server in
            let first = try await server.post("/admin/quantize", #"{"source_model":"one"}"#).json["job_id"]?.string ?? ""
            #expect(try await StreamTests.eventually { try await server.get("/admin/quantize/\(first)").json["progress_percent"]?.number == 50 })
            let second = try await server.post("/admin/quantize", #"{"source_model":"two"}"#).json
            #expect(second["status"]?.string == "queued" && second["queue_position"]?.int == 1)
            let waiting = try await server.send("POST", "/admin/quantize/\(second["job_id"]?.string ?? "")/cancel")
            #expect(waiting.status == 200 && waiting.json["cancelled"]?.bool == true && waiting.json["reason"]?.string == "cancelled")
            let running = try await server.send("POST", "/admin/quantize/\(first)/cancel")
            #expect(running.status == 202 && running.json["reason"]?.string == "cancelling")
            gate.open()
            #expect(try await StreamTests.eventually { try await server.get("/admin/quantize/\(first)").json["status"]?.string == "cancelled" })
            #expect(try await server.send("POST", "/admin/quantize/none/cancel").status == 404)
            let none = try await server.get("/admin/quantize/none")
            #expect(none.status == 200 && none.json["error"]?.string == "Job not found")
        }
    }

    @Test func aJobThatFailsSaysWhy() async throws {
        let failure = ModelError(.mismatched, at: "one.gguf", "has no rows to round")
        try await RunningServer.run(models: [], disk: ["one"], closures: Self.closures(failure: failure)) { server in
            let id = try await server.post("/admin/quantize", #"{"source_model":"one"}"#).json["job_id"]?.string ?? ""
            #expect(try await StreamTests.eventually { try await server.get("/admin/quantize/\(id)").json["status"]?.string == "failed" })
            let job = try await server.get("/admin/quantize/\(id)").json
            #expect(job["error"]?.string == "one.gguf: has no rows to round" && job["failure_code"]?.string == failure.code)
            #expect(try await server.get("/admin/diagnostics").json["recent_errors"]?[0]?["category"]?.string == "quantize_failed")
        }
    }

    @Test(arguments: [
        #"{}"#, #"{"source_model":"one","bits":7}"#, #"{"source_model":"one","group_size":48}"#, #"{"source_model":"one","mode":"mxfp4"}"#,
        #"{"source_model":"one","output_path":"/etc/passwd"}"#,
    ])
    func whatCannotBeWrittenIsRefused(_ body: String) async throws {
        try await RunningServer.run(models: [], disk: ["one"], closures: Self.closures()) { server in
            let answer = try await server.post("/admin/quantize", body)
            #expect(answer.status == 400 && answer.json["error"]?["code"]?.string == "invalid-request")
        }
    }
}
