import CKernels
import TestSupport
import Testing

#if canImport(Glibc)
    internal import Glibc
#endif

extension KernelTests {
    @Suite struct ProductTests {
        /// Every form that is executed: all code widths × scales × groups × offset or zero, two-level, dense.
        static let forms: [ck_form] = {
            var forms: [ck_form] = []
            for bits in [2, 3, 4, 5, 6, 8] {
                for scale in [CK_SCALE_F16, CK_SCALE_BF16, CK_SCALE_F32] {
                    for group in [32, 64, 128, 256] {
                        forms.append(PlainMatrix.flat(bits: bits, scale: scale, group: group, offset: true, zero: 0))
                        forms.append(PlainMatrix.flat(bits: bits, scale: scale, group: group, offset: false, zero: 1 << (bits - 1)))
                    }
                }
            }
            forms.append(PlainMatrix.twoLevel(bits: 4, group: 32, offset: true, zero: 0))
            forms.append(PlainMatrix.twoLevel(bits: 5, group: 32, offset: true, zero: 0))
            forms.append(PlainMatrix.twoLevel(bits: 6, group: 16, offset: false, zero: 32))
            forms.append(PlainMatrix.twoLevel(bits: 2, group: 32, offset: true, zero: 1, factor: 0.125))
            forms.append(PlainMatrix.twoLevel(bits: 2, group: 16, offset: true, zero: 0))
            forms.append(PlainMatrix.twoLevel(bits: 3, group: 16, offset: false, zero: 4))
            let six: [UInt8] = [0, 18, 35, 51, 68, 86, 1, 2], wide: [UInt8] = (0..<16).map { 17 * $0 }
            for group in [16, 32] {
                forms.append(PlainMatrix.withCodebook(PlainMatrix.twoLevel(bits: 3, group: group, offset: false, zero: 43, factor: 0.125), six))
            }
            forms.append(PlainMatrix.withCodebook(PlainMatrix.twoLevel(bits: 4, group: 32, offset: false, zero: 128), wide))
            for scale in [CK_SCALE_F16, CK_SCALE_BF16, CK_SCALE_F32, CK_SCALE_E8M0, CK_SCALE_E4M3] {
                for (bits, groups) in [(1, [32, 128]), (4, [16, 32, 64])] {
                    for group in groups {
                        var form = PlainMatrix.flat(bits: bits, scale: scale, group: group, offset: false, zero: bits == 1 ? 1 : 120)
                        form.factor = 0.75
                        forms.append(PlainMatrix.withCodebook(form, bits == 1 ? [0, 2] : wide))
                    }
                }
            }
            for values in [CK_F32, CK_F16, CK_BF16] { forms.append(PlainMatrix.dense(values)) }
            return forms
        }()

        static func describe(_ form: ck_form) -> String {
            "values \(form.values) bits \(form.code_bits) scales \(form.scales) group \(form.group) offset \(form.has_offset) zero \(form.zero) codebook \(form.has_codebook)"
        }

        /// f32 sums of up to 40 terms with a scale each, against f64 over the same quantised input, relative to the sum of magnitudes.
        static let bound = 0x1p-18

        /// Columns that the form allows, a few times its step.
        static func columns(_ form: ck_form, _ random: inout SeededRandom) -> Int {
            if form.values != UInt8(CK_CODES.rawValue) { return 1 + random.below(90) }
            if form.scales == UInt8(CK_SCALE_TWO_LEVEL.rawValue) { return 256 * (1 + random.below(2)) }
            return max(32, Int(form.group)) * (1 + random.below(3))
        }

        /// - Parameters:
        ///   - start: what y holds before, and what is then added to.
        ///   - through: changes the source after x has been put in.
        static func multiply(
            _ packed: [PlainMatrix.Packed], _ x: [Float], tokens: Int, bias: [Float]? = nil, members: Int = 1, fine: Bool = false,
            start: [Float]? = nil, through: (inout ck_source) -> Void = { _ in }
        ) -> [[Float]] {
            let team = Team(members)
            let columns = Int(packed[0].matrix.columns)
            let gap = 3
            let input = Block(x, shift: 1)
            let scratch = Block<UInt8>(ck_linear_scratch(Int64(tokens), Int64(columns)))
            let biases = bias.map { Block($0, shift: 1) }
            let outputs = packed.map { Block<Float>(tokens * (Int($0.matrix.rows) + gap), shift: 1) }
            let matrices = Block(packed.map(\.matrix))
            if let start {
                for (packed, output) in zip(packed, outputs) {
                    let rows = Int(packed.matrix.rows)
                    for index in 0..<tokens * rows { output.start[index / rows * (rows + gap) + index % rows] = start[index] }
                }
            }
            let products = packed.indices.map { index in
                ck_product(
                    matrix: matrices.start + index, bias: biases.map { UnsafePointer($0.start) }, y: outputs[index].start,
                    stride: packed[index].matrix.rows + Int64(gap), adds: start != nil)
            }
            var source = ck_source()
            source.x = UnsafePointer(input.start)
            source.stride = Int64(columns)
            source.fine = fine
            through(&source)
            ck_linear(team.team, &source, Int64(tokens), Int64(columns), products, Int32(products.count), scratch.start)
            return zip(packed, outputs).map { packed, output in
                let rows = Int(packed.matrix.rows)
                return (0..<tokens).flatMap { token in (0..<rows).map { output.start[token * (rows + gap) + $0] } }
            }
        }

        @Test func everyFormReadsBackExactly() {
            var random = SeededRandom(seed: seed)
            for form in Self.forms {
                let plain = PlainMatrix(form, rows: 1 + random.below(40), columns: Self.columns(form, &random), random: &random)
                let packed = plain.packed()!
                for row in 0..<plain.rows {
                    let expected = (0..<plain.columns).map { plain.weight(row, $0) }
                    #expect(packed.row(row).bits == expected.bits, "\(Self.describe(form))")
                }
            }
        }

        @Test func whatIsNotExecutedHasNoPanel() {
            var form = PlainMatrix.flat(bits: 4, scale: CK_SCALE_F16, group: 32, offset: false, zero: 8)
            #expect(ck_panel_bytes(&form, 64) == 64 / 2 * 16 + 2 * 32)
            #expect(ck_panel_bytes(&form, 33) == 0)
            #expect(ck_panel_bytes(&form, 0) == 0)
            form.group = 64
            #expect(ck_panel_bytes(&form, 96) == 0)
            form.group = 48
            #expect(ck_panel_bytes(&form, 96) == 0)
            form = PlainMatrix.twoLevel(bits: 4, group: 32, offset: true, zero: 0)
            #expect(ck_panel_bytes(&form, 128) == 0)
            form = PlainMatrix.flat(bits: 4, scale: CK_SCALE_F16, group: 16, offset: false, zero: 8)
            #expect(ck_panel_bytes(&form, 64) == 0)
            form = PlainMatrix.flat(bits: 7, scale: CK_SCALE_F16, group: 32, offset: false, zero: 0)
            #expect(ck_panel_bytes(&form, 64) == 0)
        }

        @Test(arguments: instructionSets)
        func everyFormAgreesWithThePlainProduct(_ name: String) {
            var random = SeededRandom(seed: seed)
            for form in Self.forms {
                let plain = PlainMatrix(form, rows: 1 + random.below(40), columns: Self.columns(form, &random), random: &random)
                let packed = plain.packed()!
                let tokens = 1 + random.below(5)
                let x = random.units(tokens * plain.columns)
                let bias = random.below(2) == 0 ? nil : random.units(plain.rows)
                for fine in [false, true] {
                    let expected = plain.product(x, tokens: tokens, bias: bias, fine: fine)
                    let found = on(name) { Self.multiply([packed], x, tokens: tokens, bias: bias, fine: fine)[0] }
                    let worst = zip(found, zip(expected.values, expected.magnitudes))
                        .map { abs(Double($0) - $1.0) / max($1.1, .leastNormalMagnitude) }.max()!
                    #expect(worst < Self.bound, "\(Self.describe(form)) fine \(fine)")
                }
            }
        }

        @Test(arguments: instructionSets.dropLast())
        func everyFormAgreesWithThePlainTableBitForBit(_ name: String) {
            var random = SeededRandom(seed: seed)
            for form in Self.forms {
                for (tokens, fine) in [(1, true), (2, false), (3, true), (1 + random.below(26), false), (1 + random.below(26), true)] {
                    let plain = PlainMatrix(form, rows: 1 + random.below(40), columns: Self.columns(form, &random), random: &random)
                    let packed = plain.packed()!
                    let x = random.units(tokens * plain.columns)
                    let expected = on("scalar") { Self.multiply([packed], x, tokens: tokens, fine: fine)[0] }
                    let found = on(name) { Self.multiply([packed], x, tokens: tokens, members: 1 + random.below(3), fine: fine)[0] }
                    #expect(found.bits == expected.bits, "\(Self.describe(form)) tokens \(tokens) fine \(fine)")
                }
            }
        }

        @Test(arguments: instructionSets)
        func aTokenDoesNotDependOnItsBatchNorOnTheTeam(_ name: String) {
            var random = SeededRandom(seed: seed)
            let some = [0, 1, 18, 55, Self.forms.count - 6, Self.forms.count - 4, Self.forms.count - 2].map { Self.forms[$0] }
            for form in some {
                let plain = PlainMatrix(form, rows: 50, columns: Self.columns(form, &random), random: &random)
                let packed = plain.packed()!
                let x = random.units(26 * plain.columns)
                on(name) {
                    let single = (0..<26).map { token in
                        Self.multiply([packed], Array(x[token * plain.columns..<(token + 1) * plain.columns]), tokens: 1)[0].bits
                    }
                    for tokens in 1...26 {
                        let all = Self.multiply([packed], x, tokens: tokens, members: tokens % 3 + 1)[0].bits
                        #expect(all == Array(single[..<tokens].joined()), "\(Self.describe(form)) tokens \(tokens)")
                    }
                }
            }
        }

        @Test(arguments: instructionSets)
        func manyProductsShareAnInputWhateverTheirForms(_ name: String) {
            var random = SeededRandom(seed: seed)
            // Three ways of quantising and two dense forms: more than one pass.
            let forms = [
                PlainMatrix.twoLevel(bits: 4, group: 32, offset: true, zero: 0),
                PlainMatrix.twoLevel(bits: 6, group: 16, offset: false, zero: 32),
                PlainMatrix.flat(bits: 8, scale: CK_SCALE_F16, group: 32, offset: false, zero: 128),
                PlainMatrix.dense(CK_F32), PlainMatrix.dense(CK_F16),
                PlainMatrix.flat(bits: 4, scale: CK_SCALE_F16, group: 64, offset: true, zero: 0),
                PlainMatrix.twoLevel(bits: 5, group: 32, offset: true, zero: 0),
            ]
            let packed = forms.map { PlainMatrix($0, rows: 17 + random.below(90), columns: 512, random: &random).packed()! }
            for (tokens, members) in [(1, 1), (3, 2), (70, 2), (65, 3)] {
                let x = random.units(tokens * 512)
                on(name) {
                    let together = Self.multiply(packed, x, tokens: tokens, members: members)
                    for index in packed.indices {
                        let alone = Self.multiply([packed[index]], x, tokens: tokens)[0]
                        #expect(together[index].bits == alone.bits, "product \(index), tokens \(tokens)")
                    }
                }
            }
        }

        @Test(arguments: instructionSets)
        func theLargestCodesTimesTheLargestActivationsAreExact(_ name: String) {
            var random = SeededRandom(seed: seed)
            for form in Self.forms where form.values == UInt8(CK_CODES.rawValue) {
                var plain = PlainMatrix(form, rows: 16, columns: 256, random: &random)
                // Rows of all maximum, all minimum and alternating codes; scales of one, so that sums are whole numbers.
                for row in 0..<16 {
                    for column in 0..<256 {
                        let high = row % 3 == 0 || (row % 3 == 1 && column % 2 == 0)
                        plain.codes[row * 256 + column] = high ? UInt8(1 << Int(form.code_bits) - 1) : 0
                    }
                }
                if plain.isTwoLevel {
                    plain.scales = plain.scales.map { _ in 1 }
                    plain.offsets = plain.offsets.map { _ in 0 }
                    plain.superScales = plain.superScales.map { _ in Float16(1).bitPattern }
                } else if PlainMatrix.hasByteScales(form) {
                    let one: UInt32 = form.scales == UInt8(CK_SCALE_E8M0.rawValue) ? 127 : 7 << 3
                    plain.scales = plain.scales.map { _ in one }
                } else {
                    let number: PlainMatrix.Number =
                        form.scales == UInt8(CK_SCALE_F32.rawValue) ? .f32 : form.scales == UInt8(CK_SCALE_F16.rawValue) ? .f16 : .bf16
                    plain.scales = plain.scales.map { _ in PlainMatrix.bits(1, as: number) }
                    plain.offsets = plain.offsets.map { _ in 0 }
                }
                let packed = plain.packed()!
                for (sign, fine) in (0..<4).flatMap({ [($0, false), ($0, true)] }) {
                    let x = (0..<256).map { column -> Float in
                        [127, -127, column % 2 == 0 ? 127 : -127, column % 3 == 0 ? 127 : -127][sign]
                    }
                    let expected = plain.product(x, tokens: 1, bias: nil).values.map { Float($0) }
                    let found = on(name) { Self.multiply([packed], x, tokens: 1, fine: fine)[0] }
                    #expect(found == expected, "\(Self.describe(form)) fine \(fine)")
                }
            }
        }

        /// Many tokens, so that members have shares of their own, and few.
        @Test(arguments: instructionSets, [1, 7, 150])
        func whatBecomesOfTheInputOnTheWayIsWhatItWouldBecomeBefore(_ name: String, _ tokens: Int) {
            var random = SeededRandom(seed: seed)
            let forms = [Self.forms[0], PlainMatrix.twoLevel(bits: 4, group: 32, offset: true, zero: 0), PlainMatrix.dense(CK_F32)]
            for form in forms {
                let packed = PlainMatrix(form, rows: 70, columns: 512, random: &random).packed()!
                let x = random.units(tokens * 512)
                let up = Block(random.units(tokens * 512), shift: 1)
                let weight = Block(random.units(512), shift: 1)
                on(name) {
                    let team = Team(1)
                    let normed = Block<Float>(tokens * 512)
                    let plain = Block(x)
                    ck_rmsnorm(team.team, plain.start, 512, weight.start, 1e-5, Int64(tokens), 512, normed.start, 512)
                    for members in 1...3 {
                        let found = Self.multiply([packed], x, tokens: tokens, members: members) {
                            $0.norm = UnsafePointer(weight.start)
                            $0.epsilon = 1e-5
                        }
                        #expect(found[0].bits == Self.multiply([packed], normed.elements, tokens: tokens)[0].bits)
                    }
                    for activation in [CK_SILU, CK_GELU_TANH] {
                        let gated = Block(x)
                        ck_glu(team.team, activation, gated.start, up.start, Int64(tokens * 512))
                        let found = Self.multiply([packed], x, tokens: tokens, members: 2) {
                            $0.up = UnsafePointer(up.start)
                            $0.activation = activation
                        }
                        #expect(found[0].bits == Self.multiply([packed], gated.elements, tokens: tokens)[0].bits)
                    }
                }
            }
        }

        @Test(arguments: instructionSets, [1, 5, 40])
        func anAddedProductIsTheSumOfBoth(_ name: String, _ tokens: Int) {
            var random = SeededRandom(seed: seed)
            for form in [Self.forms[0], Self.forms[1], PlainMatrix.twoLevel(bits: 6, group: 16, offset: false, zero: 32)] {
                let packed = PlainMatrix(form, rows: 37, columns: 256, random: &random).packed()!
                let x = random.units(tokens * 256)
                let start = random.units(tokens * 37)
                on(name) {
                    let alone = Self.multiply([packed], x, tokens: tokens)[0]
                    let added = Self.multiply([packed], x, tokens: tokens, members: 2, start: start)[0]
                    #expect(added.bits == zip(start, alone).map { $0 + $1 }.bits)
                }
            }
        }

        @Test func fineInputsAreAHundredTimesNearer() {
            var random = SeededRandom(seed: seed)
            for form in [Self.forms[0], PlainMatrix.twoLevel(bits: 4, group: 32, offset: true, zero: 0)] {
                let plain = PlainMatrix(form, rows: 64, columns: 1024, random: &random)
                let packed = plain.packed()!
                let x = random.units(1024)
                let exact = (0..<64).map { row in (0..<1024).reduce(0.0) { $0 + Double(plain.weight(row, $1)) * Double(x[$1]) } }
                func error(fine: Bool) -> Double {
                    zip(Self.multiply([packed], x, tokens: 1, fine: fine)[0], exact).reduce(0) { $0 + pow(Double($1.0) - $1.1, 2) }.squareRoot()
                }
                #expect(error(fine: true) * 100 < error(fine: false))
            }
        }

        @Test(arguments: instructionSets)
        func silenceGivesTheBiasAndNonsenseStaysNonsense(_ name: String) {
            var random = SeededRandom(seed: seed)
            for form in [Self.forms[0], PlainMatrix.twoLevel(bits: 4, group: 32, offset: true, zero: 0)] {
                let packed = PlainMatrix(form, rows: 20, columns: 256, random: &random).packed()!
                let bias = random.units(20)
                on(name) {
                    #expect(Self.multiply([packed], Array(repeating: 0, count: 256), tokens: 1, bias: bias)[0] == bias)
                    #expect(Self.multiply([packed], Array(repeating: 1e-38, count: 256), tokens: 1, bias: bias)[0] == bias)
                    for bad in [Float.nan, .infinity, -.infinity] {
                        var x = random.units(256)
                        x[77] = bad
                        #expect(Self.multiply([packed], x, tokens: 1)[0].allSatisfy { $0.isNaN })
                    }
                }
            }
        }
    }
}
