import Compute
import TestSupport
import Testing

/// The accounting of pages alone: no memory, no model. Pages of four tokens.
@Suite struct PageTableTests {
    /// A table that expectations may change, and that checks itself after every change.
    private final class Subject {
        var table: PageTable
        init(pages: Int, context: Int = 1000) { table = PageTable(pages: pages, pageTokens: 4, contextLength: context) }

        var free: Int { table.freePages }
        var use: CacheUse { table.use }
        func open(_ tokens: [Int32], capacity: Int) -> SequenceSlot? { table.open(beginning: tokens, capacity: capacity) }
        func count(_ slot: SequenceSlot) -> Int { table.count(slot) }
        func pages(_ slot: SequenceSlot, _ positions: Int) -> [Int32] {
            let pages = table.take(slot, tokens: 0)
            return (0..<(positions + 3) / 4).map { pages[$0] }
        }
        /// Computes the tokens behind what the sequence holds, and keeps what is full.
        func compute(_ slot: SequenceSlot, _ tokens: [Int32]) {
            let more = tokens.count - table.count(slot)
            _ = table.take(slot, tokens: more)
            table.advance(slot, by: more)
            table.keep(slot, tokens: tokens, count: tokens.count)
        }
        func adopt(_ slot: SequenceSlot, _ tokens: [Int32]) -> Int { table.adopt(slot, beginning: tokens) }
        func rewind(_ slot: SequenceSlot, to count: Int) { table.rewind(slot, to: count) }
        func truncate(_ slot: SequenceSlot, to count: Int) { table.truncate(slot, to: count) }
        func close(_ slot: SequenceSlot) { table.close(slot) }
        func forget() { table.forget() }
        var contradiction: String? { table.contradiction() }
    }

    private func text(_ count: Int, _ seed: Int32 = 0) -> [Int32] { (0..<Int32(count)).map { $0 + 1000 * seed } }

    @Test func aSequenceWithTheSameBeginningHoldsItsPages() throws {
        let table = Subject(pages: 10)
        let first = try #require(table.open(text(10), capacity: 12))
        #expect(table.count(first) == 0 && table.free == 7)
        table.compute(first, text(10))
        let second = try #require(table.open(text(9), capacity: 12))
        #expect(table.count(second) == 8 && table.pages(second, 8) == table.pages(first, 8))
        #expect(table.free == 6, "two pages are shared, one more is promised")
        table.close(first)
        table.close(second)
        #expect(table.free == 10 && table.use.keptPages == 2)
        let third = try #require(table.open(text(8) + [99, 98], capacity: 12))
        #expect(table.count(third) == 8, "kept beyond the end of those that computed them")
        #expect(table.contradiction == nil)
    }

    @Test func oneTokenAtLeastStaysToBeComputed() throws {
        let table = Subject(pages: 10)
        let first = try #require(table.open(text(8), capacity: 8))
        table.compute(first, text(8))
        #expect(table.count(try #require(table.open(text(8), capacity: 8))) == 4)
        #expect(table.count(try #require(table.open(text(4), capacity: 8))) == 0)
    }

    @Test func aPageIsOnlyTheSameBehindTheSamePages() throws {
        let table = Subject(pages: 10)
        let first = try #require(table.open([1, 1, 1, 1, 2, 2, 2, 2, 3], capacity: 9))
        table.compute(first, [1, 1, 1, 1, 2, 2, 2, 2, 3])
        #expect(table.count(try #require(table.open([9, 1, 1, 1, 2, 2, 2, 2, 3], capacity: 9))) == 0)
        #expect(table.count(try #require(table.open([1, 1, 1, 1, 2, 2, 2, 9, 3], capacity: 9))) == 4)
    }

    @Test func twoThatComputeTheSameEndUpWithOneCopy() throws {
        let table = Subject(pages: 10)
        let first = try #require(table.open(text(10), capacity: 12))
        let second = try #require(table.open(text(10), capacity: 12))
        table.compute(first, text(10))
        table.compute(second, text(10))
        #expect(table.pages(first, 8) == table.pages(second, 8))
        #expect(table.use.heldPages == 4, "two shared, one each")
        #expect(table.contradiction == nil)
    }

    @Test func aSequenceInTheMiddleOfAPageTakesOverTheWholeOne() throws {
        let table = Subject(pages: 10)
        let first = try #require(table.open(text(12), capacity: 12))
        let second = try #require(table.open(text(12), capacity: 12))
        table.compute(second, Array(text(12)[..<6]))
        table.compute(first, text(12))
        #expect(table.adopt(second, text(12)) == 8)
        #expect(table.adopt(second, text(13)) == 12)
        #expect(table.use.heldPages == 3)
        #expect(table.contradiction == nil)
    }

    @Test func thePageUsedLongestAgoGoesFirstAndNeverBeforeItsContinuation() throws {
        let table = Subject(pages: 6)
        for seed in [Int32(1), 2] {
            let slot = try #require(table.open(text(9, seed), capacity: 12))
            table.compute(slot, text(9, seed))
            table.close(slot)
        }
        table.close(try #require(table.open(text(9, 1), capacity: 12)))  // 1 is used again
        #expect(table.use.keptPages == 4 && table.free == 6)
        let other = try #require(table.open(text(20, 3), capacity: 20))
        table.compute(other, text(20, 3))
        #expect(table.count(try #require(table.open(text(9, 1), capacity: 4))) == 4, "the beginning of 1 is the last to stay")
        #expect(table.open(text(9, 2), capacity: 4) == nil)
        #expect(table.contradiction == nil)
    }

    @Test func keptPagesCountAsFreeAndPagesInUseDoNot() throws {
        let table = Subject(pages: 4)
        let first = try #require(table.open(text(16), capacity: 16))
        table.compute(first, text(16))
        #expect(table.free == 0 && table.open(text(5, 1), capacity: 5) == nil)
        table.close(first)
        #expect(table.free == 4)
        let second = try #require(table.open(text(16, 1), capacity: 16))
        table.compute(second, text(16, 1))
        #expect(table.use.heldPages == 4 && table.use.keptPages == 0)
        #expect(table.contradiction == nil)
    }

    @Test func sharedPagesCostNothingAtAdmission() throws {
        let table = Subject(pages: 5)
        let first = try #require(table.open(text(17), capacity: 17))
        table.compute(first, text(17))
        #expect(table.free == 0)
        table.truncate(first, to: 16)
        #expect(table.free == 1)
        #expect(table.open(text(17, 1), capacity: 17) == nil)
        let second = try #require(table.open(text(17), capacity: 17), "four of its five pages are there already")
        #expect(table.count(second) == 16 && table.free == 0)
    }

    @Test func rewindingKeepsThePromiseAndTruncatingDoesNot() throws {
        let table = Subject(pages: 8)
        let slot = try #require(table.open(text(3), capacity: 20))
        table.compute(slot, text(3))
        _ = table.table.take(slot, tokens: 8)
        table.table.advance(slot, by: 8)
        table.rewind(slot, to: 5)
        #expect(table.count(slot) == 5 && table.free == 3)
        table.truncate(slot, to: 5)
        #expect(table.free == 6)
        #expect(table.contradiction == nil)
    }

    @Test func whatFollowsARewindIsNotWrittenIntoKeptPages() throws {
        let table = Subject(pages: 8)
        let slot = try #require(table.open(text(9), capacity: 12))
        table.compute(slot, text(9))
        let before = table.pages(slot, 8)
        table.rewind(slot, to: 4)
        table.compute(slot, text(4) + text(5, 1))
        #expect(table.pages(slot, 8) != before)
        #expect(table.contradiction == nil)
    }

    @Test func onlyPagesThatWereTakenAreTouched() throws {
        let table = Subject(pages: 100)
        let slot = try #require(table.open(text(10), capacity: 300))
        #expect(table.use.promisedPages == 75 && table.use.touchedPages == 0)
        table.compute(slot, text(10))
        #expect(table.use.promisedPages == 72 && table.use.touchedPages == 3 && table.use.heldPages == 3)
        table.close(slot)
        #expect(table.use.keptPages == 2 && table.use.touchedPages == 3)
        table.forget()
        #expect(table.use.keptPages == 0 && table.free == 100)
        #expect(table.contradiction == nil)
    }

    /// Random sequences over few tokens, so that beginnings are often the same: after every operation each page is in exactly
    /// one place and counts its holders, and what a sequence adopts is what was computed for its very tokens.
    @Test(arguments: 1...60)
    func randomOperationsNeverLeakOrShareWrongly(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let table = Subject(pages: Int.random(in: 1...24, using: &random), context: 60)
        var written: [Int32: [Int32]] = [:]  // page: the tokens from the beginning to its end, as last computed
        var open: [(slot: SequenceSlot, tokens: [Int32], capacity: Int)] = []
        func note(_ slot: SequenceSlot, _ tokens: [Int32]) {
            let pages = table.pages(slot, tokens.count)
            for (place, page) in pages.enumerated() { written[page] = Array(tokens[..<min(tokens.count, place * 4 + 4)]) }
        }
        for step in 0..<400 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0...3:
                let tokens = (0..<Int.random(in: 1...40, using: &random)).map { _ in Int32.random(in: 0...1, using: &random) }
                let prompt = Int.random(in: 0..<3, using: &random) == 0 ? tokens : [Int32](repeating: 7, count: tokens.count)
                let capacity = prompt.count + Int.random(in: 0...20, using: &random)
                let free = table.free
                guard let slot = table.open(prompt, capacity: capacity) else {
                    #expect((capacity + 3) / 4 > free, "seed \(seed) step \(step): refused although there was room")
                    continue
                }
                let held = table.count(slot)
                #expect(held < prompt.count && held % 4 == 0)
                for (place, page) in table.pages(slot, held).enumerated() {
                    #expect(
                        written[page] == Array(prompt[..<(place * 4 + 4)]), "seed \(seed) step \(step)")
                }
                open.append((slot, Array(prompt[..<held]), capacity))
            case 4...6:
                guard let index = open.indices.randomElement(using: &random) else { continue }
                let more = Int.random(in: 0...max(0, open[index].capacity - open[index].tokens.count), using: &random)
                open[index].tokens += (0..<more).map { _ in Int.random(in: 0..<4, using: &random) == 0 ? 1 : 7 }
                table.compute(open[index].slot, open[index].tokens)
                note(open[index].slot, open[index].tokens)
            case 7:
                guard let index = open.indices.randomElement(using: &random) else { continue }
                // Computed but not final: cut again before it is kept.
                let (slot, tokens, capacity) = open[index]
                let more = Int.random(in: 0...max(0, capacity - tokens.count), using: &random)
                _ = table.table.take(slot, tokens: more)
                table.table.advance(slot, by: more)
                for (place, page) in table.pages(slot, tokens.count + more).enumerated() where place * 4 + 4 > tokens.count {
                    written[page] = nil
                }
                table.rewind(slot, to: tokens.count)
            case 8:
                guard let index = open.indices.randomElement(using: &random) else { continue }
                let longer = open[index].tokens + [7, 7, 7, 7, 7, 7, 7, 7, 7]
                let held = table.adopt(open[index].slot, longer)
                for (place, page) in table.pages(open[index].slot, held).enumerated() where place * 4 + 4 <= held {
                    #expect(written[page] == Array(longer[..<(place * 4 + 4)]), "seed \(seed) step \(step)")
                }
                open[index].tokens = Array(longer[..<held])
            default:
                guard let index = open.indices.randomElement(using: &random) else { continue }
                table.close(open.remove(at: index).slot)
            }
            let problem = table.contradiction
            #expect(problem == nil, "seed \(seed) step \(step)")
            if problem != nil { return }
        }
        for sequence in open { table.close(sequence.slot) }
        #expect(table.free == table.use.totalPages && table.contradiction == nil)
        table.forget()
        #expect(table.use.keptPages == 0 && table.contradiction == nil)
    }
}
