#if canImport(Glibc)
    internal import Glibc
#else
    internal import Musl
#endif

/// Rotary positions: how far each pair (i, i + rotated/2) of a head turns per position. arXiv 2104.09864
struct Rope {
    /// Radians per position, one per pair.
    let frequencies: [Float]

    /// - Parameter divisors: from the file where it writes them out (GGUF's `rope_freqs`), one per pair.
    init(_ rotation: Hyperparameters.Rotation, rotated: Int, divisors: [Float]? = nil) {
        frequencies = (0..<rotated / 2).map { pair in
            let frequency = 1 / Float(pow(rotation.base, Double(2 * pair) / Double(rotated)))
            return frequency / (divisors?[pair] ?? Self.divisor(of: frequency, rotation.scaling))
        }
    }

    /// In f32 throughout, as the divisors that GGUF files carry were computed.
    private static func divisor(of frequency: Float, _ scaling: Hyperparameters.Rotation.Scaling) -> Float {
        switch scaling {
        case .none: return 1
        case .linear(let factor): return Float(factor)
        case .llama3(let factor, let low, let high, let original):
            // Waves that turn often within the original context stay, slow ones are stretched, those between are blended.
            let factor = Float(factor)
            let low = Float(low)
            let high = Float(high)
            let original = Float(original)
            let wavelength = Float(2 * Double.pi) / frequency
            if wavelength < original / high { return 1 }
            if wavelength > original / low { return factor }
            let blend = (original / wavelength - low) / (high - low)
            return 1 / ((1 - blend) / factor + blend)
        }
    }

    /// Cosines, then as many sines, for one position.
    func angles(at position: Int, into row: UnsafeMutablePointer<Float>) {
        let pairs = frequencies.count
        for pair in 0..<pairs {
            let angle = Float(position) * frequencies[pair]
            row[pair] = cos(angle)
            row[pairs + pair] = sin(angle)
        }
    }
}
