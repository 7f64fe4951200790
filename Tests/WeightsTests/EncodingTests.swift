import Glibc
import TestSupport
import Testing
import Weights

/// One row of a format: its planes, and its parts.
private struct Row {
    let format: any PackableFormat
    let columns: Int
    var planes: [[UInt8]]

    init(_ format: any PackableFormat, columns: Int) {
        self.format = format
        self.columns = columns
        planes = (format.rowBytes(columns: columns) ?? []).map { Array(repeating: 0, count: $0) }
        while planes.count < 3 { planes.append([]) }
    }

    /// Calls with the row's bytes and with room for its parts.
    mutating func with(_ body: (MutableRowBytes, UnpackedRow) -> Void) {
        guard case .codes(_, let group, let scale, let hasOffset, _, _, _) = format.packing else { return }
        let supers = scale == .twoLevel ? columns / 256 : 0
        var codes = [UInt8](repeating: 0, count: columns)
        var scales = [UInt32](repeating: 0, count: columns / group)
        var offsets = hasOffset ? scales : []
        var superScales = [UInt16](repeating: 0, count: supers)
        var superOffsets = hasOffset ? superScales : []
        var first = planes[0], second = planes[1], third = planes[2]
        first.withUnsafeMutableBytes { first in
            second.withUnsafeMutableBytes { second in
                third.withUnsafeMutableBytes { third in
                    codes.withUnsafeMutableBufferPointer { codes in
                        scales.withUnsafeMutableBufferPointer { scales in
                            offsets.withUnsafeMutableBufferPointer { offsets in
                                superScales.withUnsafeMutableBufferPointer { superScales in
                                    superOffsets.withUnsafeMutableBufferPointer { superOffsets in
                                        body(
                                            MutableRowBytes(codes: first, scales: second, offsets: third),
                                            UnpackedRow(
                                                codes: codes, scales: scales, offsets: offsets, superScales: superScales,
                                                superOffsets: superOffsets))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        planes = [first, second, third]
    }

    mutating func round(_ values: [Float], importance: [Float] = []) {
        guard let format = format as? any WritableFormat else { return }
        values.withUnsafeBufferPointer { values in
            importance.withUnsafeBufferPointer { importance in
                with { bytes, parts in
                    format.round(values, importance: importance, into: parts)
                    format.pack(parts, into: bytes)
                }
            }
        }
    }

    mutating func repack() {
        let format = format
        with { bytes, parts in
            format.unpack(
                RowBytes(
                    codes: UnsafeRawBufferPointer(bytes.codes), scales: UnsafeRawBufferPointer(bytes.scales),
                    offsets: UnsafeRawBufferPointer(bytes.offsets)), into: parts)
            bytes.codes.initializeMemory(as: UInt8.self, repeating: 0)
            format.pack(parts, into: bytes)
        }
    }

    var values: [Float] {
        var values = [Float](repeating: 0, count: columns)
        values.withUnsafeMutableBufferPointer { values in
            planes[0].withUnsafeBytes { first in
                planes[1].withUnsafeBytes { second in
                    planes[2].withUnsafeBytes { third in
                        format.decode(RowBytes(codes: first, scales: second, offsets: third), into: values)
                    }
                }
            }
        }
        return values
    }
}

private func contents(_ name: String) throws -> [UInt8] {
    let file = try Storage(mapping: "\(Corpus.testdata)/encode/\(name)")
    return Array(file.bytes)
}

@Suite struct EncodingTests {
    static let rows = 48, columns = 512
    static let packable = QuantFormats.all.compactMap { $0 as? any PackableFormat }

    private static func values() throws -> [[Float]] {
        let bytes = try contents("values.f32")
        let all = bytes.withUnsafeBytes { raw in
            (0..<rows * columns).map { Float(bitPattern: raw.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)) }
        }
        return (0..<rows).map { Array(all[$0 * columns..<($0 + 1) * columns]) }
    }

    @Test func packingUndoesUnpackingForEveryFormatThatIsWritten() {
        var random = SeededRandom(seed: 5)
        #expect(Self.packable.count >= 8)
        for format in Self.packable {
            var row = Row(format, columns: 512)
            for _ in 0..<50 {
                for plane in row.planes.indices { for index in row.planes[plane].indices { row.planes[plane][index] = UInt8.random(in: 0...255, using: &random) } }
                if format.name == "NVFP4" {  // the bits of a scale that count for nothing do not come back
                    for block in 0..<8 { for index in 0..<4 { row.planes[0][block * 36 + index] = UInt8.random(in: 0..<127, using: &random) } }
                }
                let given = row.planes
                row.repack()
                #expect(row.planes == given, "\(format.name)")
            }
        }
    }

    /// ggml's reference quantiser is plain arithmetic for these types.
    @Test(arguments: ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]) func blocksAreTheReferencesBitForBit(_ name: String) throws {
        let format = try #require(Self.packable.first { $0.name == name })
        let expected = try contents("\(name).bin")
        for (index, values) in try Self.values().enumerated() {
            var row = Row(format, columns: Self.columns)
            row.round(values)
            let size = row.planes[0].count
            // In a block of zeros the sign of its scale means nothing.
            #expect(row.planes[0] == Array(expected[index * size..<(index + 1) * size]), "row \(index)")
        }
    }

    @Test(
        arguments: [
            (2, 32, Packing.Number.f32), (3, 64, .f32), (4, 32, .f16), (4, 64, .f32), (4, 64, .bf16), (5, 64, .f32), (6, 128, .f16), (8, 64, .f32),
            (8, 32, .bf16),
        ])
    func affineCodesAndScalesAreMLXsBitForBit(_ bits: Int, _ group: Int, _ scale: Packing.Number) throws {
        let format = try #require(Affine.make(bits: bits, group: group, scale: scale))
        let expected = try contents("affine\(bits)-g\(group)-\(scale.rawValue).bin")
        let sizes = try #require(format.rowBytes(columns: Self.columns))
        for (index, values) in try Self.values().enumerated() {
            var row = Row(format, columns: Self.columns)
            // MLX rounds the weights of a model in the type that it computes in.
            row.round(values.map { HalfPrecision.float(HalfPrecision.nearest($0, as: scale), as: scale) })
            var start = 0
            for plane in 0..<3 {
                let at = start + index * sizes[plane]
                #expect(row.planes[plane] == Array(expected[at..<at + sizes[plane]]), "row \(index), plane \(plane)")
                start += Self.rows * sizes[plane]
            }
        }
    }

    /// Over all rows, and in each row up to what one unlucky block can do.
    @Test(arguments: ["Q4_K", "Q5_K", "Q6_K"]) func kTypesLoseNoMoreThanTheReference(_ name: String) throws {
        let format = try #require(Self.packable.first { $0.name == name })
        let expected = try contents("\(name).bin")
        var ours = 0.0, theirs = 0.0
        for (index, values) in try Self.values().enumerated() {
            var row = Row(format, columns: Self.columns)
            row.round(values)
            var reference = Row(format, columns: Self.columns)
            let size = reference.planes[0].count
            reference.planes[0] = Array(expected[index * size..<(index + 1) * size])
            let scale = Swift.max(values.reduce(0.0) { $0 + Double($1 * $1) }, 1e-30)
            let mine = zip(row.values, values).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) } / scale
            let other = zip(reference.values, values).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) } / scale
            #expect(mine <= other * 1.1 + 1e-12, "row \(index): \(mine) against \(other)")
            ours += mine
            theirs += other
        }
        print("\(name): sum of relative squared errors \(ours), the reference's \(theirs)")
        #expect(ours <= theirs)
    }

    @Test func numbersThatAreNoneDoNotTrap() throws {
        for format in Self.packable where format is any WritableFormat {
            for odd in [Float.nan, .infinity, -.infinity, 1e38, 1e-45] {
                var values = [Float](repeating: 1, count: 512)
                values[7] = odd
                values[300] = -odd
                var row = Row(format, columns: 512)
                row.round(values)
                row.round(values, importance: values)
                row.round(values, importance: Array(repeating: 1, count: 512))
                row.round(values, importance: Array(repeating: 0, count: 512))
            }
        }
    }

    /// What matters more is kept more exactly.
    @Test(arguments: ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"])
    func importanceMovesTheErrorToWhereItMattersLess(_ name: String) throws {
        let format = try #require(Self.packable.first { $0.name == name })
        var random = SeededRandom(seed: 12)
        let importance = (0..<Self.columns).map { _ in Float.random(in: 0...1, using: &random) < 0.1 ? 100 : Float.random(in: 0.01...1, using: &random) }
        func error(_ found: [Float], _ values: [Float]) -> Double {
            zip(zip(found, values), importance).reduce(0.0) { sum, pair in
                let difference = Double(pair.0.0 - pair.0.1)
                return sum + Double(pair.1) * difference * difference
            }
        }
        var plain = 0.0, weighted = 0.0
        for (index, values) in try Self.values().enumerated() {
            var row = Row(format, columns: Self.columns)
            row.round(values)
            let scale = Swift.max(values.reduce(0.0) { $0 + Double($1 * $1) }, 1e-30)
            let without = error(row.values, values) / scale
            row.round(values, importance: importance)
            let with = error(row.values, values) / scale
            // The 32-blocks' search begins with the reference's choice.
            if format.valuesPerBlock == 32 { #expect(with <= without * 1.0001 + 1e-12, "row \(index)") }
            if index < 16 { continue }  // extremes, beside which no other row would count
            plain += without
            weighted += with
        }
        print("\(name): weighted squared error \(weighted / plain) of the one without weights")
        #expect(weighted < 0.9 * plain)
    }
}
