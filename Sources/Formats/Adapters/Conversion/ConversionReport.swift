public import Weights

/// What a conversion does to each tensor.
public struct ConversionReport: Sendable {
    public enum Loss: Sendable, Equatable {
        /// Every number of the result equals the source's.
        case exact
        /// Some numbers are rounded, none by more than this fraction of itself.
        case rounded(maximumRelativeError: Double)
    }

    public struct Tensor: Sendable {
        public var source: String
        public var target: String
        public var sourceFormat: String
        public var targetFormat: String
        public var sourceBytes: Int
        public var targetBytes: Int
        public var loss: Loss
    }

    public var tensors: [Tensor] = []
    /// What a reader should know besides: facts that the other form spells in another way.
    public var notes: [String] = []

    public var sourceBytes: Int { tensors.reduce(0) { $0 + $1.sourceBytes } }
    public var targetBytes: Int { tensors.reduce(0) { $0 + $1.targetBytes } }
    public var isExact: Bool { tensors.allSatisfy { $0.loss == .exact } }

    /// One line per kind of change: `210 tensors Q4_1 → affine 4-bit group 32 (f16), exact`.
    public var summary: [String] {
        var counts: [(line: String, count: Int)] = []
        for tensor in tensors {
            let line = "\(tensor.sourceFormat) → \(tensor.targetFormat), \(tensor.loss.description)"
            if let place = counts.firstIndex(where: { $0.line == line }) { counts[place].count += 1 } else { counts.append((line, 1)) }
        }
        return counts.map { "\($0.count) tensor\($0.count == 1 ? "" : "s") \($0.line)" } + notes
    }

    public var json: JSONValue {
        .object([
            "exact": .bool(isExact),
            "source_bytes": .int(sourceBytes),
            "target_bytes": .int(targetBytes),
            "notes": .array(notes.map(JSONValue.string)),
            "tensors": .array(
                tensors.map { tensor in
                    .object([
                        "source": .string(tensor.source), "target": .string(tensor.target),
                        "source_format": .string(tensor.sourceFormat), "target_format": .string(tensor.targetFormat),
                        "source_bytes": .int(tensor.sourceBytes), "target_bytes": .int(tensor.targetBytes),
                        "loss": .string(tensor.loss == .exact ? "exact" : "rounded"),
                        "maximum_relative_error": .float(tensor.loss.maximumRelativeError),
                    ])
                }),
        ])
    }
}

extension ConversionReport.Loss: CustomStringConvertible {
    public var maximumRelativeError: Double {
        switch self {
        case .exact: 0
        case .rounded(let error): error
        }
    }

    public var description: String {
        switch self {
        case .exact: "exact"
        case .rounded(let error): "rounded by at most \(Float(error)) of itself"
        }
    }
}
