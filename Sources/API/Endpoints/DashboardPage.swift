/// `GET /` and `GET /dashboard/{name}`: the files of the dashboard. They hold no secret; what they ask for needs the keys.
package struct DashboardPage: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/"
    package static let access = Access.open
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) throws(APIError) -> Reply {
        let name = call.parameters.first ?? "index.html"
        guard let file = DashboardFile.all[name], name != "index.html" || call.parameters.isEmpty else {
            throw .notFound(String(call.head.path))
        }
        let fields = [
            (name: "ETag", value: file.tag), (name: "Cache-Control", value: "no-cache"),
            (name: "Content-Security-Policy", value: DashboardFile.policy), (name: "Referrer-Policy", value: "no-referrer"),
        ]
        let known = call.head.fields["if-none-match"]?.split(separator: ",").map { $0.filter { $0 != " " } } ?? []
        let isKnown = known.contains { $0 == "*" || $0 == file.tag || $0 == "W/" + file.tag }
        return .resource(file.bytes, type: file.type, fields: fields, status: isKnown ? 304 : 200)
    }
}
