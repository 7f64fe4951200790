import Compute
import Testing
import Weights

/// Tensors that need fewer scales than their format keeps.
@Suite struct ScaleSurveyTests {
    /// The offset of a group's codes: any, or −2^(bits − 1) · scale exactly.
    private enum Offsets { case any, centred }

    /// Rows × columns of one affine format, with scales that agree in runs of `run` groups.
    private static func planes(
        _ format: Affine, rows: Int, columns: Int, _ offsets: Offsets, run: Int, random: inout SplitMix
    ) -> [[UInt8]] {
        let groups = columns / format.group
        let codes = (0..<rows * columns * format.bits / 8).map { _ in UInt8.random(in: 0...255, using: &random) }
        var scales: [UInt8] = []
        var shifts: [UInt8] = []
        var last: (scale: [UInt8], offset: [UInt8]) = ([], [])
        for _ in 0..<rows {
            for group in 0..<groups {
                if group % run == 0 {
                    // Few enough bits that every multiple by a power of two is a number of the same kind.
                    let scale = Float(Int.random(in: 1...120, using: &random)) * (Bool.random(using: &random) ? 0x1p-13 : -0x1p-13)
                    let middle = Float(1 << (format.bits - 1))
                    let offset = offsets == .centred ? -middle * scale : Float(Int.random(in: -120...120, using: &random)) * 0x1p-10
                    last = (number(scale, format.scale), number(offset, format.scale))
                }
                scales += last.scale
                shifts += last.offset
            }
        }
        return [codes, scales, shifts]
    }

    private static func number(_ value: Float, _ kind: Packing.Number) -> [UInt8] {
        switch kind {
        case .f32: value.bitPattern.littleEndianBytes
        case .f16: Float16(value).bitPattern.littleEndianBytes
        case .bf16: UInt16(value.bitPattern >> 16).littleEndianBytes
        }
    }

    /// A model whose matrices are made by `planes`.
    private static func model(
        _ format: Affine, _ offsets: Offsets, run: Int, change: (inout [[UInt8]]) -> Void = { _ in }
    ) -> MemorySource {
        var source = RandomModel.all[0].wide(format).huggingFace()
        var random = SplitMix(seed: 5)
        for (name, record) in source.records.sorted(by: { $0.key < $1.key }) where record.shape.count == 2 {
            var parts = planes(format, rows: record.rows, columns: record.columns, offsets, run: run, random: &random)
            change(&parts)
            source.add(name, record.shape, format, planes: parts)
        }
        return source
    }

    private static func executed(_ source: MemorySource) throws -> Set<String> {
        let summary = try ModelSummary(source, options: ModelOptions(threads: 2))
        return Set(summary.tensors.filter { $0.shape.count == 2 }.map(\.executedForm))
    }

    private static let formats = Affine.all.compactMap { $0 as? Affine }.filter { [4, 8].contains($0.bits) }

    @Test(arguments: formats.map(\.name))
    func offsetsThatAreMultiplesOfTheScaleBecomeAConstantZero(_ name: String) throws {
        let format = try #require(Self.formats.first { $0.name == name })
        let plain = "\(format.bits)-bit codes, groups of \(format.group), \(format.scale.rawValue) scales"
        #expect(try Self.executed(Self.model(format, .any, run: 1)) == [plain + " and offsets"])
        // An f32 scale times a code is rounded: there the order of the sum shows.
        #expect(try Self.executed(Self.model(format, .centred, run: 1)) == [plain + (format.scale == .f32 ? " and offsets" : "")])
    }

    @Test(arguments: formats.map(\.name), [2, 4])
    func groupsThatAgreeBecomeOne(_ name: String, _ run: Int) throws {
        let format = try #require(Self.formats.first { $0.name == name })
        let wide = min(128, format.group * run)
        #expect(
            try Self.executed(Self.model(format, .any, run: run))
                == ["\(format.bits)-bit codes, groups of \(wide), \(format.scale.rawValue) scales and offsets"])
    }

    /// One scale or offset anywhere in a tensor that is off by its last bit.
    @Test(arguments: [0, 1, 2, 3])
    func oneDifferenceAnywhereKeepsAllScales(_ place: Int) throws {
        let format = try #require(Affine.make(bits: 4, group: 32, scale: .f16))
        func off(_ plane: Int) -> (inout [[UInt8]]) -> Void {
            { parts in parts[plane][parts[plane].count - 8 + 2 * place] ^= 1 }
        }
        let own = "4-bit codes, groups of 32, f16 scales and offsets"
        #expect(try Self.executed(Self.model(format, .centred, run: 1, change: off(2))) == [own])
        for plane in [1, 2] { #expect(try Self.executed(Self.model(format, .any, run: 2, change: off(plane))) == [own]) }
    }

    @Test func aDifferenceBetweenPairsLeavesPairs() throws {
        let format = try #require(Affine.make(bits: 4, group: 32, scale: .f16))
        let source = Self.model(format, .any, run: 4) { parts in
            for byte in [parts[1].count - 4, parts[1].count - 2] { parts[1][byte] ^= 1 }
        }
        #expect(try Self.executed(source) == ["4-bit codes, groups of 64, f16 scales and offsets"])
    }

    @Test func whatIsNoNumberIsLeftAsItIs() throws {
        let format = try #require(Affine.make(bits: 4, group: 32, scale: .f16))
        for (scale, offset): (UInt16, UInt16) in [(0x7C00, 0xFC00), (0x7E00, 0x7E00), (0x7BFF, 0xFC00)] {
            let source = Self.model(format, .centred, run: 1) { parts in
                parts[1].replaceSubrange(0..<2, with: scale.littleEndianBytes)
                parts[2].replaceSubrange(0..<2, with: offset.littleEndianBytes)
            }
            #expect(try Self.executed(source) == ["4-bit codes, groups of 32, f16 scales and offsets"])
        }
        // Zero has two signs and is exact with both.
        let source = Self.model(format, .centred, run: 1) { parts in
            parts[1].replaceSubrange(0..<2, with: UInt16(0).littleEndianBytes)
            parts[2].replaceSubrange(0..<2, with: UInt16(0).littleEndianBytes)
        }
        #expect(try Self.executed(source) == ["4-bit codes, groups of 32, f16 scales"])
    }

    /// The rows of the embedding, read back from the panels, are the decoded rows to the last bit.
    @Test(arguments: formats.map(\.name), [1, 2, 4])
    func theWeightsAreTheSameNumbers(_ name: String, _ run: Int) throws {
        let format = try #require(Self.formats.first { $0.name == name })
        for offsets in [Offsets.any, .centred] {
            let source = Self.model(format, offsets, run: run)
            let model = try Model.load(source, options: ModelOptions(threads: 2))
            let record = try #require(source.records.values.first { $0.shape == [80, 256] })
            for row in [0, 17, 79] {
                var expected = [Float](repeating: 0, count: 256)
                expected.withUnsafeMutableBufferPointer { format.decode(source.bytes(of: record, row: row), into: $0) }
                #expect(model.embeddingRow(row) == expected)
            }
        }
    }

    /// ggml's blocks of the same codes, made from an affine checkpoint.
    private static func blocks(
        _ source: MemorySource, _ format: any QuantFormat, _ pack: (_ codes: [UInt8], _ scale: [UInt8], _ offset: [UInt8]) -> [UInt8]
    ) -> MemorySource {
        var moved = source
        for (name, record) in source.records where record.format is Affine {
            guard let affine = record.format as? Affine else { continue }
            let planes = source.bytes(record)
            var bytes: [UInt8] = []
            for block in 0..<record.rows * record.columns / 32 {
                let group = block * 32 / affine.group
                let length = 32 * affine.bits / 8
                let stored = planes[0][block * length..<(block + 1) * length]
                let codes = affine.bits == 8 ? Array(stored) : stored.flatMap { [$0 & 15, $0 >> 4] }
                bytes += pack(codes, Array(planes[1][2 * group..<2 * group + 2]), Array(planes[2][2 * group..<2 * group + 2]))
            }
            moved.add(name, record.shape, format, planes: [bytes])
        }
        return moved
    }

    private static func nibbles(_ codes: [UInt8]) -> [UInt8] { (0..<16).map { codes[$0] | codes[$0 + 16] << 4 } }

    private static func logits(_ source: MemorySource) throws -> [[Float]] {
        try Model.load(source, options: ModelOptions(threads: 2)).logits(someTokens(9, vocabulary: 80))
    }

    @Test(arguments: [32, 64])
    func theSameCodesFromBothFormatsGiveTheSameLogitsBitForBit(_ group: Int) throws {
        let four = try #require(Affine.make(bits: 4, group: group, scale: .f16))
        let eight = try #require(Affine.make(bits: 8, group: group, scale: .f16))

        let centred = Self.model(four, .centred, run: 1)
        let inBlocks = Self.blocks(centred, Q4_0()) { codes, scale, _ in scale + Self.nibbles(codes) }
        #expect(try Self.executed(inBlocks) == ["4-bit codes, groups of \(group), f16 scales"])
        #expect(try Self.logits(centred) == Self.logits(inBlocks))

        let shifted = Self.model(four, .any, run: 1)
        let shiftedInBlocks = Self.blocks(shifted, Q4_1()) { codes, scale, offset in scale + offset + Self.nibbles(codes) }
        #expect(try Self.executed(shiftedInBlocks) == ["4-bit codes, groups of \(group), f16 scales and offsets"])
        #expect(try Self.logits(shifted) == Self.logits(shiftedInBlocks))

        let bytes = Self.model(eight, .centred, run: 1)
        let bytesInBlocks = Self.blocks(bytes, Q8_0()) { codes, scale, _ in scale + codes.map { $0 ^ 0x80 } }
        #expect(try Self.executed(bytesInBlocks) == ["8-bit codes, groups of \(group), f16 scales"])
        #expect(try Self.logits(bytes) == Self.logits(bytesInBlocks))
    }
}
