import CKernels
import TestSupport
import Testing

/// Inputs of bf16 weights as two rows of bf16.
@Suite struct FineInputTests {
    @Test(arguments: [1, 2, 3])
    func whatBF16LeavesOverIsTheExactRest(_ members: Int32) {
        var random = SeededRandom(seed: 12)
        let width = 77
        var x = (0..<6 * width).map { _ in Float.random(in: -3...3, using: &random) }
        x[5] = .nan
        x[6] = .infinity
        x[7] = 0x1p-130
        let before = x
        let team = ck_team_create(members)
        defer { ck_team_destroy(team) }
        ck_residual(team, &x, 3, Int64(width))
        for index in 0..<3 * width {
            let usual = before[index].isFinite && before[index].isNormal
            let expected = usual ? before[index] - PlainMatrix.nearestBF16(before[index]) : 0
            #expect(x[3 * width + index] == expected)
            #expect(!usual || abs(expected) <= before[index].ulp * 32768)
        }
    }

    @Test(arguments: [1, 2, 7])
    func joiningAddsTheRestAndTheBiasOnce(_ rows: Int) {
        let width = 37
        var y = (0..<2 * rows * width).map { Float($0) }
        let bias = (0..<width).map { Float($0) * 0.25 }
        let before = y
        let team = ck_team_create(2)
        defer { ck_team_destroy(team) }
        ck_join(team, &y, Int64(rows), Int64(width), bias)
        for index in 0..<rows * width { #expect(y[index] == before[index] + before[rows * width + index] + bias[index % width]) }
    }
}
