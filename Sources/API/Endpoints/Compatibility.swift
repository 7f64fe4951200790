import Weights

/// `GET /admin/models/compatibility`: the loads since the server started and how they ended.
package struct Compatibility: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/models/compatibility"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) throws(APIError) -> Reply {
        let head = call.head
        let limit = try Self.number(head, "limit") ?? 200
        guard (1...2000).contains(limit) else { throw .refused("limit", "\(Int(limit)) is outside 1 to 2000") }
        let since = try Self.number(head, "since_ts") ?? 0
        let (model, backend, outcome) = (head.query("model_id"), head.query("backend"), head.query("outcome"))
        let rows = server.loads.journal.rows.reversed().filter { row in
            row.time >= since && (model ?? row.model) == row.model && (backend ?? row.backend) == row.backend
                && (outcome ?? row.outcome) == row.outcome
        }
        let shown = rows.prefix(Int(limit)).map { row in
            JSONValue.object([
                "ts": .float(row.time), "model_id": .string(row.model), "backend": .string(row.backend),
                "backend_version": .string(server.version), "outcome": .string(row.outcome), "reason": .text(row.reason),
                "metadata": .object([:]),
            ])
        }
        let wantsSummary = ["1", "true"].contains(head.query("include_summary")?.lowercased())
        return .json(
            .object([
                "total": .int(rows.count), "rows": .array(Array(shown)), "summary": wantsSummary ? Self.summary(Array(rows)) : .null,
            ]))
    }

    private static func number(_ head: RequestHead, _ name: String) throws(APIError) -> Double? {
        guard let text = head.query(name) else { return nil }
        guard let number = Double(text), number.isFinite, abs(number) < 1e15 else {
            throw .refused(name, "'\(APIError.echo(text))' is not a number")
        }
        return number
    }

    /// Newest first, as the rows are.
    private static func summary(_ rows: [LoadJournal.Row]) -> JSONValue {
        var summary = JSONObject()
        for id in Set(rows.map(\.model)).sorted() {
            let own = rows.filter { $0.model == id }
            let passed = own.count { $0.passed }
            summary[id] = .object([
                "total": .int(own.count), "pass": .int(passed), "fail": .int(own.count - passed),
                "latest_ts": .decimal(own.first?.time),
            ])
        }
        return .object(summary)
    }
}

extension LoadJournal.Row {
    var outcome: String { passed ? "pass" : "fail" }
}
