import CKernels
import TestSupport
import Testing

extension KernelTests {
    @Suite struct NumberTests {
        @Test func everyHalfIsWidenedAndNarrowedExactly() {
            let halves = (0...UInt16.max).map { $0 }
            for bits in halves {
                let value = ck_f16_to_f32(bits)
                let expected = Float(Float16(bitPattern: bits))
                #expect(value.bitPattern == expected.bitPattern || (value.isNaN && expected.isNaN))
                if !value.isNaN { #expect(ck_f32_to_f16(value) == bits) }
            }
            let plain = halves.map { ck_f16_to_f32($0).bitPattern }
            for name in instructionSets {
                let found = Block<Float>(halves.count)
                on(name) { ck_f16_to_f32_row(halves, found.start, Int64(halves.count)) }
                #expect(found.elements.bits == plain, "\(name)")
            }
        }

        @Test func narrowingRoundsToNearestEven() {
            var random = SeededRandom(seed: seed)
            var values = (0..<100_000).map { _ in Float(bitPattern: UInt32(truncatingIfNeeded: random.next())) }
            for bits in stride(from: UInt16(0), to: 0x7C00, by: 1) {  // the middle between neighbours, and next to it
                let low = Float(Float16(bitPattern: bits))
                let high = Float(Float16(bitPattern: bits + 1))
                let middle = high.isInfinite ? 65520 : (low + high) / 2
                values += [middle, middle.nextUp, middle.nextDown, -middle]
            }
            for value in values where !value.isNaN {
                let expected = Float16(value).bitPattern
                if ck_f32_to_f16(value) != expected { Issue.record("\(value): \(ck_f32_to_f16(value)), not \(expected)") }
            }
        }

        @Test func rowsOfEveryLengthAreWidenedAtAnyAlignment() {
            var random = SeededRandom(seed: seed)
            for count in 0...40 {
                for shift in 0..<5 {
                    let bits = (0..<count).map { _ in UInt16(truncatingIfNeeded: random.next()) & 0x7BFF }
                    let bytes = Block(bits.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }, shift: shift)
                    for name in instructionSets {
                        let halves = Block<Float>(count + 1)
                        let brains = Block<Float>(count + 1)
                        let mark = halves.start[count].bitPattern
                        on(name) {
                            ck_f16_to_f32_row(bytes.start, halves.start, Int64(count))
                            ck_bf16_to_f32_row(bytes.start, brains.start, Int64(count))
                        }
                        #expect(Array(halves.elements.dropLast()) == bits.map { Float(Float16(bitPattern: $0)) })
                        #expect(Array(brains.elements.dropLast()).bits == bits.map { UInt32($0) << 16 })
                        #expect(halves.start[count].bitPattern == mark && brains.start[count].bitPattern == mark, "wrote beyond the end")
                    }
                }
            }
        }
    }
}
