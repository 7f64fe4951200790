import CKernels
import Compute
import Testing
import Weights

/// Rows that the kernels pack as a file has them, against rows that are unpacked first.
@Suite struct PackingTests {
    static let known = QuantFormats.all.filter { ck_stored($0) != nil }

    /// Sixteen rows of random bytes, infinities and NaN among them, at an odd address and with bytes between the rows.
    private struct Rows {
        let planes: [UnsafeMutableRawBufferPointer]
        let lengths: [Int]

        init(_ format: any QuantFormat, columns: Int, random: inout SplitMix) throws {
            lengths = try #require(format.rowBytes(columns: columns))
            planes = lengths.map { length in
                let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 + 16 * (length + 3), alignment: 64)
                for index in bytes.indices { bytes[index] = UInt8.random(in: 0...255, using: &random) }
                return bytes
            }
        }

        /// The same for the kernels.
        func stored(_ format: any QuantFormat) -> StoredRows {
            func plane(_ index: Int) -> StoredRows.Plane {
                guard index < planes.count else { return StoredRows.Plane(start: nil, stride: 0) }
                return StoredRows.Plane(start: planes[index].baseAddress.map { UnsafeRawPointer($0 + 1) }, stride: lengths[index] + 3)
            }
            return StoredRows(format, codes: plane(0), scales: plane(1), offsets: plane(2))
        }

        func free() { for plane in planes { plane.deallocate() } }

        subscript(row: Int) -> RowBytes {
            func part(_ plane: Int) -> UnsafeRawBufferPointer {
                guard plane < planes.count else { return UnsafeRawBufferPointer(start: nil, count: 0) }
                let start = 1 + row * (lengths[plane] + 3)
                return UnsafeRawBufferPointer(rebasing: planes[plane][start..<start + lengths[plane]])
            }
            return RowBytes(codes: part(0), scales: part(1), offsets: part(2), row: row)
        }
    }

    /// Executed forms of a format: its own, and those with fewer scales.
    private static func forms(_ format: any QuantFormat, columns: Int) -> [ck_form] {
        guard let own = ck_form(format.packing) else { return [] }
        guard own.values == UInt8(CK_CODES.rawValue), own.scales < UInt8(CK_SCALE_TWO_LEVEL.rawValue), !own.has_codebook else {
            return [own]
        }
        return [1, 2, 4].flatMap { (merged: UInt16) -> [ck_form] in
            var wide = own
            wide.group *= merged
            var centred = wide
            centred.has_offset = false
            centred.zero = 1 << (wide.code_bits - 1)
            return columns % Int(wide.group) == 0 ? [wide, centred] : []
        }
    }

    private static func isExecuted(_ form: ck_form, columns: Int) -> Bool {
        withUnsafePointer(to: form) { ck_panel_bytes($0, Int64(columns)) > 0 }
    }

    private static func panel(_ form: ck_form, columns: Int, _ fill: (UnsafeMutableRawPointer) -> Void) -> [UInt8] {
        let bytes = withUnsafePointer(to: form) { ck_panel_bytes($0, Int64(columns)) }
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 64)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0xA5)
        if let base = memory.baseAddress { fill(base) }
        return Array(memory)
    }

    @Test(arguments: known.map(\.name))
    func whatIsPackedInOnePassIsWhatUnpackingGives(_ name: String) throws {
        let format = try #require(Self.known.first { $0.name == name })
        let stored = try #require(ck_stored(format))
        var random = SplitMix(seed: 11)
        var compared = 0
        for columns in format.isDense ? [1, 7, 8, 16, 45, 64] : [256, 512, 1024] {
            let rows = try Rows(format, columns: columns, random: &random)
            defer { rows.free() }
            for form in Self.forms(format, columns: columns) where Self.isExecuted(form, columns: columns) {
                let unpacked = Self.panel(form, columns: columns) { target in
                    let stage = RowStage(format, form, columns: columns)
                    for row in 0..<16 { stage.fill(row, from: rows[row]) }
                    stage.pack(rows: 16, into: target)
                }
                for next in [nil, 0] {
                    let direct = Self.panel(form, columns: columns) { target in
                        let rows = rows.stored(format).panel(next: next) { $0 }
                        withUnsafePointer(to: form) { form in
                            withUnsafePointer(to: rows) { ck_pack_stored(stored, form, Int64(columns), $0, target) }
                        }
                    }
                    #expect(direct == unpacked, "\(name), \(columns) columns, groups of \(form.group), offset \(form.has_offset)")
                }
                compared += 1
            }
        }
        let own = try #require(ck_form(format.packing))
        #expect(compared > 0 || !Self.isExecuted(own, columns: 512))
    }

    /// The last panel of a matrix: rows that are not there weigh nothing.
    @Test(arguments: known.map(\.name))
    func fewerThanSixteenRowsLeaveZerosBehind(_ name: String) throws {
        let format = try #require(Self.known.first { $0.name == name })
        guard let form = ck_form(format.packing), Self.isExecuted(form, columns: 256) else { return }
        var random = SplitMix(seed: 12)
        let rows = try Rows(format, columns: 256, random: &random)
        defer { rows.free() }
        for count in [1, 5, 15] {
            let stage = RowStage(format, form, columns: 256)
            let bytes = Self.panel(form, columns: 256) { target in
                for row in 0..<count { stage.fill(row, from: rows[row]) }
                stage.pack(rows: count, into: target)
            }
            bytes.withUnsafeBytes { bytes in
                let aligned = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
                defer { aligned.deallocate() }
                aligned.copyMemory(from: bytes)
                let matrix = ck_matrix(
                    form: form, rows: 16, columns: 256, panel_bytes: bytes.count, panels: UnsafeRawPointer(aligned.baseAddress))
                var values = [Float](repeating: 1, count: 256)
                for row in count..<16 {
                    withUnsafePointer(to: matrix) { ck_unpack_row($0, Int64(row), &values) }
                    // A scale byte cannot say zero: there it is the smallest power of two.
                    #expect(values.allSatisfy { abs($0) < 0x1p-100 }, "\(name), row \(row) of \(count)")
                }
            }
        }
    }
}
