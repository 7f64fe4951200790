import CKernels
import TestSupport
import Testing

#if canImport(Glibc)
    internal import Glibc
#endif

extension KernelTests {
    @Suite struct AttentionTests {
        /// One attention layer, a sequence, and how to cut it.
        struct Case {
            var heads = 4, kvHeads = 2, keySize = 32, valueSize = 32
            var type = CK_CACHE_F16
            var window = 0
            var softcap: Float = 0
            var length = 70
            let scale: Float = 0.3

            var summary: String {
                "heads \(heads)/\(kvHeads) sizes \(keySize)/\(valueSize) type \(type.rawValue) window \(window) cap \(softcap) length \(length)"
            }
            var layer: ck_cache_layer {
                ck_cache_layer(
                    base: nil, page_stride: ck_cache_page_bytes(type, Int32(kvHeads), Int32(keySize), Int32(valueSize)) + 192,
                    type: UInt8(type.rawValue), kv_heads: Int32(kvHeads), key_size: Int32(keySize), value_size: Int32(valueSize))
            }
        }

        /// Queries, keys and values of a sequence, row by row.
        struct Sequence {
            var queries: [Float], keys: [Float], values: [Float]
            init(_ of: Case, _ random: inout SeededRandom) {
                queries = random.units(of.length * of.heads * of.keySize).map { 2 * $0 }
                keys = random.units(of.length * of.kvHeads * of.keySize).map { 2 * $0 }
                values = random.units(of.length * of.kvHeads * of.valueSize)
            }
        }

        /// Runs sequences side by side, each cut into chunks of its own; pages are dealt in disorder, and hold NaN before.
        static func run(_ of: Case, _ sequences: [Sequence], chunks: [Int], members: Int, random: inout SeededRandom) -> [[Float]] {
            let team = Team(members)
            var layer = of.layer
            let pagesEach = (of.length + Int(CK_PAGE_TOKENS) - 1) / Int(CK_PAGE_TOKENS)
            let memory = Block<UInt8>(layer.page_stride * pagesEach * sequences.count)
            for index in 0..<memory.count { memory.start[index] = 0xFF }
            layer.base = UnsafeMutableRawPointer(memory.start)
            let order = Array(0..<pagesEach * sequences.count).shuffled(using: &random)
            let tables = sequences.indices.map { Block(order[$0 * pagesEach..<($0 + 1) * pagesEach].map { Int32($0) }) }
            var shape = ck_attention_shape(heads: Int32(of.heads), scale: of.scale, softcap: of.softcap, window: Int32(of.window))
            let scratch = Block<UInt8>(ck_attention_scratch(Int32(members), &shape, &layer))
            var out = sequences.map { _ in [Float]() }
            while out.contains(where: { $0.count < of.length * of.heads * of.valueSize }) {
                var runs: [ck_run] = []
                var owners: [Int] = []
                var rows = 0
                var queries: [Float] = []
                var keys: [Float] = []
                var values: [Float] = []
                for (index, sequence) in sequences.enumerated() {
                    let position = out[index].count / (of.heads * of.valueSize)
                    let count = min(chunks[index], of.length - position)
                    if count <= 0 { continue }
                    runs.append(ck_run(pages: tables[index].start, position: Int32(position), tokens: Int32(count), first_row: Int32(rows)))
                    owners.append(index)
                    rows += count
                    queries += sequence.queries[position * of.heads * of.keySize..<(position + count) * of.heads * of.keySize]
                    keys += sequence.keys[position * of.kvHeads * of.keySize..<(position + count) * of.kvHeads * of.keySize]
                    values += sequence.values[position * of.kvHeads * of.valueSize..<(position + count) * of.kvHeads * of.valueSize]
                }
                ck_cache_store(team.team, &layer, keys, values, runs, Int32(runs.count))
                let result = Block<Float>(rows * of.heads * of.valueSize)
                ck_attention(team.team, &shape, &layer, queries, runs, Int32(runs.count), result.start, scratch.start)
                for (run, owner) in zip(runs, owners) {
                    let start = Int(run.first_row) * of.heads * of.valueSize
                    let count = Int(run.tokens) * of.heads * of.valueSize
                    out[owner] += result.elements[start..<start + count]
                }
            }
            return out
        }

        /// One output vector in f64, straight from the definition.
        static func plain(_ of: Case, _ sequence: Sequence, position: Int, head: Int) -> [Double] {
            let kvHead = head / (of.heads / of.kvHeads)
            func row(_ values: [Float], _ at: Int, _ size: Int, block: Int) -> [Double] {
                Self.cached(values[(at * of.kvHeads + kvHead) * size..<(at * of.kvHeads + kvHead + 1) * size], of.type, block: block)
            }
            let first = of.window > 0 ? max(0, position - of.window + 1) : 0
            var weights = (first...position).map { at -> Double in
                let key = row(sequence.keys, at, of.keySize, block: 32)
                var score = 0.0
                for d in 0..<of.keySize { score += Double(sequence.queries[(position * of.heads + head) * of.keySize + d]) * key[d] }
                score *= Double(of.scale)
                return of.softcap == 0 ? score : Double(of.softcap) * tanh(score / Double(of.softcap))
            }
            let highest = weights.max()!
            weights = weights.map { exp($0 - highest) }
            let sum = weights.reduce(0, +)
            var result = [Double](repeating: 0, count: of.valueSize)
            for (at, weight) in zip(first...position, weights) {
                for (d, value) in row(sequence.values, at, of.valueSize, block: 64).enumerated() {
                    result[d] += weight / sum * value
                }
            }
            return result
        }

        /// What the cache makes of numbers; bytes share a half-precision scale by the block.
        static func cached(_ values: ArraySlice<Float>, _ type: ck_cache, block: Int) -> [Double] {
            if type == CK_CACHE_F32 { return values.map(Double.init) }
            if type == CK_CACHE_F16 { return values.map { Double(Float16($0)) } }
            return stride(from: values.startIndex, to: values.endIndex, by: block).flatMap { start in
                let part = values[start..<min(start + block, values.endIndex)]
                let scale = Float(Float16((part.map(\.magnitude).max() ?? 0) / 127))
                return part.map { scale > 0 ? Double(max(-127, min(127, ($0 * (1 / scale)).rounded(.toNearestOrEven)))) * Double(scale) : 0 }
            }
        }

        static let cases: [Case] = {
            var cases = [Case()]
            for length in [1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 256, 300] { cases.append(Case(length: length)) }
            for size in [8, 16, 33, 48, 64, 80, 128] { cases.append(Case(keySize: size, valueSize: size)) }
            cases.append(Case(keySize: 48, valueSize: 16))
            for (heads, kvHeads) in [(1, 1), (4, 4), (8, 1), (13, 1), (26, 2), (9, 3)] {
                cases.append(Case(heads: heads, kvHeads: kvHeads))
            }
            for window in [1, 2, 31, 32, 33, 64, 100, 128, 129, 200] { cases.append(Case(window: window, length: 290)) }
            for softcap: Float in [1, 20, 50] { cases.append(Case(softcap: softcap)) }
            cases.append(Case(window: 40, softcap: 5, length: 200))
            return [CK_CACHE_F16, CK_CACHE_F32, CK_CACHE_Q8].flatMap { type in
                cases.map {
                    var of = $0
                    of.type = type
                    return of
                }
            }
        }()

        @Test(arguments: instructionSets)
        func itAgreesWithThePlainSoftmax(_ name: String) {
            var random = SeededRandom(seed: seed)
            for of in Self.cases {
                let sequence = Sequence(of, &random)
                let found = on(name) { Self.run(of, [sequence], chunks: [of.length], members: 1, random: &random)[0] }
                let positions = Set([0, of.length / 2, of.length - 1, random.below(of.length)])
                for position in positions {
                    for head in 0..<of.heads {
                        let expected = Self.plain(of, sequence, position: position, head: head)
                        let start = (position * of.heads + head) * of.valueSize
                        let worst = zip(expected, found[start...]).map { abs($0 - Double($1)) }.max()!
                        // Values within ±1, scores within ±40. Bytes meet queries of 14 bits: scores are off by some 1e-4.
                        #expect(worst < (of.type == CK_CACHE_Q8 ? 1e-3 : 2e-5), "\(of.summary) position \(position) head \(head)")
                    }
                }
            }
        }

        @Test(arguments: instructionSets.dropLast())
        func itAgreesWithThePlainTableBitForBit(_ name: String) {
            var random = SeededRandom(seed: seed)
            for of in Self.cases {
                let sequence = Sequence(of, &random)
                let expected = on("scalar") { Self.run(of, [sequence], chunks: [of.length], members: 1, random: &random)[0] }
                let found = on(name) { Self.run(of, [sequence], chunks: [of.length], members: 2, random: &random)[0] }
                #expect(found.bits == expected.bits, "\(of.summary)")
            }
        }

        @Test(arguments: instructionSets)
        func aSequenceDoesNotDependOnChunksNeighboursPagesOrTeam(_ name: String) {
            var random = SeededRandom(seed: seed)
            for of in [
                Case(length: 300), Case(window: 150, length: 400), Case(heads: 13, kvHeads: 1, keySize: 16, valueSize: 16, length: 200),
                Case(heads: 3, kvHeads: 3, type: CK_CACHE_F32, softcap: 30, length: 140),
                Case(type: CK_CACHE_Q8, length: 300), Case(heads: 26, kvHeads: 2, type: CK_CACHE_Q8, window: 150, length: 400),
            ] {
                let sequences = (0..<3).map { _ in Sequence(of, &random) }
                on(name) {
                    let whole = sequences.map { Self.run(of, [$0], chunks: [of.length], members: 1, random: &random)[0].bits }
                    for members in 1...3 {
                        let found = Self.run(
                            of, sequences, chunks: [1, 5 + random.below(90), of.length], members: members, random: &random)
                        for index in 0..<3 { #expect(found[index].bits == whole[index], "\(of.summary) sequence \(index) team \(members)") }
                    }
                    let stepwise = Self.run(of, [sequences[0]], chunks: [1], members: 2, random: &random)[0]  // splits over blocks
                    #expect(stepwise.bits == whole[0], "\(of.summary) token by token")
                }
            }
        }

        /// Deep enough that spans of 512 positions are shared out, and that windows begin within one.
        @Test(arguments: instructionSets.dropLast(), [CK_CACHE_F16, CK_CACHE_F32, CK_CACHE_Q8].map(\.rawValue))
        func aLongSequenceIsTheSameTokenByToken(_ name: String, _ type: UInt32) {
            var random = SeededRandom(seed: seed)
            for window in [0, 900] {
                let of = Case(heads: 6, kvHeads: 3, keySize: 16, valueSize: 16, type: ck_cache(type), window: window, length: 1600)
                let sequence = Sequence(of, &random)
                on(name) {
                    let whole = Self.run(of, [sequence], chunks: [of.length], members: 1, random: &random)[0].bits
                    for members in 1...3 {
                        let stepwise = Self.run(of, [sequence], chunks: [1], members: members, random: &random)[0].bits
                        #expect(stepwise == whole, "\(of.summary) team \(members)")
                    }
                    let few = Self.run(of, [sequence, sequence], chunks: [5, 700], members: 2, random: &random)
                    #expect(few[0].bits == whole && few[1].bits == whole, "\(of.summary) in chunks")
                }
            }
        }

        @Test(arguments: [CK_CACHE_F16, CK_CACHE_Q8].map(\.rawValue))
        func valuesBeyondWhatIsCachedStayFinite(_ type: UInt32) {
            var random = SeededRandom(seed: seed)
            let of = Case(type: ck_cache(type), length: 3)
            let most: Float = of.type == CK_CACHE_F16 ? 65504 * 1.000001 : 127 * 65504 * 1.0001  // weights of 14 bits
            for factor: Float in [1e6, 1e9, .infinity] {
                var sequence = Sequence(of, &random)
                sequence.values = sequence.values.map { $0 * factor }
                for name in instructionSets {
                    let found = on(name) { Self.run(of, [sequence], chunks: [1], members: 1, random: &random)[0] }
                    #expect(found.allSatisfy { $0.magnitude <= most }, "\(name)")
                }
            }
        }

        @Test func aHeadWithoutMagnitudeIsZeroInBytes() {
            var random = SeededRandom(seed: seed)
            let of = Case(type: CK_CACHE_Q8, length: 40)
            var sequence = Sequence(of, &random)
            sequence.values = sequence.values.map { $0 * 1e-30 }
            sequence.queries = sequence.queries.map { _ in 0 }
            for name in instructionSets {
                #expect(on(name) { Self.run(of, [sequence], chunks: [40], members: 1, random: &random)[0] }.allSatisfy { $0 == 0 })
            }
        }
    }
}
