import CKernels
import Compute
import TestSupport
import Testing
import Weights

/// Each stored format in the form that the kernels execute.
@Suite struct PackedFormTests {
    /// Random blocks, scales of every kind among them.
    @Test(arguments: QuantFormats.all.map(\.name))
    func aPackedMatrixHoldsTheDecodedNumbersExactly(_ name: String) throws {
        let format = try #require(QuantFormats.all.first { $0.name == name })
        var random = SplitMix(seed: 3)
        for (rows, columns) in [(16, 256), (40, 512)] {
            let matrix = try #require(StoredMatrix(format, rows: rows, columns: columns, &random))
            let packed = try #require(matrix.packed(), "no kernel runs \(name)")
            for row in 0..<rows {
                let expected = matrix.decoded(row), found = packed.row(row)
                let isSame = zip(found, expected).allSatisfy { $0 == $1 || !$0.isFinite && !$1.isFinite }
                #expect(isSame && found.count == expected.count, "row \(row)")
            }
        }
    }

    /// Activations are rounded to bytes with a scale per 32 or 256 columns, at most 1/254 of the largest among them: that
    /// bounds the error of a product by the sum of the weights' magnitudes.
    @Test(arguments: QuantFormats.all.map(\.name))
    func aPackedProductStaysWithinTheRoundingOfItsInputs(_ name: String) throws {
        let format = try #require(QuantFormats.all.first { $0.name == name })
        var random = SplitMix(seed: 4)
        let columns = 512, tokens = 3
        let matrix = try #require(StoredMatrix(format, rows: 40, columns: columns, &random))
        let packed = try #require(matrix.packed())
        let x = (0..<tokens * columns).map { _ in random.float(in: -1...1) }
        let y = packed.product(x, tokens: tokens)
        for token in 0..<tokens {
            for row in 0..<matrix.rows {
                var exact = 0.0, magnitudes = 0.0
                for (weight, input) in zip(matrix.decoded(row), x[token * columns..<(token + 1) * columns]) {
                    exact += Double(weight) * Double(input)
                    magnitudes += Double(weight.magnitude)
                }
                let error = abs(Double(y[token * matrix.rows + row]) - exact)
                #expect(error <= magnitudes / 254 * 1.001, "row \(row), token \(token): \(error) of \(magnitudes)")
            }
        }
    }
}

/// Random rows of a stored format.
private struct StoredMatrix {
    let format: any QuantFormat
    let rows: Int, columns: Int
    let planes: [[UInt8]]

    init?(_ format: any QuantFormat, rows: Int, columns: Int, _ random: inout SplitMix) {
        let wide = format.sharesBytes ? (rows + 31) / 32 * 32 : rows  // rows that share words come in whole words
        self.format = format
        self.rows = wide
        self.columns = columns
        planes = random.planes(of: format, rows: wide, columns: columns)
        guard format.planeBytes(rows: wide, columns: columns) == planes.map(\.count) else { return nil }
    }

    private func withRow<Result>(_ row: Int, _ body: (RowBytes) -> Result) -> Result {
        let sizes = format.rowBytes(columns: columns) ?? []
        let parts = (0..<3).map { plane -> [UInt8] in
            guard plane < planes.count else { return [] }
            return format.sharesBytes ? planes[plane] : Array(planes[plane][row * sizes[plane]..<(row + 1) * sizes[plane]])
        }
        return parts[0].withUnsafeBytes { codes in
            parts[1].withUnsafeBytes { scales in
                parts[2].withUnsafeBytes { offsets in body(RowBytes(codes: codes, scales: scales, offsets: offsets, row: row)) }
            }
        }
    }

    func decoded(_ row: Int) -> [Float] {
        var values = [Float](repeating: .nan, count: columns)
        values.withUnsafeMutableBufferPointer { values in withRow(row) { format.decode($0, into: values) } }
        return values
    }

    /// Nil where no kernel executes the form.
    func packed() -> PackedRows? {
        guard var form = ck_form(format.packing) else { return nil }
        let panelBytes = ck_panel_bytes(&form, Int64(columns))
        guard panelBytes > 0 else { return nil }
        let result = PackedRows(form, rows: rows, columns: columns, panelBytes: panelBytes)
        for first in stride(from: 0, to: rows, by: 16) { pack(first, min(16, rows - first), &form, result.panels + first / 16 * panelBytes) }
        return result
    }

    private func pack(_ first: Int, _ count: Int, _ form: inout ck_form, _ panel: UnsafeMutableRawPointer) {
        func buffer<Element: BitwiseCopyable>(_ width: Int, _ zero: Element) -> UnsafeMutableBufferPointer<Element> {
            let buffer = UnsafeMutableBufferPointer<Element>.allocate(capacity: 16 * width)
            buffer.initialize(repeating: zero)
            return buffer
        }
        func part<Element>(_ buffer: UnsafeMutableBufferPointer<Element>, _ row: Int) -> UnsafeMutableBufferPointer<Element> {
            UnsafeMutableBufferPointer(rebasing: buffer[row * buffer.count / 16..<(row + 1) * buffer.count / 16])
        }
        var source = ck_rows()
        if case .dense(let number) = format.packing {
            let numbers = UnsafeMutableRawBufferPointer.allocate(byteCount: 16 * columns * number.byteCount, alignment: 64)
            defer { numbers.deallocate() }
            for row in 0..<count {
                let length = columns * number.byteCount
                withRow(first + row) { format.unpack($0, into: UnsafeMutableRawBufferPointer(rebasing: numbers[row * length..<(row + 1) * length])) }
            }
            source.values = UnsafeRawPointer(numbers.baseAddress)
            ck_pack_panel(&form, Int64(columns), Int32(count), &source, panel)
            return
        }
        let groups = columns / Int(form.group), supers = form.scales == CK_SCALE_TWO_LEVEL.rawValue ? columns / 256 : 0
        let codes = buffer(columns, UInt8(0)), scales = buffer(groups, UInt32(0)), offsets = buffer(form.has_offset ? groups : 0, UInt32(0))
        let superScales = buffer(supers, UInt16(0)), superOffsets = buffer(form.has_offset ? supers : 0, UInt16(0))
        defer {
            codes.deallocate()
            scales.deallocate()
            offsets.deallocate()
            superScales.deallocate()
            superOffsets.deallocate()
        }
        for row in 0..<count {
            let parts = UnpackedRow(
                codes: part(codes, row), scales: part(scales, row), offsets: part(offsets, row), superScales: part(superScales, row),
                superOffsets: part(superOffsets, row))
            withRow(first + row) { format.unpack($0, into: parts) }
        }
        source.codes = UnsafePointer(codes.baseAddress)
        source.scales = UnsafePointer(scales.baseAddress)
        source.offsets = form.has_offset ? UnsafePointer(offsets.baseAddress) : nil
        source.super_scales = supers > 0 ? UnsafePointer(superScales.baseAddress) : nil
        source.super_offsets = supers > 0 && form.has_offset ? UnsafePointer(superOffsets.baseAddress) : nil
        ck_pack_panel(&form, Int64(columns), Int32(count), &source, panel)
    }
}

/// A packed matrix and its memory.
private final class PackedRows {
    let panels: UnsafeMutableRawPointer
    private var matrix: ck_matrix

    init(_ form: ck_form, rows: Int, columns: Int, panelBytes: Int) {
        panels = .allocate(byteCount: (rows + 15) / 16 * panelBytes, alignment: 64)
        matrix = ck_matrix(
            form: form, rows: Int64(rows), columns: Int64(columns), panel_bytes: panelBytes, panels: UnsafeRawPointer(panels))
    }

    deinit { panels.deallocate() }

    func row(_ row: Int) -> [Float] {
        var values = [Float](repeating: .nan, count: Int(matrix.columns))
        ck_unpack_row(&matrix, Int64(row), &values)
        return values
    }

    func product(_ x: [Float], tokens: Int) -> [Float] {
        let team = ck_team_create(1)
        defer { ck_team_destroy(team) }
        let bytes = ck_linear_scratch(Int64(tokens), matrix.columns)
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
        defer { scratch.deallocate() }
        var y = [Float](repeating: .nan, count: tokens * Int(matrix.rows))
        y.withUnsafeMutableBufferPointer { y in
            withUnsafePointer(to: matrix) { matrix in
                var product = ck_product(matrix: matrix, bias: nil, y: y.baseAddress, stride: matrix.pointee.rows, adds: false)
                x.withUnsafeBufferPointer { x in
                    var source = ck_source()
                    source.x = x.baseAddress
                    source.stride = matrix.pointee.columns
                    ck_linear(team, &source, Int64(tokens), matrix.pointee.columns, &product, 1, scratch)
                }
            }
        }
        return y
    }
}
