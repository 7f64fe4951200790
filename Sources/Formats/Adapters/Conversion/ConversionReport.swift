public import Weights

/// What a conversion does to each tensor.
public struct ConversionReport: Sendable {
    public enum Loss: Sendable, Equatable {
        /// Every number of the result equals the source's.
        case exact
        /// The codes are the source's; some scales are rounded, none by more than this fraction of itself.
        case rounded(maximumRelativeError: Double)
        /// The numbers themselves are rounded to another format. Nil before it has happened.
        case requantised(Errors?)
    }

    /// Differences between the source's numbers and the result's.
    public struct Errors: Sendable, Equatable {
        /// Root of the mean square of the differences, and of the source's numbers.
        public var rms: Double
        public var sourceRMS: Double
        public var maximum: Double
        /// The root of the weighted mean square, as a fraction of the source's, where a calibration weighted the columns.
        public var relativeWeightedRMS: Double?

        /// As a fraction of the source's.
        public var relativeRMS: Double { sourceRMS > 0 ? rms / sourceRMS : 0 }
    }

    public struct Tensor: Sendable {
        public var source: String
        public var target: String
        public var sourceFormat: String
        public var targetFormat: String
        public var sourceBytes: Int
        public var targetBytes: Int
        public var loss: Loss
        /// What else happens to it: rows in another order, a norm's 1.
        public var changes: [String]
    }

    /// How the result predicts a text, beside its source. Both run in precise mode, so that weights alone count.
    public struct Verification: Sendable {
        public var tokens: Int
        public var perplexity: Double
        public var sourcePerplexity: Double
        /// Of the source's distribution of the next token from the result's: mean over the tokens, and largest.
        public var meanDivergence: Double
        public var maximumDivergence: Double
        /// Share of tokens for which both take the same piece to be the likeliest.
        public var agreement: Double
        /// Whether the result's tokenizer cuts the text as the source's does.
        public var cutsAlike: Bool

        public init(
            tokens: Int, perplexity: Double, sourcePerplexity: Double, meanDivergence: Double, maximumDivergence: Double, agreement: Double,
            cutsAlike: Bool
        ) {
            self.tokens = tokens
            self.perplexity = perplexity
            self.sourcePerplexity = sourcePerplexity
            self.meanDivergence = meanDivergence
            self.maximumDivergence = maximumDivergence
            self.agreement = agreement
            self.cutsAlike = cutsAlike
        }
    }

    public var tensors: [Tensor] = []
    /// The text by which columns were weighted, and its length.
    public var calibration: (text: String, tokens: Int)?
    public var verification: Verification?
    /// What a reader should know besides: facts that the other form spells in another way.
    public var notes: [String] = []

    public var sourceBytes: Int { tensors.reduce(0) { $0 + $1.sourceBytes } }
    public var targetBytes: Int { tensors.reduce(0) { $0 + $1.targetBytes } }
    public var isExact: Bool { tensors.allSatisfy { $0.loss == .exact } }

    /// Tensors and bytes of the result by kind of loss.
    private func share(_ kind: String) -> (tensors: Int, bytes: Int) {
        let those = tensors.filter { $0.loss.kind == kind }
        return (those.count, those.reduce(0) { $0 + $1.targetBytes })
    }

    /// One line per kind of change: `210 tensors Q4_1 → affine 4-bit group 32 (f16), exact`.
    public var summary: [String] {
        var counts: [(line: String, count: Int, worst: Tensor)] = []
        for tensor in tensors {
            let line = "\(tensor.sourceFormat) → \(tensor.targetFormat), \(tensor.loss.kind)"
            guard let place = counts.firstIndex(where: { $0.line == line }) else {
                counts.append((line, 1, tensor))
                continue
            }
            counts[place].count += 1
            if tensor.loss.size > counts[place].worst.loss.size { counts[place].worst = tensor }
        }
        return counts.map { entry in
            let detail = entry.worst.loss.detail
            return "\(entry.count) tensor\(entry.count == 1 ? "" : "s") \(entry.line)"
                + (detail.isEmpty ? "" : entry.count == 1 ? ": \(detail)" : ": \(detail) at most")
        } + notes + [calibration.map { "calibrated by \($0.tokens) tokens of \($0.text)" }, verification?.sentence].compactMap { $0 }
    }

    /// Totals as JSON, short enough to be carried inside a model.
    public var total: JSONObject {
        var total: JSONObject = [
            "exact": .bool(isExact), "source_bytes": .int(sourceBytes), "target_bytes": .int(targetBytes),
        ]
        for kind in ["exact", "rounded", "requantised"] {
            let (count, bytes) = share(kind)
            if count > 0 { total["\(kind)_tensors"] = .object(["count": .int(count), "bytes": .int(bytes)]) }
        }
        let rounded = tensors.reduce(0) { Swift.max($0, $1.loss.maximumRelativeError) }
        if rounded > 0 { total["maximum_relative_error_of_scales"] = .float(rounded) }
        let errors = tensors.compactMap(\.loss.errors)
        if let worst = errors.map(\.relativeRMS).max() {
            total["maximum_relative_rms_error"] = .float(Double(Float(worst)))
            total["maximum_error"] = .float(Double(Float(errors.reduce(0) { Swift.max($0, $1.maximum) })))
        }
        if let calibration {
            // Short, as a model may carry it.
            let name = String(calibration.text.prefix(48))
            total["calibration"] = .object(["text": .string(name), "tokens": .int(calibration.tokens)])
        }
        if let verification { total["verification"] = verification.json }
        return total
    }

    public var json: JSONValue {
        var document = total
        document["notes"] = .array(notes.map(JSONValue.string))
        document["tensors"] = .array(
            tensors.map { tensor in
                var entry: JSONObject = [
                    "source": .string(tensor.source), "target": .string(tensor.target),
                    "source_format": .string(tensor.sourceFormat), "target_format": .string(tensor.targetFormat),
                    "source_bytes": .int(tensor.sourceBytes), "target_bytes": .int(tensor.targetBytes),
                    "loss": .string(tensor.loss.kind), "changes": .array(tensor.changes.map(JSONValue.string)),
                    "maximum_relative_error": .float(tensor.loss.maximumRelativeError),
                ]
                if let errors = tensor.loss.errors {
                    entry["rms_error"] = .float(errors.rms)
                    entry["relative_rms_error"] = .float(errors.relativeRMS)
                    entry["maximum_error"] = .float(errors.maximum)
                    if let weighted = errors.relativeWeightedRMS { entry["relative_weighted_rms_error"] = .float(weighted) }
                }
                return .object(entry)
            })
        return .object(document)
    }

    /// A table of all tensors in Markdown.
    public var table: String {
        let head = "| tensor | from | to | loss | |\n|---|---|---|---|---|\n"
        return head
            + tensors.map { tensor in
                let loss = tensor.loss.kind + (tensor.loss.detail.isEmpty ? "" : ": \(tensor.loss.detail)")
                return "| `\(tensor.target)` | \(tensor.sourceFormat) | \(tensor.targetFormat) | \(loss) | \(tensor.changes.joined(separator: ", ")) |\n"
            }.joined()
    }
}

extension ConversionReport.Verification {
    var json: JSONValue {
        .object([
            "tokens": .int(tokens), "perplexity": .float(perplexity), "source_perplexity": .float(sourcePerplexity),
            "kl_divergence": .float(meanDivergence), "kl_divergence_maximum": .float(maximumDivergence), "top_1_agreement": .float(agreement),
            "cuts_alike": .bool(cutsAlike),
        ])
    }

    var sentence: String {
        "verified over \(tokens) tokens: perplexity \(Self.short(perplexity)), of the source \(Self.short(sourcePerplexity)); "
            + "KL divergence \(Self.short(meanDivergence)) mean, \(Self.short(maximumDivergence)) at most; "
            + "same first choice for \(Self.short(100 * agreement)) %"
            + (cutsAlike ? "" : "; ITS TOKENIZER CUTS THE TEXT OTHERWISE")
    }

    /// As many digits as mean anything.
    private static func short(_ value: Double) -> String { "\(Float(value))" }
}

extension ConversionReport.Loss {
    /// `exact`, `rounded` or `requantised`.
    public var kind: String {
        switch self {
        case .exact: "exact"
        case .rounded: "rounded"
        case .requantised: "requantised"
        }
    }

    public var maximumRelativeError: Double { if case .rounded(let error) = self { error } else { 0 } }
    public var errors: ConversionReport.Errors? { if case .requantised(let errors) = self { errors } else { nil } }

    var size: Double { errors?.relativeRMS ?? maximumRelativeError }

    /// The figures in words; empty where there are none.
    public var detail: String {
        switch self {
        case .exact, .requantised(nil): ""
        case .rounded(let error): "by \(Float(error)) of itself"
        case .requantised(let errors?): "RMS error \(Float(errors.relativeRMS)) of the tensor's RMS, largest \(Float(errors.maximum))"
        }
    }
}
