import Weights

/// `GET /admin/benchmark/results`: the benchmarks of this run of the server, of one model or of all.
package struct BenchmarkResults: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/benchmark/results"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let model = call.head.query("model_id")
        return .json(.array(server.benchmarks.all.filter { model == nil || $0["model_id"] == .text(model) }))
    }
}
