import Compute
import Foundation
import TestSupport
import Testing
import Weights

/// What a cache takes, by the system's own count. Other tests run in the same process meanwhile: the amounts here are so large
/// that those do not matter.
@Suite struct CacheMemoryTests {
    /// Bytes of memory that this process has written to; 0 where the system does not say.
    private static func written() -> Int {
        let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
        return (line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first).flatMap { Int($0) }.map { $0 * 1024 } ?? 0
    }

    /// Three gigabytes, of which a short sequence writes one page.
    @Test(.enabled(if: written() > 0))
    func aCacheCostsMemoryAsItIsUsed() throws {
        let model = try Model.load(RandomModel.all[0].wide(Dense(.f32)).gguf(), options: ModelOptions(threads: 1))
        let bytesPerPage = try model.makeCache(pages: 1).bytesPerPage
        let before = Self.written()
        let session = try Session(model, pages: (3 << 30) / bytesPerPage)
        let slot = session.open()
        _ = session.run(slot, someTokens(20, vocabulary: 80), .last)
        #expect(Self.written() - before < 1 << 30)
    }
}
