internal import Weights

/// The form of one matrix in the target that keeps its numbers, where there is one.
struct FormChoice {
    enum Outcome {
        case found(any QuantFormat, TensorMove.Way, ConversionReport.Loss)
        case refused(String, hint: String)
    }

    private let record: StoredTensor
    private let source: any ModelSource
    private let options: ConversionOptions
    private var from: any QuantFormat { record.format }

    init(_ record: StoredTensor, _ source: any ModelSource, _ options: ConversionOptions) {
        self.record = record
        self.source = source
        self.options = options
    }

    func form() -> Outcome {
        if from.isPlain { return .found(from, .bytes, .exact) }
        if from is OtherNumbers { return refusal("is not written: F32, F16 and BF16 are") }
        switch options.target {
        case .huggingFace: return .found(Dense(.f32), .numbers, .exact)
        case .gguf: return from.ggufType != nil ? .found(from, .bytes, .exact) : blocks()
        case .mlx: return from.isOfMLX ? .found(from, .bytes, .exact) : affine()
        }
    }

    /// MLX's affine form for GGUF's codes.
    private func affine() -> Outcome {
        guard let form = CodeMove.Form(from.packing) else { return refusal("is of no kind that MLX has") }
        if let same = CodeMove.sameScales(form, options.target, record.columns) {
            return .found(same.format, .codes(same), .exact)
        }
        guard form.scaleIsNumber else { return refusal("has scales that MLX does not have") }
        guard form.group >= 32 else { return refusal("has groups of \(form.group), MLX's have 32 at least") }
        guard let bits = Affine.widths.filter({ $0 >= form.plainBits }).min() else { return refusal("has codes of \(form.plainBits) bits") }
        let grows = form.number == nil || !form.codebook.isEmpty
        guard options.keepsCodes || !grows else {
            return refusal("would keep its codes only with more bits per weight", hint: "--keep-codes does so, --quantize mlx rounds")
        }
        let facts = ScaleFacts(record, form, source)
        guard facts.isFinite else { return refusal("has scales that are no numbers") }
        // The source's own type first: f16 where they are products, with f32 behind, which holds all.
        let hint = source.metadata.values["lmx.scales"].flatMap { if case .text(let name) = $0 { Packing.Number(rawValue: name) } else { nil } }
        let wanted = options.scales.map { [$0] } ?? [hint, form.number ?? .f16, .f32].compactMap { $0 }
        for number in wanted where facts.error(as: number) == 0 || (options.scales != nil && options.keepsCodes) {
            guard let affine = group(form, facts, bits, number), let move = CodeMove(from: from, to: affine) else { continue }
            let error = facts.error(as: number)
            guard error.isFinite else { continue }
            return .found(affine, .codes(move), error == 0 ? .exact : .rounded(maximumRelativeError: error))
        }
        return refusal("has scales that \(options.scales?.rawValue ?? "f32") does not hold", hint: "--keep-codes rounds them")
    }

    /// The widest group in which all scales are equal.
    private func group(_ form: CodeMove.Form, _ facts: ScaleFacts, _ bits: Int, _ number: Packing.Number) -> Affine? {
        for group in Affine.groups.sorted(by: >) where record.columns % group == 0 && (facts.repeats * form.group) % group == 0 {
            if let affine = Affine.make(bits: bits, group: group, scale: number) { return affine }
        }
        return nil
    }

    /// GGUF's blocks for MLX's codes.
    private func blocks() -> Outcome {
        guard let form = CodeMove.Form(from.packing) else { return refusal("is of no kind that GGUF has") }
        if let same = CodeMove.sameScales(form, options.target, record.columns) {
            return .found(same.format, .codes(same), .exact)
        }
        guard form.scaleIsNumber else { return refusal("has no counterpart in GGUF") }
        let facts = ScaleFacts(record, form, source)
        guard facts.isFinite else { return refusal("has scales that are no numbers") }
        guard record.columns % 32 == 0 else { return refusal("has rows of \(record.columns), no multiple of 32") }
        guard facts.errorF16 == 0 || (options.keepsCodes && facts.errorF16.isFinite) else {
            return refusal("has scales that f16 does not hold", hint: "--keep-codes rounds them, --fallback q8_0 or f16 rounds the numbers")
        }
        let format: any PackableFormat
        switch form.plainBits {
        case ...4: format = facts.symmetric[8] == true ? Q4_0() : Q4_1()
        case 5: format = facts.symmetric[16] == true ? Q5_0() : Q5_1()
        default:
            guard facts.symmetric[128] == true else {
                return refusal("has \(form.plainBits)-bit codes with offsets, which no type of GGUF has", hint: "--fallback q8_0 or f16 rounds")
            }
            format = Q8_0()
        }
        guard let move = CodeMove(from: from, to: format) else { return refusal("does not fit into \(format.name)") }
        return .found(format, .codes(move), facts.errorF16 == 0 ? .exact : .rounded(maximumRelativeError: facts.errorF16))
    }

    private func refusal(_ problem: String, hint: String = "--fallback TYPE rounds such tensors, --quantize TYPE all") -> Outcome {
        .refused("\(from.name) \(problem)", hint: hint)
    }

    /// Whether plain numbers hold every number of another format: f32 all of them, others what is narrower still.
    static func holds(_ format: any QuantFormat, all other: any QuantFormat) -> Bool {
        guard let number = (format as? Dense)?.number else { return false }
        if number == .f32 { return true }
        return (other as? Dense)?.number == number
    }
}

extension QuantFormat {
    /// Whether it stores the numbers themselves.
    var isPlain: Bool { self is Dense }
    /// Whether MLX has it.
    var isOfMLX: Bool { self is Affine || self is MLXFloat4 || self is MLXFloat8 }
}
