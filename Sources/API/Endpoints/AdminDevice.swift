import Weights

/// `GET /admin/device`: what this machine is.
package struct AdminDevice: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/device"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let memory = JSONValue.gibibytes(server.memory().totalBytes)
        let (host, chip) = (JSONValue.string(Machine.name), JSONValue.string(Machine.processor))
        let configuration = server.configuration
        let name = JSONValue.string(configuration.deviceName ?? Machine.name)
        let purpose = JSONValue.text(configuration.devicePurpose)
        let role = JSONValue.string(configuration.deviceRole ?? "inference_server")
        return .json(
            .object([
                "hardware": .object([
                    "hostname": host, "chip_name": chip, "architecture": .string(Machine.architecture), "memory_gb": memory,
                    "max_working_set_gb": memory, "cpu_cores": .int(Machine.processors), "metal_available": .bool(false),
                    "gpu_family": .null,
                ]),
                "identity": .object(["name": name, "purpose": purpose, "role": role]),
                "chip": chip, "memory_gb": memory, "hostname": host, "name": name, "purpose": purpose, "role": role,
                "os_version": .string(Machine.system), "cpu_cores": .int(Machine.processors),
                "architecture": .string(Machine.architecture),
            ]))
    }
}
