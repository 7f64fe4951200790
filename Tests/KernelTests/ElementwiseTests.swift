import CKernels
import TestSupport
import Testing

#if canImport(Glibc)
    internal import Glibc
#endif

extension KernelTests {
    @Suite struct ElementwiseTests {
        /// Every length below two vectors of 16, some beyond, and one that the team shares.
        static let lengths = Array(1...33) + [63, 64, 65, 576, 20_011]

        /// Runs an operation on a copy of x on one instruction set, off alignment by some elements.
        static func apply(_ name: String, _ x: [Float], shift: Int, _ operation: (OpaquePointer, UnsafeMutablePointer<Float>) -> Void)
            -> [Float]
        {
            let team = Team(2)
            let block = Block(x, shift: shift)
            on(name) { operation(team.team, block.start) }
            return block.elements
        }

        struct Operation: Sendable {
            let name: String
            let plain: @Sendable (Double, Double) -> Double
            let run: @Sendable (OpaquePointer, UnsafeMutablePointer<Float>, UnsafePointer<Float>, Int64) -> Void
        }

        static let operations: [Operation] = [
            Operation(name: "add", plain: { $0 + $1 }, run: { ck_add($0, $1, $2, $3) }),
            Operation(
                name: "scale", plain: { x, _ in x * Double(Float(1.7)) }, run: { team, x, _, count in ck_scale(team, x, 1.7, count) }),
            Operation(name: "softcap", plain: { x, _ in 30 * tanh(x / 30) }, run: { team, x, _, count in ck_softcap(team, x, 30, count) }),
            Operation(
                name: "silu", plain: { $0 / (1 + exp(-$0)) * $1 }, run: { ck_glu($0, CK_SILU, $1, $2, $3) }),
            Operation(
                name: "gelu", plain: { 0.5 * $0 * (1 + tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) * $1 },
                run: { ck_glu($0, CK_GELU_TANH, $1, $2, $3) }),
        ]

        @Test func everyLengthAgreesWithThePlainFormulaAndTheOtherInstructionSets() {
            var random = SeededRandom(seed: seed)
            for operation in Self.operations {
                for length in Self.lengths {
                    let x = random.units(length).map { 9 * $0 * $0 * $0 }
                    let y = random.units(length)
                    let shift = random.below(16)
                    let other = Block(y, shift: random.below(16))
                    let all = instructionSets.map { name in
                        Self.apply(name, x, shift: shift) { operation.run($0, $1, other.start, Int64(length)) }
                    }
                    for found in all {
                        let worst = zip(found, zip(x, y)).map { found, input -> Double in
                            let scale = max(abs(Double(input.0)), abs(Double(input.1)), 1e-3)
                            return abs(Double(found) - operation.plain(Double(input.0), Double(input.1))) / scale
                        }.max()!
                        #expect(worst < 1e-6, "\(operation.name) \(length)")
                        #expect(found.bits == all.last!.bits, "\(operation.name) \(length)")
                    }
                }
            }
        }

        @Test func extremesStayInBounds() {
            let x: [Float] = [-1e30, -1000, -100, -88, -87, -20, -1e-20, 0, 1e-20, 20, 87, 88, 89, 100, 1000, 1e30]
            let ones = Block(x.map { _ in Float(1) })
            for name in instructionSets {
                let silu = Self.apply(name, x, shift: 0) { ck_glu($0, CK_SILU, $1, ones.start, Int64(x.count)) }
                let gelu = Self.apply(name, x, shift: 0) { ck_glu($0, CK_GELU_TANH, $1, ones.start, Int64(x.count)) }
                let capped = Self.apply(name, x, shift: 0) { ck_softcap($0, $1, 50, Int64(x.count)) }
                for (index, value) in x.enumerated() {
                    if value.magnitude < 1e10 {  // beyond, x / exp(88) is no longer small
                        #expect(silu[index] <= max(value, 0) && silu[index] >= -0.3, "\(name) silu \(value)")
                        #expect(gelu[index] <= max(value, 0) && gelu[index] >= -0.3, "\(name) gelu \(value)")
                    }
                    #expect(abs(capped[index]) <= 50 && (capped[index] < 0) == (value < 0), "\(name) softcap \(value)")
                }
            }
        }

        @Test func rowsAreNormalised() {
            var random = SeededRandom(seed: seed)
            for width in Self.lengths {
                let rows = width > 1000 ? 3 : 2
                let x = random.units(rows * (width + 5))
                let weight = Block(random.units(width), shift: 3)
                let all = instructionSets.map { name in
                    let team = Team(2)
                    let input = Block(x, shift: 1)
                    let output = Block<Float>(rows * (width + 2))
                    on(name) {
                        ck_rmsnorm(
                            team.team, input.start, Int64(width + 5), weight.start, 1e-5, Int64(rows), Int64(width), output.start,
                            Int64(width + 2))
                    }
                    return (0..<rows).flatMap { row in (0..<width).map { output.start[row * (width + 2) + $0] } }
                }
                for row in 0..<rows {
                    let values = x[row * (width + 5)..<row * (width + 5) + width].map { Double($0) }
                    let mean = values.reduce(0) { $0 + $1 * $1 } / Double(width)
                    let factor = 1 / (mean + 1e-5).squareRoot()
                    for found in all {
                        let worst = (0..<width).map {
                            abs(Double(found[row * width + $0]) - values[$0] * factor * Double(weight.start[$0]))
                        }.max()!
                        #expect(worst < 5e-6, "\(width)")
                        #expect(found.bits == all.last!.bits, "\(width)")
                    }
                }
            }
        }

        @Test func halvesOfHeadsAreRotated() {
            var random = SeededRandom(seed: seed)
            for (headSize, rotated) in [(2, 2), (8, 8), (64, 64), (80, 80), (64, 32), (30, 30), (128, 128), (33, 20)] {
                for rows in [1, 3, 40] {
                    let heads = 5
                    let stride = heads * headSize + 7
                    let x = random.units(rows * stride)
                    let angles = random.units(rows * rotated / 2)
                    let table = Block(
                        (0..<rows).flatMap { row -> [Float] in
                            let of = angles[row * rotated / 2..<(row + 1) * rotated / 2]
                            return of.map { cosf(3 * $0) } + of.map { sinf(3 * $0) }
                        })
                    let all = instructionSets.map { name in
                        Self.apply(name, x, shift: 2) {
                            ck_rope($0, $1, Int64(stride), Int64(rows), Int32(heads), Int32(headSize), Int32(rotated), table.start)
                        }
                    }
                    var expected = x.map { Double($0) }
                    for row in 0..<rows {
                        for head in 0..<heads {
                            for i in 0..<rotated / 2 {
                                let at = row * stride + head * headSize + i
                                let angle = 3 * Double(angles[row * rotated / 2 + i])
                                let a = Double(x[at])
                                let b = Double(x[at + rotated / 2])
                                expected[at] = a * cos(angle) - b * sin(angle)
                                expected[at + rotated / 2] = a * sin(angle) + b * cos(angle)
                            }
                        }
                    }
                    for found in all {
                        #expect(zip(found, expected).allSatisfy { abs(Double($0) - $1) < 1e-6 }, "\(headSize) \(rotated) \(rows)")
                        #expect(found.bits == all.last!.bits)
                    }
                }
            }
        }
    }
}
