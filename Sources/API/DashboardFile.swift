/// One file of the dashboard, as the build put it into the binary.
struct DashboardFile: Sendable {
    let bytes: [UInt8]
    let type: String
    /// Changes when the bytes do.
    let tag: String

    private init(_ bytes: [UInt8], _ type: String) {
        self.bytes = bytes
        self.type = type
        // FNV-1a, 64 bits
        let hash = bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
        tag = "\"" + String(hash, radix: 16) + "\""
    }

    /// Nothing but our own files and our own server: what a model writes can neither run nor send anything.
    static let policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
        + "form-action 'none'; frame-ancestors 'none'"

    private static let script = "text/javascript; charset=utf-8"

    /// By name. One file is one line here.
    static let all: [String: DashboardFile] = [
        "index.html": DashboardFile(PackageResources.index_html, "text/html; charset=utf-8"),
        "style.css": DashboardFile(PackageResources.style_css, "text/css; charset=utf-8"),
        "app.js": DashboardFile(PackageResources.app_js, script),
        "chat.js": DashboardFile(PackageResources.chat_js, script),
        "graph.js": DashboardFile(PackageResources.graph_js, script),
        "live.js": DashboardFile(PackageResources.live_js, script),
        "markdown.js": DashboardFile(PackageResources.markdown_js, script),
        "models.js": DashboardFile(PackageResources.models_js, script),
        "server.js": DashboardFile(PackageResources.server_js, script),
    ]
}
