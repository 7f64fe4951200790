import Compute
import Testing
import Weights

@Suite struct KVCacheTests {
    private func makeCache(pages: Int) throws -> Session {
        try Session(try Model.load(RandomModel.all[0].huggingFace(), options: ModelOptions(threads: 1)), pages: pages)
    }

    @Test func pagesAreTakenAsASequenceGrowsAndGivenBackWhenItCloses() throws {
        let cache = try makeCache(pages: 8)
        let slot = cache.open()
        #expect(cache.freePages == 8)
        #expect(cache.reserve(slot, tokens: 1))
        #expect(cache.freePages == 7)
        #expect(cache.reserve(slot, tokens: 32))  // counted from what it holds, which is nothing yet
        #expect(cache.freePages == 7)
        #expect(cache.reserve(slot, tokens: 33))
        #expect(cache.freePages == 6)
        cache.close(slot)
        #expect(cache.freePages == 8)
    }

    @Test func aReservationThatDoesNotFitTakesNothing() throws {
        let cache = try makeCache(pages: 4)
        let first = cache.open()
        let second = cache.open()
        #expect(cache.reserve(first, tokens: 3 * 32))
        #expect(!cache.reserve(second, tokens: 33))
        #expect(cache.freePages == 1)
        #expect(cache.reserve(second, tokens: 32))
        #expect(cache.freePages == 0)
        #expect(!cache.reserve(first, tokens: Int.max))
        #expect(!cache.reserve(first, tokens: -1))
    }

    @Test func aSequenceIsNeverLongerThanTheContext() throws {
        let cache = try makeCache(pages: 40)  // the model's context is 512
        let slot = cache.open()
        #expect(!cache.reserve(slot, tokens: 513))
        #expect(cache.reserve(slot, tokens: 512))
        #expect(cache.freePages == 40 - 16)
    }

    @Test func cuttingGivesBackWhatIsNoLongerNeeded() throws {
        let cache = try makeCache(pages: 4)
        let slot = cache.open()
        #expect(cache.reserve(slot, tokens: 128))
        cache.truncate(slot, to: 0)
        #expect(cache.freePages == 4)
        #expect(cache.count(slot) == 0)
    }

    @Test func aClosedPlaceIsUsedAgain() throws {
        let cache = try makeCache(pages: 4)
        let first = cache.open()
        #expect(cache.reserve(first, tokens: 40))
        cache.close(first)
        let second = cache.open()
        #expect(second == first)
        #expect(cache.count(second) == 0)
        #expect(cache.freePages == 4)
    }

    @Test func bytesTakeALittleMoreThanHalfTheMemory() throws {
        let source = RandomModel.all[0].wide(Q8_0()).huggingFace()
        func bytes(_ cache: CacheFormat) throws -> Int {
            let options = ModelOptions(threads: 1, cache: cache)
            let perPage = try Model.load(source, options: options).makeCache(pages: 1).bytesPerPage
            #expect(try ModelSummary(source, options: options).cacheBytesPerPage == perPage)
            return perPage
        }
        let share = Double(try bytes(.q8)) / Double(try bytes(.f16))
        #expect(share > 0.5 && share < 0.6)
    }

    @Test func aCacheWithoutPagesIsRefused() throws {
        for pages in [0, -1, Int.max] {
            #expect(throws: ModelError.self) { try makeCache(pages: pages) }
        }
    }
}
