import FoundationEssentials
import Weights

/// `GET /admin/models/available`: what lies in the model folders.
package struct AvailableModels: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/models/available"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) async throws -> Reply {
        let known = try await server.knownModels()
        let list = try await Worker.run {
            known.map { entry in
                let attributes = try? FileManager.default.attributesOfItem(atPath: entry.path)
                let date = (attributes?[.modificationDate] as? Date)?.timeIntervalSince1970
                return JSONValue.object([
                    "repo_id": .string(entry.id), "local_path": .string(entry.path), "size_bytes": .int(entry.sizeBytes),
                    "downloaded_at": .float(date ?? 0), "format": .string(entry.format), "quantization": .text(entry.quantization),
                ])
            }
        }
        return .json(.array(list))
    }
}
