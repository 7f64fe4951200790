import API
import Foundation
import TestSupport
import Testing

@Suite struct RegistryTests {
    @Test func everyEndpointOfTheFolderIsInTheRegistry() throws {
        let folder = Corpus.packageFolder + "/Sources/API/Endpoints"
        let files = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".swift") }
        #expect(!files.isEmpty)
        let registered = Set(Route.all.map(\.name))
        for file in files { #expect(registered.contains(String(file.dropLast(6))), "\(file) is not in Route.all") }
        #expect(registered.count == files.count)
    }

    @Test func onlyTheHTTPFolderImportsTheHTTPLibrary() throws {
        let folder = Corpus.packageFolder + "/Sources/API"
        let files = try #require(FileManager.default.enumerator(atPath: folder)).compactMap { $0 as? String }
        for file in files where file.hasSuffix(".swift") && !file.hasPrefix("HTTP/") {
            let text = try String(contentsOfFile: folder + "/" + file, encoding: .utf8)
            for module in ["Hummingbird", "HummingbirdCore", "NIOCore", "NIOHTTP1", "HTTPTypes", "Compute", "Formats", "CKernels"] {
                #expect(!text.contains("import \(module)\n"), "\(file) imports \(module)")
            }
        }
    }
}
