import TestSupport
import Testing

/// The desktop program looks for servers on the network; everything else it does through the daemon.
@Suite struct DesktopContractTests {
    @Test func aServerIsKnownByWhatItSaysOfItself() throws {
        let contract = try ContractServer()
        defer { contract.server.stop() }
        let answer = try contract.send(
            ContractCall(
                "GET /.well-known/opta-lmx", "instance_id: string", "loaded_model_count = 0", "auth.admin_key_required = false",
                "endpoints.preferred_base_url: string"))
        // The machine's name is what stands before the colon.
        #expect(answer.text.contains(":\(contract.client.port)\""))
    }
}
