import CKernels
import TestSupport
import Testing

extension KernelTests {
    @Suite struct DenseTests {
        static let kinds = [CK_F32, CK_F16, CK_BF16].map { PlainMatrix.dense($0) }

        /// Rows so wide that their columns are widened in several blocks.
        @Test(arguments: instructionSets.dropLast())
        func wideRowsAgreeWithThePlainTableBitForBit(_ name: String) {
            var random = SeededRandom(seed: seed)
            for form in Self.kinds {
                for (rows, columns, tokens) in [(33, 1500, 13), (64, 1025, 25), (7, 511, 40), (17, 513, 4), (100, 600, 9)] {
                    let plain = PlainMatrix(form, rows: rows, columns: columns, random: &random)
                    let packed = plain.packed()!
                    let x = random.units(tokens * columns)
                    let bias = tokens % 2 == 0 ? nil : random.units(rows)
                    let expected = on("scalar") { ProductTests.multiply([packed], x, tokens: tokens, bias: bias)[0] }
                    let found = on(name) { ProductTests.multiply([packed], x, tokens: tokens, bias: bias, members: 2)[0] }
                    #expect(found.bits == expected.bits, "values \(form.values), \(rows) x \(columns), \(tokens) tokens")
                }
            }
        }

        @Test(arguments: instructionSets)
        func aTokenDoesNotDependOnItsBatchInWideRows(_ name: String) {
            var random = SeededRandom(seed: seed)
            for form in Self.kinds {
                let columns = 1100
                let packed = PlainMatrix(form, rows: 49, columns: columns, random: &random).packed()!
                let x = random.units(30 * columns)
                on(name) {
                    let all = ProductTests.multiply([packed], x, tokens: 30, members: 3)[0].bits
                    for token in [0, 11, 12, 29] {
                        let row = Array(x[token * columns..<(token + 1) * columns])
                        let alone = ProductTests.multiply([packed], row, tokens: 1)[0].bits
                        #expect(Array(all[token * 49..<(token + 1) * 49]) == alone, "values \(form.values), token \(token)")
                    }
                }
            }
        }

        /// Below 2^-126 a bf16 product, its factors and its sums are zero; elsewhere they keep what f32 can hold.
        @Test(arguments: instructionSets)
        func numbersNearTheSmallestAreTheSameOnEverySet(_ name: String) {
            var random = SeededRandom(seed: seed)
            for form in Self.kinds {
                for _ in 0..<40 {
                    let (columns, tokens) = (1 + random.below(40), 1 + random.below(14))
                    var plain = PlainMatrix(form, rows: 20, columns: columns, random: &random)
                    if form.values != UInt8(CK_F16.rawValue) {
                        let shift: UInt32 = form.values == UInt8(CK_BF16.rawValue) ? 16 : 0
                        plain.numbers = plain.numbers.map { _ in Self.small(&random).bitPattern >> shift }
                    }
                    let packed = plain.packed()!
                    let x = (0..<tokens * columns).map { _ in Self.small(&random) }
                    let expected = on("scalar") { ProductTests.multiply([packed], x, tokens: tokens)[0] }
                    let found = on(name) { ProductTests.multiply([packed], x, tokens: tokens)[0] }
                    #expect(found.bits == expected.bits, "values \(form.values)")
                    if form.values == UInt8(CK_BF16.rawValue) { #expect(found.allSatisfy { $0 == 0 || $0.isNormal }) }
                }
            }
        }

        /// Factors whose products lie about 2^-126, or that lie there themselves.
        static func small(_ random: inout SeededRandom) -> Float {
            if random.below(8) == 0 { return Float(bitPattern: UInt32(random.below(1 << 24)) | (random.below(2) == 0 ? 0 : 0x8000_0000)) }
            return random.unit() * Float(sign: .plus, exponent: -62 - random.below(3), significand: 1)
        }

        @Test(arguments: instructionSets)
        func bf16InputsAreRoundedToTheNearestTiesToEven(_ name: String) {
            var random = SeededRandom(seed: seed)
            var plain = PlainMatrix(PlainMatrix.dense(CK_BF16), rows: 1, columns: 1, random: &random)
            plain.numbers = [PlainMatrix.bits(1, as: .bf16)]
            let packed = plain.packed()!
            let inputs: [Float] = [
                1, 1 + 0x1p-8, 1 + 0x3p-8, 1 + 0x1.01p-8, -1 - 0x1p-8, 0x1.FFp127, 0x1.FEFFFEp127, 0x1p-126, Float.leastNormalMagnitude.nextDown, 0,
            ]
            let expected: [Float] = [1, 1, 1 + 0x4p-8, 1 + 0x2p-8, -1, .infinity, 0x1.FEp127, 0x1p-126, 0, 0]
            for (input, result) in zip(inputs, expected) {
                #expect(on(name) { ProductTests.multiply([packed], [input], tokens: 1)[0] } == [result], "\(input)")
            }
            for bad in [Float.nan, .infinity] {
                #expect(on(name) { ProductTests.multiply([packed], [bad], tokens: 1)[0][0] }.isFinite == false)
            }
        }

        /// bf16 has inputs of its own: products of one call may mix it with other kinds.
        @Test(arguments: instructionSets)
        func kindsMixInOneCall(_ name: String) {
            var random = SeededRandom(seed: seed)
            let packed = [CK_BF16, CK_F32, CK_BF16, CK_F16].map {
                PlainMatrix(PlainMatrix.dense($0), rows: 40, columns: 70, random: &random).packed()!
            }
            let x = random.units(30 * 70)
            on(name) {
                let together = ProductTests.multiply(packed, x, tokens: 30, members: 2)
                for index in packed.indices {
                    #expect(together[index].bits == ProductTests.multiply([packed[index]], x, tokens: 30)[0].bits)
                }
            }
        }
    }
}
