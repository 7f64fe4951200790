/// How long a step takes by the number of its rows, as measured while it works; for rows not seen yet, a guess that invites
/// to try them. A value; the times are given to it.
package struct StepCosts: Sendable {
    package static let most = 64  // rows

    private var seconds = [Double](repeating: 0, count: most + 1)  // by rows; 0: never measured
    private var secondsPerPromptToken = 0.0

    package init() {}

    /// Decodes, and tokens guessed beside them, of `rows` tokens together have taken so long.
    package mutating func note(rows: Int, seconds time: Double) {
        guard rows >= 1, rows <= Self.most, time > 0 else { return }
        let old = seconds[rows]
        // A pause of the whole process is no cost of the step.
        seconds[rows] = old == 0 ? time : old + 0.25 * (min(time, 2 * old) - old)
        // What was measured long ago, and has looked too dear since, is slowly forgiven.
        for other in seconds.indices where other > rows && seconds[other] > 0 {
            let hoped = guess(other, from: rows)
            if seconds[other] > hoped { seconds[other] += 0.002 * (hoped - seconds[other]) }
        }
    }

    /// Seconds of a step of so many rows; nil before anything was measured.
    package func estimate(_ rows: Int) -> Double? {
        guard rows >= 1, rows <= Self.most else { return nil }
        if seconds[rows] > 0 { return seconds[rows] }
        guard let below = (1..<rows).last(where: { seconds[$0] > 0 }) else { return nil }
        guard let above = seconds.indices.first(where: { $0 > rows && seconds[$0] > 0 }) else { return guess(rows, from: below) }
        let share = Double(rows - below) / Double(above - below)
        return seconds[below] + share * max(0, seconds[above] - seconds[below])
    }

    /// Where weights are read once for all rows, one more costs little.
    private func guess(_ rows: Int, from below: Int) -> Double { seconds[below] * (1 + 0.04 * Double(rows - below)) }

    // ----------------------------------------------------------------------------------------------------- prompts

    /// A chunk of a prompt beside `decodes` other rows has taken so long.
    package mutating func note(promptTokens: Int, beside decodes: Int, seconds time: Double) {
        guard promptTokens >= 16, time > 0 else { return }
        let own = max(time - (decodes > 0 ? estimate(decodes) ?? 0 : 0), 0.2 * time) / Double(promptTokens)
        secondsPerPromptToken = secondsPerPromptToken == 0 ? own : secondsPerPromptToken + 0.25 * (own - secondsPerPromptToken)
    }

    /// How many tokens of a prompt take about so long: whole tiles of 32, which the products work in.
    package func promptTokens(in time: Double, atMost limit: Int) -> Int {
        guard secondsPerPromptToken > 0 else { return min(64, limit) }
        let tiles = Int(min(time / secondsPerPromptToken / 32, 1000))
        return max(1, min(limit, max(1, tiles) * 32))
    }
}
