import CKernels
import TestSupport

/// A matrix of codes and scales as the packer gets them, with its real numbers worked out in f64: the tests' own reading of
/// the form, which shares nothing with the kernels.
struct PlainMatrix {
    var form: ck_form
    var rows: Int, columns: Int
    var codes: [UInt8]
    var scales: [UInt32] = []
    var offsets: [UInt32] = []
    var superScales: [UInt16] = []
    var superOffsets: [UInt16] = []
    var numbers: [UInt32] = []  // dense: raw bits

    var groups: Int { columns / Int(form.group) }

    static func flat(bits: Int, scale: ck_scales, group: Int, offset: Bool, zero: Int) -> ck_form {
        var form = ck_form()
        form.values = UInt8(CK_CODES.rawValue)
        form.code_bits = UInt8(bits)
        form.scales = UInt8(scale.rawValue)
        form.has_offset = offset
        form.zero = UInt8(zero)
        form.group = UInt16(group)
        return form
    }

    static func twoLevel(bits: Int, group: Int, offset: Bool, zero: Int, factor: Float = 1) -> ck_form {
        var form = flat(bits: bits, scale: CK_SCALE_TWO_LEVEL, group: group, offset: offset, zero: zero)
        form.factor = factor
        return form
    }

    /// The same with codes that stand for numbers of a codebook.
    static func withCodebook(_ form: ck_form, _ numbers: [UInt8]) -> ck_form {
        var form = form
        form.has_codebook = true
        withUnsafeMutableBytes(of: &form.codebook) { $0.copyBytes(from: numbers) }
        return form
    }

    static func dense(_ values: ck_values) -> ck_form {
        var form = ck_form()
        form.values = UInt8(values.rawValue)
        return form
    }

    init(_ form: ck_form, rows: Int, columns: Int, random: inout SeededRandom) {
        self.form = form
        self.rows = rows
        self.columns = columns
        codes = []
        if !isCodes {
            numbers = (0..<rows * columns).map { _ in Self.bits(random.unit(), as: dense) }
            return
        }
        codes = (0..<rows * columns).map { _ in UInt8(random.below(1 << Int(form.code_bits))) }
        if isTwoLevel {
            let signed = !form.has_offset
            scales = (0..<rows * groups).map { _ in UInt32(bitPattern: Int32(random.below(signed ? 256 : 64) - (signed ? 128 : 0))) }
            offsets = (0..<rows * groups).map { _ in UInt32(random.below(64)) }
            superScales = (0..<rows * columns / 256).map { _ in UInt16(Self.bits(random.unit() / 64, as: .f16)) }
            superOffsets = (0..<rows * columns / 256).map { _ in UInt16(Self.bits(random.unit() / 8, as: .f16)) }
        } else {
            scales = (0..<rows * groups).map { _ in randomScale(&random) }
            offsets = (0..<rows * groups).map { _ in Self.bits(random.unit(), as: flatScale) }
        }
    }

    private func randomScale(_ random: inout SeededRandom) -> UInt32 {
        switch ck_scales(UInt32(form.scales)) {
        case CK_SCALE_E8M0: UInt32(random.below(8) == 0 ? random.below(2) : 118 + random.below(10))
        case CK_SCALE_E4M3: UInt32(random.below(256))
        default: Self.bits(random.unit(), as: flatScale)
        }
    }

    /// 2^(byte − 127), or a sign, four bits of exponent, three of fraction; times the form's factor.
    private func byteScale(_ byte: Int) -> Float {
        if form.scales == UInt8(CK_SCALE_E8M0.rawValue) {
            return Float(sign: .plus, exponent: byte - 127, significand: 1) * form.factor
        }
        let exponent = byte >> 3 & 15, fraction = Float(byte & 7) / 8
        let magnitude = Float(sign: .plus, exponent: max(exponent, 1) - 7, significand: exponent == 0 ? fraction : 1 + fraction)
        return (byte < 128 ? magnitude : -magnitude) * form.factor
    }

    static func hasByteScales(_ form: ck_form) -> Bool { [CK_SCALE_E8M0, CK_SCALE_E4M3].contains(ck_scales(UInt32(form.scales))) }

    enum Number { case f32, f16, bf16 }

    static func bits(_ value: Float, as number: Number) -> UInt32 {
        switch number {
        case .f32: value.bitPattern
        case .f16: UInt32(Float16(value).bitPattern)
        case .bf16: value.bitPattern >> 16
        }
    }

    static func value(_ bits: UInt32, as number: Number) -> Float {
        switch number {
        case .f32: Float(bitPattern: bits)
        case .f16: Float(Float16(bitPattern: UInt16(truncatingIfNeeded: bits)))
        case .bf16: Float(bitPattern: bits << 16)
        }
    }

    var isCodes: Bool { form.values == UInt8(CK_CODES.rawValue) }
    var isTwoLevel: Bool { isCodes && form.scales == UInt8(CK_SCALE_TWO_LEVEL.rawValue) }
    private var dense: Number { form.values == UInt8(CK_F32.rawValue) ? .f32 : form.values == UInt8(CK_F16.rawValue) ? .f16 : .bf16 }
    private var flatScale: Number {
        form.scales == UInt8(CK_SCALE_F32.rawValue) ? .f32 : form.scales == UInt8(CK_SCALE_F16.rawValue) ? .f16 : .bf16
    }

    /// One weight in f32, rounded as the stored formats define it.
    func weight(_ row: Int, _ column: Int) -> Float {
        if !isCodes { return Self.value(numbers[row * columns + column], as: dense) }
        let group = row * groups + column / Int(form.group)
        let block = row * columns / 256 + column / 256
        let stored = Int(codes[row * columns + column])
        let number = form.has_codebook ? withUnsafeBytes(of: form.codebook) { Int($0[stored]) } : stored
        let code = Float(number - Int(form.zero))
        if isTwoLevel {
            let scale = form.factor * Self.value(UInt32(superScales[block]), as: .f16) * Float(Int32(bitPattern: scales[group]))
            let offset = form.factor * Self.value(UInt32(superOffsets[block]), as: .f16) * Float(Int32(bitPattern: offsets[group]))
            return form.has_offset ? scale * code - offset : scale * code
        }
        if Self.hasByteScales(form) { return byteScale(Int(scales[group])) * code }
        let scaled = Self.value(scales[group], as: flatScale) * code
        return form.has_offset ? scaled + Self.value(offsets[group], as: flatScale) : scaled
    }

    /// Packs it, or nil where the kernels execute no such form.
    func packed() -> Packed? {
        var form = form
        let panelBytes = ck_panel_bytes(&form, Int64(columns))
        guard panelBytes > 0 else { return nil }
        let panels = (rows + Int(CK_PANEL_ROWS) - 1) / Int(CK_PANEL_ROWS)
        let block = Block<UInt8>(panels * panelBytes)
        let dense = dense
        let narrow = isCodes || dense == .f32 ? [] : numbers.map { UInt16(truncatingIfNeeded: $0) }
        for panel in 0..<panels {
            let first = panel * Int(CK_PANEL_ROWS)
            let count = min(Int(CK_PANEL_ROWS), rows - first)
            codes.withUnsafeBufferPointer { codes in
                scales.withUnsafeBufferPointer { scales in
                    offsets.withUnsafeBufferPointer { offsets in
                        superScales.withUnsafeBufferPointer { superScales in
                            superOffsets.withUnsafeBufferPointer { superOffsets in
                                numbers.withUnsafeBytes { wide in
                                    narrow.withUnsafeBytes { narrow in
                                        var source = ck_rows()
                                        if isCodes {
                                            source.codes = codes.baseAddress! + first * columns
                                            source.scales = scales.baseAddress! + first * groups
                                            if form.has_offset { source.offsets = offsets.baseAddress! + first * groups }
                                            if isTwoLevel {
                                                source.super_scales = superScales.baseAddress! + first * columns / 256
                                                if form.has_offset {
                                                    source.super_offsets = superOffsets.baseAddress! + first * columns / 256
                                                }
                                            }
                                        } else {
                                            let bytes = dense == .f32 ? wide : narrow
                                            source.values = bytes.baseAddress! + first * columns * (dense == .f32 ? 4 : 2)
                                        }
                                        ck_pack_panel(&form, Int64(columns), Int32(count), &source, block.start + panel * panelBytes)
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        let matrix = ck_matrix(
            form: form, rows: Int64(rows), columns: Int64(columns), panel_bytes: panelBytes, panels: UnsafeRawPointer(block.start))
        return Packed(matrix: matrix, block: block)
    }

    /// A packed matrix and the memory that it lies in.
    struct Packed {
        var matrix: ck_matrix
        let block: Block<UInt8>

        func row(_ index: Int) -> [Float] {
            let values = Block<Float>(Int(matrix.columns))
            withUnsafePointer(to: matrix) { ck_unpack_row($0, Int64(index), values.start) }
            return values.elements
        }
    }

    /// x as the products see it, in f64: signed bytes (fine: two, 256 high + low) with a scale per 32 or 256 columns, as bf16,
    /// or as it is.
    func quantised(_ x: ArraySlice<Float>, fine: Bool) -> [Double] {
        guard isCodes else { return x.map { Double(dense == .bf16 ? Self.nearestBF16($0) : $0) } }
        let block = isTwoLevel ? 256 : 32
        return stride(from: x.startIndex, to: x.endIndex, by: block).flatMap { start -> [Double] in
            let values = x[start..<start + block]
            let largest = values.map(\.magnitude).max()!
            guard largest > 0 else { return values.map { _ in 0 } }
            let scale = largest / 127
            let inverse = 127 / largest
            return values.map { value in
                let code = value * inverse
                let high = code.rounded(.toNearestOrEven)
                guard fine else { return Double(scale) * Double(high) }
                let low = min(max((code - high) * 256, -127), 127).rounded(.toNearestOrEven)
                return Double(scale) / 256 * Double(256 * high + low)
            }
        }
    }

    /// Ties to even: of a float with half as many bits left, the f64 nearest to a multiple of its last place.
    static func nearestBF16(_ x: Float) -> Float {
        guard x.isNormal else { return 0 }
        let place = Double(x.ulp) * 65536
        return Float((Double(x) / place).rounded(.toNearestOrEven) * place)
    }

    /// The product in f64, and the sum of magnitudes that its error is measured against.
    func product(_ x: [Float], tokens: Int, bias: [Float]?, fine: Bool = false) -> (values: [Double], magnitudes: [Double]) {
        var values: [Double] = []
        var magnitudes: [Double] = []
        let weights = (0..<rows).map { row in (0..<columns).map { Double(weight(row, $0)) } }
        for token in 0..<tokens {
            let input = quantised(x[token * columns..<(token + 1) * columns], fine: fine)
            for row in 0..<rows {
                var sum = Double(bias?[row] ?? 0)
                var magnitude = sum.magnitude
                for column in 0..<columns {
                    let term = weights[row][column] * input[column]
                    sum += term
                    magnitude += term.magnitude
                }
                values.append(sum)
                magnitudes.append(magnitude)
            }
        }
        return (values, magnitudes)
    }
}
