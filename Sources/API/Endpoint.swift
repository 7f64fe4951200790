package import Weights

/// One thing the server answers to. Body decoding, keys, limits, the shape of errors and headers happen around it.
package protocol Endpoint: Sendable {
    associatedtype Body: EndpointBody = NoBody
    static var method: Method { get }
    static var path: RoutePattern { get }
    static var access: Access { get }
    /// Parameters of the address in which the key may stand, for clients that cannot send header fields.
    static var keyParameters: [String] { get }
    /// The member `type` of a refusal beside the usual ones, where the protocol of this address wants one.
    static var refusalType: String? { get }
    init()
    func answer(_ call: Call, _ body: Body, _ server: ServerContext) async throws -> Reply
}

extension Endpoint {
    package static var keyParameters: [String] { [] }
    package static var refusalType: String? { nil }
}

/// The JSON body of a request, checked field by field while it is read.
package protocol EndpointBody: Sendable {
    /// An endpoint whose body may be absent sees then an empty object.
    static var isOptional: Bool { get }
    init(_ fields: Fields) throws(APIError)
}

extension EndpointBody {
    package static var isOptional: Bool { false }
}

/// For endpoints that read no body.
package struct NoBody: EndpointBody {
    package static let isOptional = true
    package init(_ fields: Fields) {}
}

/// What an endpoint answers.
package enum Reply: Sendable {
    case json(JSONValue, status: Int = 200)
    case events(EventStream)
    case text(String, type: String, status: Int = 200)
    /// HTTP ends here and a WebSocket begins; it is closed when the closure returns.
    case socket(@Sendable (MessageSocket) async -> Void)
    /// Bytes as they are, with header fields of their own; 304 sends none.
    case resource([UInt8], type: String, fields: [(name: String, value: String)], status: Int = 200)

    var isStream: Bool { if case .events = self { true } else { false } }
}

/// An endpoint without its types: what the dispatcher keeps.
package struct Route: Sendable {
    package let name: String
    package let method: Method
    package let pattern: RoutePattern
    package let access: Access
    let keyParameters: [String]
    let refusalType: String?
    let readsBody: Bool
    let bodyIsOptional: Bool
    let answer: @Sendable (Call, JSONObject, ServerContext) async throws -> Reply

    init<E: Endpoint>(_ endpoint: E.Type, at pattern: RoutePattern? = nil) {
        name = "\(E.self)"
        method = E.method
        self.pattern = pattern ?? E.path
        access = E.access
        keyParameters = E.keyParameters
        refusalType = E.refusalType
        readsBody = E.Body.self != NoBody.self
        bodyIsOptional = E.Body.isOptional
        answer = { call, object, server in
            let object = E.access == .client ? try server.applyingPreset(object) : object
            return try await E().answer(call, try E.Body(Fields(object)), server)
        }
    }

    /// Every endpoint there is. One endpoint is one file in `Endpoints` and one line here.
    package static let all: [Route] = [
        Route(Healthz.self),
        Route(Readyz.self),
        Route(Discovery.self),
        Route(Discovery.self, at: "/.well-known/opta-lmx"),
        Route(ListModels.self),
        Route(DescribeModel.self),
        Route(ChatCompletions.self),
        Route(Completions.self),
        Route(ChatSocket.self),
        Route(Messages.self),
        Route(Responses.self),
        Route(Embeddings.self),
        Route(Rerank.self),
        Route(AdminEvents.self),
        Route(AdminHealth.self),
        Route(AdminStatus.self),
        Route(AdminMemory.self),
        Route(AdminDevice.self),
        Route(AdminDiagnostics.self),
        Route(AdminMetrics.self),
        Route(AdminMetrics.self, at: "/metrics"),
        Route(AdminMetricsJSON.self),
        Route(AdminStack.self),
        Route(AdminPresets.self),
        Route(ReloadPresets.self),
        Route(DescribePreset.self),
        Route(AdminModels.self),
        Route(AvailableModels.self),
        Route(Compatibility.self),
        Route(ProbeModel.self),
        Route(ModelPerformance.self),
        Route(ListDownloads.self),
        Route(DownloadModel.self),
        Route(DownloadProgress.self),
        Route(CancelDownload.self),
        Route(LoadModel.self),
        Route(ConfirmDownload.self),
        Route(UnloadModel.self),
        Route(DeleteModel.self),
        Route(Benchmark.self),
        Route(BenchmarkRun.self),
        Route(BenchmarkResults.self),
        Route(StartQuantize.self),
        Route(ListQuantize.self),
        Route(DescribeQuantize.self),
        Route(CancelQuantize.self),
        Route(ReloadConfiguration.self),
        Route(DashboardPage.self),
        Route(DashboardPage.self, at: "/dashboard/{name}"),
    ]
}
