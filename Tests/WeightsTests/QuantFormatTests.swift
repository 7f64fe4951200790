import TestSupport
import Testing
import Weights

/// One recorded format: bytes, and what the reference decodes them to.
struct RecordedFormat: CustomStringConvertible, Sendable {
    var name: String
    var columns: Int
    var rows: Int
    var planes: [[UInt8]]
    var values: [UInt32]  // bits of f32

    var description: String { name }

    static let all: [RecordedFormat] = (try? load()) ?? []

    static func load() throws -> [RecordedFormat] {
        let folder = Corpus.testdata + "/quants"
        let list = try JSONValue.parse(try #require(Corpus.bytes(of: folder + "/quants.json")))
        guard case .array(let entries)? = list["formats"] else { return [] }
        return try entries.map { entry in
            guard case .string(let file)? = entry["file"], case .string(let name)? = entry["format"],
                case .int(let rows)? = entry["rows"], case .int(let columns)? = entry["columns"],
                case .array(let lengths)? = entry["planes"]
            else { throw JSONError(at: 0, "quants.json has another shape") }
            var rest = try #require(Corpus.bytes(of: folder + "/" + file))[...]
            var planes: [[UInt8]] = []
            for case .int(let length) in lengths {
                planes.append(Array(rest.prefix(length)))
                rest = rest.dropFirst(length)
            }
            let bytes = Array(rest)
            let values = stride(from: 0, to: bytes.count, by: 4).map { at in
                (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) }
            }
            return RecordedFormat(name: name, columns: columns, rows: rows, planes: planes, values: values)
        }
    }
}

/// Copies planes to an odd address and hands them to the body as one row, or as the planes that this row shares with others.
func withRow<Result>(_ planes: [[UInt8]], _ row: Int = 0, _ body: (RowBytes) -> Result) -> Result {
    let shifted = (0..<3).map { index in [0] + (index < planes.count ? planes[index] : []) }
    return shifted[0].withUnsafeBytes { codes in
        shifted[1].withUnsafeBytes { scales in
            shifted[2].withUnsafeBytes { offsets in
                func rest(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[1...]) }
                return body(RowBytes(codes: rest(codes), scales: rest(scales), offsets: rest(offsets), row: row))
            }
        }
    }
}

/// The bytes that `decode` gets for a row.
func planes(_ planes: [[UInt8]], ofRow row: Int, _ format: any QuantFormat, columns: Int) throws -> [[UInt8]] {
    if format.sharesBytes { return planes }
    let sizes = try #require(format.rowBytes(columns: columns))
    return zip(planes, sizes).map { Array($0[row * $1..<(row + 1) * $1]) }
}

func decoded(_ format: any QuantFormat, _ planes: [[UInt8]], row: Int = 0, columns: Int) -> [Float] {
    var values = [Float](repeating: .nan, count: columns)
    values.withUnsafeMutableBufferPointer { buffer in withRow(planes, row) { format.decode($0, into: buffer) } }
    return values
}

/// What the packer gets, put together again by the formula of `UnpackedRow`, in f32.
func reassembled(_ format: any QuantFormat, _ planes: [[UInt8]], row: Int = 0, columns: Int) -> [Float]? {
    guard case .codes(let bits, let group, let scale, let hasOffset, let zero, let codebook, let factor) = format.packing else {
        return denseNumbers(format, planes, row: row, columns: columns)
    }
    let groups = columns / group
    var codes = [UInt8](repeating: 0xAA, count: columns)
    var scales = [UInt32](repeating: 0, count: groups), offsets = [UInt32](repeating: 0, count: hasOffset ? groups : 0)
    var superScales = [UInt16](repeating: 0, count: scale == .twoLevel ? columns / 256 : 0)
    var superOffsets = [UInt16](repeating: 0, count: scale == .twoLevel && hasOffset ? columns / 256 : 0)
    codes.withUnsafeMutableBufferPointer { codes in
        scales.withUnsafeMutableBufferPointer { scales in
            offsets.withUnsafeMutableBufferPointer { offsets in
                superScales.withUnsafeMutableBufferPointer { superScales in
                    superOffsets.withUnsafeMutableBufferPointer { superOffsets in
                        let parts = UnpackedRow(
                            codes: codes, scales: scales, offsets: offsets, superScales: superScales, superOffsets: superOffsets)
                        withRow(planes, row) { format.unpack($0, into: parts) }
                    }
                }
            }
        }
    }
    return (0..<columns).map { column in
        let index = column / group
        #expect(Int(codes[column]) < 1 << bits && (codebook.isEmpty || Int(codes[column]) < codebook.count))
        let step: Float, offset: Float?
        switch scale {
        case .flat(let number):
            step = HalfPrecision.float(scales[index], as: number)
            offset = hasOffset ? HalfPrecision.float(offsets[index], as: number) : nil
        case .twoLevel:
            func small(_ bits: UInt32) -> Float {
                let whole = Int32(bitPattern: bits)
                #expect(Int8(exactly: whole) != nil)
                return Float(whole)
            }
            step = factor * HalfPrecision.float(f16: superScales[column / 256]) * small(scales[index])
            offset = hasOffset ? -(factor * HalfPrecision.float(f16: superOffsets[column / 256]) * small(offsets[index])) : nil
        case .e8m0:
            step = 2 * factor * HalfPrecision.half(e8m0: UInt8(scales[index]))
            offset = nil
        case .e4m3:
            step = factor * HalfPrecision.float(e4m3: UInt8(scales[index]))
            offset = nil
        }
        let code = codebook.isEmpty ? Int(codes[column]) : Int(codebook[Int(codes[column])])
        let value = step * Float(code - zero)
        return offset.map { value + $0 } ?? value
    }
}

/// The numbers that a dense format is executed as, as floats.
func denseNumbers(_ format: any QuantFormat, _ planes: [[UInt8]], row: Int, columns: Int) -> [Float]? {
    guard case .dense(let number) = format.packing else { return nil }
    var bytes = [UInt8](repeating: 0xAA, count: columns * number.byteCount)
    bytes.withUnsafeMutableBytes { bytes in withRow(planes, row) { format.unpack($0, into: bytes) } }
    return (0..<columns).map { column in
        let bits = (0..<number.byteCount).reduce(UInt32(0)) { $0 | UInt32(bytes[column * number.byteCount + $1]) << UInt32(8 * $1) }
        return HalfPrecision.float(bits, as: number)
    }
}

/// The same number. A zero's sign is no part of a weight, and which of infinity and NaN a broken scale leads to is of no use.
func same(_ left: Float, _ right: Float) -> Bool {
    left.bitPattern == right.bitPattern || left == right || !left.isFinite && !right.isFinite
}

@Suite struct QuantFormatTests {
    @Test func everyFormatHasARecording() {
        #expect(RecordedFormat.all.map(\.name).sorted() == QuantFormats.all.map(\.name).sorted())
    }

    @Test(arguments: RecordedFormat.all)
    func aFormatDecodesAsTheReferenceDoes(_ recording: RecordedFormat) throws {
        let format = try #require(QuantFormats.all.first { $0.name == recording.name })
        #expect(format.planeBytes(rows: recording.rows, columns: recording.columns) == recording.planes.map(\.count))
        for row in 0..<recording.rows {
            let planes = try planes(recording.planes, ofRow: row, format, columns: recording.columns)
            let values = decoded(format, planes, row: row, columns: recording.columns)
            for (column, value) in values.enumerated() {
                let expected = Float(bitPattern: recording.values[row * recording.columns + column])
                try #require(same(value, expected), "row \(row), column \(column): \(value), not \(expected)")
            }
        }
    }

    /// Random bytes: every code, every scale, infinities and NaN among them.
    @Test(arguments: QuantFormats.all.map(\.name))
    func whatIsUnpackedIsExactlyWhatIsDecoded(_ name: String) throws {
        let format = try #require(QuantFormats.all.first { $0.name == name })
        var random = SeededRandom(seed: 7)
        for columns in [format.valuesPerBlock * 1, format.valuesPerBlock * 3] where format.name != "mxfp8" {
            for _ in 0..<200 {
                let rows = format.sharesBytes ? 32 : 1, row = Int.random(in: 0..<rows, using: &random)
                let planes = try #require(format.planeBytes(rows: rows, columns: columns)).map { count in
                    (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
                }
                let values = decoded(format, planes, row: row, columns: columns)
                let again = try #require(reassembled(format, planes, row: row, columns: columns))
                for column in 0..<columns where !same(values[column], again[column]) {
                    try #require(same(values[column], again[column]), "column \(column): \(values[column]), not \(again[column])")
                }
            }
        }
    }

    /// A new file in Quant/ that nobody has entered into the registry is named here.
    @Test func everyFileOfQuantIsInTheRegistry() {
        let files = Corpus.names(in: Corpus.packageFolder + "/Sources/Formats/Weights/Quant").compactMap { name in
            name.hasSuffix(".swift") ? String(name.dropLast(6)) : nil
        }
        let types = Set(QuantFormats.all.map { "\(type(of: $0))" })
        #expect(files.filter { !types.contains($0) } == [], "not in QuantFormats.all")
        #expect(!files.isEmpty && types.count == files.count)
    }

    @Test func typeNumbersAreThoseOfGGML() {
        let expected: [UInt32: String] = [
            0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K",
            14: "Q6_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS",
            24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
            40: "NVFP4", 41: "Q1_0", 42: "Q2_0",
        ]
        for type in UInt32(0)...500 { #expect(QuantFormats.gguf(type: type)?.name == expected[type]) }
        #expect(QuantFormats.gguf(type: .max) == nil)
    }

    @Test(arguments: [
        (4, "Q4_2"), (5, "Q4_3"), (31, "Q4_0_4_4"), (33, "Q4_0_8_8"), (36, "IQ4_NL_4_4"), (9, "Q8_1"), (15, "Q8_K"),
        (139, "IQ4_K"), (212, "Q4_K_R4"), (397, "ik_llama.cpp"), (12_345, "unknown type 12345"),
    ] as [(UInt32, String)])
    func aTypeThatIsNotReadIsRefusedByItsPublicName(_ type: UInt32, _ name: String) {
        #expect(QuantFormats.gguf(type: type) == nil)
        #expect(QuantFormats.refusal(ofGGUFType: type).problem.contains(name))
    }

    @Test func everyHalfPrecisionNumberConvertsExactly() {
        for bits in UInt16.min...UInt16.max {
            let value = HalfPrecision.float(f16: bits), expected = Self.plain(f16: bits)
            #expect(value.isNaN ? expected.isNaN : value.bitPattern == expected.bitPattern, "\(bits)")
            #expect(HalfPrecision.float(bf16: bits).bitPattern == UInt32(bits) << 16)
        }
    }

    /// sign · significand · 2^exponent, by the definition.
    private static func plain(f16 bits: UInt16) -> Float {
        let sign: Float = bits >> 15 == 1 ? -1 : 1
        let exponent = Int(bits >> 10 & 31), fraction = Float(bits & 1023)
        if exponent == 31 { return fraction == 0 ? sign * .infinity : .nan }
        func scaled(_ value: Float, _ power: Int) -> Float { Float(sign: .plus, exponent: power, significand: value) }
        return exponent == 0 ? sign * scaled(fraction, -24) : sign * scaled(1024 + fraction, exponent - 25)
    }

    @Test func rowsThatAreNoWholeBlocksHaveNoSize() {
        #expect(Q4_K().rowBytes(columns: 255) == nil)
        #expect(Q4_K().rowBytes(columns: 512) == [288])
        #expect(Q4_0().rowBytes(columns: -32) == nil)
        #expect(Dense(.f32).rowBytes(columns: .max) == nil)
        #expect(Affine.make(bits: 4, group: 64, scale: .f16)?.rowBytes(columns: 128) == [64, 4, 4])
        #expect(Affine.make(bits: 3, group: 64, scale: .f16)?.rowBytes(columns: 128) == [48, 4, 4])
        #expect(Affine.make(bits: 7, group: 64, scale: .f16) == nil)
        #expect(Affine.make(bits: 4, group: 16, scale: .f16) == nil)
    }
}
