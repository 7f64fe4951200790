package import CKernels
package import Weights

/// Up to sixteen unpacked rows on their way into a panel: the way of every stored format that the kernels do not know.
package final class RowStage {
    private let format: any QuantFormat
    private let form: ck_form
    private let columns: Int
    private let merged: Int  // stored groups in an executed one
    private let codes: UnsafeMutableBufferPointer<UInt8>  // [16, columns] codes, or the bytes of dense values
    private let scales: UnsafeMutableBufferPointer<UInt32>  // [16, columns / group]
    private let offsets: UnsafeMutableBufferPointer<UInt32>
    private let superScales: UnsafeMutableBufferPointer<UInt16>  // [16, columns / 256]
    private let superOffsets: UnsafeMutableBufferPointer<UInt16>
    // One row as stored, where it is executed with fewer scales or without offsets.
    private let storedScales: UnsafeMutableBufferPointer<UInt32>  // [columns / stored group]
    private let storedOffsets: UnsafeMutableBufferPointer<UInt32>
    private static let rows = Int(CK_PANEL_ROWS)

    /// - Parameter form: of the format's packing, or one with fewer scales: groups in multiples, no offset.
    package init(_ format: any QuantFormat, _ form: ck_form, columns: Int) {
        self.format = format
        self.form = form
        self.columns = columns
        let isCodes = form.values == CK_CODES.rawValue
        let isTwoLevel = isCodes && form.scales == CK_SCALE_TWO_LEVEL.rawValue
        let groups = isCodes ? columns / max(1, Int(form.group)) : 0
        let supers = isTwoLevel ? columns / 256 : 0
        let valueBytes = isCodes ? 1 : form.values == CK_F32.rawValue ? 4 : 2
        // Aligned for floats whatever they hold: dense values are read as numbers.
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.rows * columns * valueBytes, alignment: 64)
        codes = bytes.bindMemory(to: UInt8.self)
        scales = .allocate(capacity: Self.rows * groups)
        offsets = .allocate(capacity: form.has_offset ? Self.rows * groups : 0)
        superScales = .allocate(capacity: Self.rows * supers)
        superOffsets = .allocate(capacity: form.has_offset ? Self.rows * supers : 0)
        var stored = (group: Int(form.group), hasOffset: form.has_offset)
        if case .codes(_, let group, _, let hasOffset, _, _, _) = format.packing { stored = (group, hasOffset) }
        merged = isCodes ? max(1, Int(form.group) / max(1, stored.group)) : 1
        let differs = merged > 1 || stored.hasOffset != form.has_offset
        storedScales = .allocate(capacity: differs ? groups * merged : 0)
        storedOffsets = .allocate(capacity: differs && stored.hasOffset ? groups * merged : 0)
    }

    deinit {
        codes.deallocate()
        scales.deallocate()
        offsets.deallocate()
        superScales.deallocate()
        superOffsets.deallocate()
        storedScales.deallocate()
        storedOffsets.deallocate()
    }

    package func fill(_ row: Int, from bytes: RowBytes) {
        guard form.values == CK_CODES.rawValue else {
            return format.unpack(bytes, into: UnsafeMutableRawBufferPointer(part(codes, row)))
        }
        let scales = part(scales, row)
        let offsets = part(offsets, row)
        let differs = !storedScales.isEmpty
        format.unpack(
            bytes,
            into: UnpackedRow(
                codes: part(codes, row), scales: differs ? storedScales : scales, offsets: differs ? storedOffsets : offsets,
                superScales: part(superScales, row), superOffsets: part(superOffsets, row)))
        guard differs else { return }
        for group in scales.indices { scales[group] = storedScales[group * merged] }
        for group in offsets.indices { offsets[group] = storedOffsets[group * merged] }
    }

    package func pack(rows: Int, into panel: UnsafeMutableRawPointer) {
        let isCodes = form.values == CK_CODES.rawValue
        var source = ck_rows()
        source.codes = isCodes ? UnsafePointer(codes.baseAddress) : nil
        source.scales = scales.isEmpty ? nil : UnsafePointer(scales.baseAddress)
        source.offsets = offsets.isEmpty ? nil : UnsafePointer(offsets.baseAddress)
        source.super_scales = superScales.isEmpty ? nil : UnsafePointer(superScales.baseAddress)
        source.super_offsets = superOffsets.isEmpty ? nil : UnsafePointer(superOffsets.baseAddress)
        source.values = isCodes ? nil : UnsafeRawPointer(codes.baseAddress)
        withUnsafePointer(to: form) { form in
            withUnsafePointer(to: source) { ck_pack_panel(form, Int64(columns), Int32(rows), $0, panel) }
        }
    }

    private func part<Element>(_ buffer: UnsafeMutableBufferPointer<Element>, _ row: Int) -> UnsafeMutableBufferPointer<Element> {
        let width = buffer.count / Self.rows
        return UnsafeMutableBufferPointer(rebasing: buffer[row * width..<(row + 1) * width])
    }
}
