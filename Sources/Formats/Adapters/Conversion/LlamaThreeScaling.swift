internal import Weights

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Musl
#endif

/// The rule behind the divisors that llama.cpp writes for Llama 3.1 and after: frequencies of long waves are divided by
/// `factor`, those of short ones by 1, and between `low` and `high` waves per original context the quotient goes over smoothly.
struct LlamaThreeScaling {
    static let low = 1.0, high = 4.0
    var factor: Double
    var originalContext: Int

    /// - Throws: `unsupported` where the divisors follow no such rule.
    init(divisors: [Float], base: Double, place: String) throws(ModelError) {
        let refusal = ModelError(.unsupported, at: place, "the divisors follow no rule that config.json can state", hint: "llama3 scaling")
        factor = Double(divisors.last ?? 1)
        originalContext = 0
        guard factor > 1, factor.isFinite, base > 1, divisors.allSatisfy({ $0 >= 1 && Double($0) <= factor }) else { throw refusal }
        func wavelength(_ index: Int) -> Double { 2 * .pi * pow(base, Double(index) / Double(divisors.count)) }
        // Any divisor between the ends tells the context; the one in the middle of the slope tells it best.
        let between = divisors.indices.filter { divisors[$0] > 1 && Double(divisors[$0]) < factor }
        let slope = between.map { (index: $0, part: (1 / Double(divisors[$0]) - 1 / factor) / (1 - 1 / factor)) }
        guard let best = slope.min(by: { abs($0.part - 0.5) < abs($1.part - 0.5) }) else { throw refusal }
        let context = wavelength(best.index) * (Self.low + best.part * (Self.high - Self.low))
        guard context.isFinite, context >= 1, context < 1e9 else { throw refusal }
        originalContext = Int(context.rounded())
        for (divisor, expected) in zip(divisors, Self.divisors(base, divisors.count, factor, Self.low, Self.high, Double(originalContext))) {
            guard abs(Double(divisor) - expected) <= 1e-4 * expected else { throw refusal }
        }
    }

    /// One divisor per pair of a head.
    static func divisors(_ base: Double, _ pairs: Int, _ factor: Double, _ low: Double, _ high: Double, _ context: Double) -> [Double] {
        (0..<pairs).map { index in
            let waves = context / (2 * .pi * pow(base, Double(index) / Double(pairs)))
            let part = Swift.min(Swift.max((waves - low) / (high - low), 0), 1)
            return 1 / ((1 - part) / factor + part)
        }
    }
}
