/// Guesses at the next tokens of one answer from its own text, and how often they were right. A value.
///
/// Guesses are right by how long the text before them agrees; that is counted for every guess, verified or not, by the
/// tokens that really came. So what is known of them stays fresh while none are verified, and costs nothing.
package struct Speculator: Sendable {
    package static let most = 15  // tokens guessed at once

    private var lookup = PromptLookup()
    private var match: PromptLookup.Match?
    private var chances: [Double] = [0.1, 0.2, 0.3, 0.5, 0.7, 0.8]  // by class of agreement, what was seen of late
    /// Guesses of the present match that can be verified.
    private var available = 0

    package init() {}

    /// Looks for what may follow `tokens`; `limit`: how many of them would be of use.
    package mutating func look(at tokens: [Int32], limit: Int) {
        lookup.add(tokens)
        match = limit > 0 ? lookup.match(tokens) : nil
        available = match == nil ? 0 : min(limit, Self.most)
    }

    /// How many guesses there are, if so many are wanted.
    package func offered(_ count: Int) -> Int { min(count, available) }

    /// How many tokens more than the one that is certain a step brings on average that verifies `count` guesses.
    package func gain(_ count: Int) -> Double {
        guard let match else { return 0 }
        var chance = 1.0
        var sum = 0.0
        for place in 0..<min(count, available) {
            chance *= chances[Self.kind(match.length + place)]
            sum += chance
        }
        return sum
    }

    /// The first `count` guesses, as far as there are any, put behind `run`.
    /// - Returns: how many.
    package func propose(_ count: Int, after tokens: [Int32], to run: inout [Int32]) -> Int {
        guard let match else { return 0 }
        let count = min(count, available)
        // Behind the end of the text the guesses themselves go on: what repeats does so for ever.
        let period = tokens.count - match.next
        for place in 0..<count { run.append(tokens[match.next + place % period]) }
        return count
    }

    /// Tells what came in place of the guesses: of `tried` compared ones the first `right` were right.
    package mutating func learn(right: Int, tried: Int) {
        guard let match, tried > 0 else { return }
        for place in 0..<min(tried, right + 1) {
            let kind = Self.kind(match.length + place)
            chances[kind] += 0.08 * ((place < right ? 1 : 0) - chances[kind])
        }
    }

    /// The first guess; nil where there is none.
    package func first(after tokens: [Int32]) -> Int32? { match.map { tokens[$0.next] } }

    private static func kind(_ length: Int) -> Int {
        switch length {
        case ...2: 0
        case 3: 1
        case 4...5: 2
        case 6...8: 3
        case 9...15: 4
        default: 5
        }
    }
}

extension Speculator {
    private static let counts = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15]

    /// How many guesses of each sequence to verify in a step that decodes `rows` sequences: the number that makes most
    /// tokens per second of what each brings (`gain`, summed over the sequences, by guesses of each) and what rows cost.
    /// - Parameter added: rows that so many guesses of each add.
    /// - Returns: 0 unless it promises to pay for itself.
    package static func best(rows: Int, limit: Int, costs: StepCosts, added: (Int) -> Int, gain: (Int) -> Double) -> Int {
        guard let plain = costs.estimate(rows) else { return 0 }
        var best = 0
        var bestPace = 1.05 * Double(rows) / plain
        var last = 0
        for count in counts {
            let more = added(count)
            if more == last || rows + more > limit { break }
            last = more
            guard let time = costs.estimate(rows + more) else { break }
            let pace = (Double(rows) + gain(count)) / time
            if pace > bestPace { (best, bestPace) = (count, pace) }
        }
        return best
    }
}
