import CKernels
import TestSupport
import Testing

/// Inputs as two rows of bytes.
@Suite struct FineInputTests {
    @Test(arguments: [32, 256], [1, 2, 3])
    func whatCodesLeaveOverIsAtMostHalfAStep(_ block: Int, _ members: Int32) {
        let rows = 5
        let width = 512
        var random = SeededRandom(seed: 11)
        var x = (0..<2 * rows * width).map { _ in Float.random(in: -3...3, using: &random) }
        for column in 0..<block { x[column] = 0 }  // a block of zeros leaves nothing
        let before = x
        let team = ck_team_create(members)
        defer { ck_team_destroy(team) }
        ck_residual(team, &x, Int64(rows), Int64(width), Int32(block))
        #expect(Array(x[..<(rows * width)]) == Array(before[..<(rows * width)]))
        for start in stride(from: 0, to: rows * width, by: block) {
            let amax = x[start..<start + block].map(abs).max() ?? 0
            let scale = amax / 127
            for index in start..<start + block {
                let rest = x[rows * width + index]
                let code = scale == 0 ? 0 : (x[index] * (127 / amax)).rounded(.toNearestOrEven)
                #expect(rest == (scale == 0 ? 0 : x[index] - scale * code))
                #expect(abs(rest) <= scale * 0.5001)
            }
        }
    }

    @Test func aBlockThatIsNoNumberLeavesNothing() {
        var x = [Float](repeating: 1, count: 64)
        x[3] = .infinity
        let team = ck_team_create(1)
        defer { ck_team_destroy(team) }
        ck_residual(team, &x, 1, 32, 32)
        #expect(x[32...].allSatisfy { $0 == 0 })
    }

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
        ck_residual(team, &x, 3, Int64(width), 0)
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
