internal import Weights

/// Codes on their way from one stored format into another that means the same numbers by other scales.
///
///     source   weight = scale · (codebook[code] − zero) + offset       →  scale · code′ + offset′   with offset′ = offset − zero · scale
///     target   the same with its own zero or offset, scale type and group
///
/// A group of the target is a part of one of the source's, or several of them whose scales are equal.
struct CodeMove {
    /// The numbers of a packing that matter here; nil for plain numbers.
    struct Form {
        var bits: Int
        var group: Int
        var scale: Packing.Scale
        var hasOffset: Bool
        var zero: Int
        var codebook: [UInt8]
        /// Multiplies scales that are bytes or products.
        var factor: Float

        init?(_ packing: Packing) {
            guard case .codes(let bits, let group, let scale, let hasOffset, let zero, let codebook, let factor) = packing else { return nil }
            self.factor = factor
            self.bits = bits
            self.group = group
            self.scale = scale
            self.hasOffset = hasOffset
            self.zero = zero
            self.codebook = codebook
        }

        /// The type of flat scales.
        var number: Packing.Number? {
            if case .flat(let number) = scale { return number }
            return nil
        }

        /// Whether a group's scale is a stored number or a product of two.
        var scaleIsNumber: Bool { number != nil || scale == .twoLevel }

        /// Bits of the codes once a codebook has been looked up.
        var plainBits: Int { codebook.isEmpty ? bits : 8 }
    }

    let source: Form
    let target: Form
    let format: any PackableFormat

    init?(from source: any QuantFormat, to format: any PackableFormat) {
        guard let from = Form(source.packing), let to = Form(format.packing), to.codebook.isEmpty, to.number != nil, from.scaleIsNumber,
            from.group % to.group == 0 || to.group % from.group == 0
        else { return nil }
        self.source = from
        target = to
        self.format = format
    }

    /// For formats whose scales are bytes: the same codes and bytes in the target's arrangement. Nil where it has no such format.
    static func sameScales(_ form: Form, _ target: ConversionTarget, _ columns: Int) -> CodeMove? {
        let formats: [any PackableFormat] = target == .gguf ? [MXFP4(), NVFP4()] : [MLXFloat4(.mxfp4), MLXFloat4(.nvfp4)]
        for format in formats where columns % format.valuesPerBlock == 0 {
            guard let to = Form(format.packing), to.scale == form.scale, to.group == form.group, to.codebook == form.codebook,
                to.factor == form.factor
            else { continue }
            return CodeMove(source: form, target: to, format: format)
        }
        return nil
    }

    private init(source: Form, target: Form, format: any PackableFormat) {
        self.source = source
        self.target = target
        self.format = format
    }

    /// Whether every number stays what it is.
    func isExact(_ facts: ScaleFacts, _ columns: Int) -> Bool {
        guard let number = target.number, facts.isFinite, facts.error(as: number) == 0, columns % target.group == 0 else { return false }
        if target.group > source.group, facts.repeats * source.group % target.group != 0 { return false }
        return target.hasOffset ? source.plainBits <= target.bits : facts.symmetric[target.zero] == true
    }

    /// Writes one row.
    func write(_ row: UnpackedBuffers, into result: inout UnpackedBuffers) {
        guard let number = target.number else {
            (result.codes, result.scales) = (row.codes, row.scales)
            return
        }
        let columns = row.codes.count
        for group in 0..<columns / target.group {
            let at = group * target.group / source.group
            let scale = row.scale(at), offset = row.offset(at)
            result.scales[group] = HalfPrecision.nearest(scale, as: number)
            if target.hasOffset { result.offsets[group] = HalfPrecision.nearest(offset, as: number) }
        }
        if target.hasOffset {
            result.codes = row.codes
            return
        }
        for group in 0..<columns / target.group {
            let at = group * target.group / source.group
            let shift = target.zero - ScaleFacts.steps(row.scale(at), row.offset(at), target.zero)
            for index in group * target.group..<(group + 1) * target.group {
                result.codes[index] = UInt8(truncatingIfNeeded: Int(row.codes[index]) + shift)
            }
        }
    }
}

/// One row of a quantised tensor, taken apart: codes, and for each group the real scale and offset.
struct UnpackedBuffers {
    var codes: [UInt8]
    var scales: [UInt32]
    var offsets: [UInt32]
    private var superScales: [UInt16]
    private var superOffsets: [UInt16]
    private let form: CodeMove.Form
    private let groupsPerSuper: Int

    init(_ form: CodeMove.Form, columns: Int) {
        self.form = form
        codes = Array(repeating: 0, count: columns)
        scales = Array(repeating: 0, count: columns / form.group)
        offsets = form.hasOffset ? scales : []
        let isTwoLevel = form.scale == .twoLevel
        superScales = Array(repeating: 0, count: isTwoLevel ? columns / 256 : 0)
        superOffsets = form.hasOffset ? superScales : []
        groupsPerSuper = Swift.max(256 / form.group, 1)
    }

    /// The scale of a group as a number: exact, as f32 holds the product of an f16 and a byte.
    func scale(_ group: Int) -> Float {
        switch form.scale {
        case .flat(let number): return HalfPrecision.float(scales[group], as: number)
        default: return form.factor * HalfPrecision.float(f16: superScales[group / groupsPerSuper]) * Float(Int32(bitPattern: scales[group]))
        }
    }

    /// What a code of 0 means, once a codebook has been looked up.
    func offset(_ group: Int) -> Float {
        guard form.hasOffset else { return -Float(form.zero) * scale(group) }
        switch form.scale {
        case .flat(let number): return HalfPrecision.float(offsets[group], as: number)
        default:
            return -form.factor * HalfPrecision.float(f16: superOffsets[group / groupsPerSuper]) * Float(Int32(bitPattern: offsets[group]))
        }
    }

    mutating func unpack(_ row: RowBytes, _ format: any QuantFormat) {
        unsafe withParts { unsafe format.unpack(row, into: $0) }
        if form.scaleIsNumber, !form.codebook.isEmpty { for index in codes.indices { codes[index] = form.codebook[Int(codes[index]) % form.codebook.count] } }
    }

    mutating func pack(into row: MutableRowBytes, _ format: any PackableFormat) { unsafe withParts { unsafe format.pack($0, into: row) } }

    mutating func round(_ values: UnsafeBufferPointer<Float>, _ importance: [Float], _ format: any WritableFormat) {
        unsafe importance.withUnsafeBufferPointer { importance in
            unsafe withParts { unsafe format.round(values, importance: importance, into: $0) }
        }
    }

    private mutating func withParts(_ body: (UnpackedRow) -> Void) {
        unsafe codes.withUnsafeMutableBufferPointer { codes in
            unsafe scales.withUnsafeMutableBufferPointer { scales in
                unsafe offsets.withUnsafeMutableBufferPointer { offsets in
                    unsafe superScales.withUnsafeMutableBufferPointer { superScales in
                        unsafe superOffsets.withUnsafeMutableBufferPointer { superOffsets in
                            unsafe body(
                                UnpackedRow(codes: codes, scales: scales, offsets: offsets, superScales: superScales, superOffsets: superOffsets))
                        }
                    }
                }
            }
        }
    }
}

/// What the scales of one tensor allow, from a look at all of them.
struct ScaleFacts {
    /// The largest relative error of a scale or offset as f16 and as bf16; infinite where one does not fit at all.
    var errorF16 = 0.0
    var errorBF16 = 0.0
    /// Every offset is −zero · scale, for the zeros 8, 16 and 128 or such that the codes still fit (fewer bits, shifted).
    var symmetric: [Int: Bool] = [8: true, 16: true, 128: true]
    /// So many neighbouring groups have equal scales everywhere: 1, 2, 4, 8 …
    var repeats = 1
    var isFinite = true

    /// −offset / scale where that is a whole number, else −1; `zero` for an empty group.
    static func steps(_ scale: Float, _ offset: Float, _ zero: Int) -> Int {
        if offset == -Float(zero) * scale { return zero }
        guard scale != 0 else { return -1 }
        let steps = (-offset / scale).rounded()
        return steps >= 0 && steps <= 255 && -steps * scale == offset ? Int(steps) : -1
    }

    init(_ record: StoredTensor, _ form: CodeMove.Form, _ source: any ModelSource) {
        var row = UnpackedBuffers(form, columns: record.columns)
        let groups = record.columns / form.group
        var largestRepeat = 1
        while largestRepeat < 8, groups % (2 * largestRepeat) == 0 { largestRepeat *= 2 }
        repeats = largestRepeat
        for index in 0..<record.rows {
            unsafe row.unpack(source.bytes(of: record, row: index), record.format)
            var last: (scale: Float, offset: Float) = (.nan, .nan)
            for group in 0..<groups {
                let scale = row.scale(group), offset = row.offset(group)
                while repeats > 1, group % repeats != 0, !(scale == last.scale && offset == last.offset) { repeats /= 2 }
                if scale == last.scale, offset == last.offset { continue }
                last = (scale, offset)
                if !scale.isFinite || !offset.isFinite { isFinite = false }
                errorF16 = Swift.max(errorF16, Self.error(scale, .f16), Self.error(offset, .f16))
                errorBF16 = Swift.max(errorBF16, Self.error(scale, .bf16), Self.error(offset, .bf16))
                for (zero, bits) in [(8, 4), (16, 5), (128, 8)] where symmetric[zero] == true {
                    let steps = Self.steps(scale, offset, zero)
                    let shift = zero - steps
                    if steps < 0 || shift < 0 || (1 << form.plainBits) - 1 + shift > (1 << bits) - 1 { symmetric[zero] = false }
                }
            }
        }
    }

    func error(as number: Packing.Number) -> Double {
        switch number {
        case .f32: 0
        case .f16: errorF16
        case .bf16: errorBF16
        }
    }

    private static func error(_ value: Float, _ number: Packing.Number) -> Double {
        let rounded = HalfPrecision.float(HalfPrecision.nearest(value, as: number), as: number)
        if rounded == value { return 0 }
        guard rounded.isFinite, value != 0 else { return .infinity }
        return abs(Double(rounded) - Double(value)) / abs(Double(value))
    }
}
