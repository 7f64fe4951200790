internal import ArgumentParser
internal import Compute
internal import Formats
internal import Foundation
internal import Text
internal import Weights

struct Perplexity: ParsableCommand, Reporting {
    static let configuration = CommandConfiguration(
        abstract: "Perplexity of a text; with a reference model, the divergence of the next-token distributions.",
        discussion: """
            The text is cut into windows of --window tokens; in each, the second half is scored (as llama-perplexity does,
            so that the figures can be compared). The reference runs in precise mode: f32 activations, f32 cache.

            Examples:
              lmx perplexity MODEL text.txt
              lmx perplexity MODEL text.txt --against MODEL     # what the packed arithmetic costs
            """)

    @Argument(help: "A path or an id.") var model: String
    @Argument(help: "A text file.") var file: String
    @Option(help: "The reference model.") var against: String?
    @Option(help: "Tokens in a window.") var window = 512
    @Option(help: "Windows at most (0: all).") var windows = 0
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var folders: FolderOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if window < 8 || window > 65_536 { throw ValidationError("--window must be between 8 and 65536") }
    }

    func run() throws {
        let source = try ModelSources.open(folders.models.path(of: model))
        let tokenizer = try Composition.tokenizer(of: source)
        let text = try TextWindows(file, of: source, length: window, most: windows)

        let subject = try WindowScorer(source, compute, window: window, precise: compute.precise)
        try Composition.check(tokenizer, against: subject.model, at: source.path)
        let reference = try against.map { path in
            try WindowScorer(ModelSources.open(folders.models.path(of: path)), compute, window: window, precise: true)
        }
        if let reference, reference.vocabularySize != subject.vocabularySize {
            throw Refusal(
                code: "mismatched", "\(against ?? ""): has \(reference.vocabularySize) pieces, \(model) has \(subject.vocabularySize)")
        }
        let progress = Terminal.progress("perplexity")
        var total = Divergence()
        for (index, tokens) in text.windows.enumerated() {
            total.score(tokens, try subject.logProbabilities(tokens), against: try reference?.logProbabilities(tokens))
            progress(Double(index + 1) / Double(text.windows.count))
        }
        report(total)
    }

    private func report(_ total: Divergence) {
        var document: JSONObject = [
            "model": .string(model), "tokens": .int(total.tokens), "perplexity": .float(total.perplexity),
            "perplexity_error": .float(total.perplexityError),
        ]
        if against != nil {
            document["reference_perplexity"] = .float(total.referencePerplexity)
            document["perplexity_ratio"] = .float(total.perplexity / total.referencePerplexity)
            document["kl_divergence"] = .float(total.meanDivergence)
            document["kl_divergence_maximum"] = .float(total.maximumDivergence)
            document["top_1_agreement"] = .float(total.agreement)
        }
        if output.json { return print(JSONValue.object(document).serialized()) }
        print("perplexity        \(total.perplexity.fixed(4)) ± \(total.perplexityError.fixed(4)) over \(total.tokens) tokens")
        guard against != nil else { return }
        print("of the reference  \(total.referencePerplexity.fixed(4)) (ratio \((total.perplexity / total.referencePerplexity).fixed(5)))")
        print("KL divergence     \(total.meanDivergence.fixed(6)) mean, \(total.maximumDivergence.fixed(6)) at most")
        print("top-1 agreement   \((100 * total.agreement).fixed(2)) %")
    }
}

/// One model that scores windows of text, the second half of each.
final class WindowScorer {
    let model: Model
    private let window: Int
    private var state: ModelState  // moves with the class, never copied

    var vocabularySize: Int { model.hyperparameters.vocabularySize }

    init(_ source: any ModelSource, _ options: ComputeOptions, window: Int, precise: Bool) throws(ModelError) {
        model = try Composition.model(of: source, options, precise: precise)
        self.window = window
        state = try ModelState(model, positions: window)
    }

    /// Log-probabilities after each token of the second half but the last: [window − window/2 − 1][vocabulary].
    func logProbabilities(_ tokens: [Int32]) throws -> [[Float]] {
        let half = window / 2
        var rows: [[Float]] = []
        state.restart()
        try state.run(Array(tokens[..<half]), logits: .none) { _ in }
        try state.run(Array(tokens[half..<window - 1]), logits: .all) { rows.append(logSoftmax($0)) }
        return rows
    }

    private func logSoftmax(_ logits: UnsafeBufferPointer<Float>) -> [Float] {
        let peak = logits.max() ?? 0
        var sum = 0.0
        for value in logits { sum += exp(Double(value - peak)) }
        let shift = peak + Float(log(sum))
        return logits.map { $0 - shift }
    }
}

/// Sums over scored tokens: surprise of the text, and distance from a reference.
struct Divergence {
    private(set) var tokens = 0
    private var surprise = 0.0, surpriseSquares = 0.0, referenceSurprise = 0.0, divergence = 0.0, agreements = 0
    private(set) var maximumDivergence = 0.0

    var perplexity: Double { exp(surprise / Double(tokens)) }
    var referencePerplexity: Double { exp(referenceSurprise / Double(tokens)) }
    var meanDivergence: Double { divergence / Double(tokens) }
    var agreement: Double { Double(agreements) / Double(tokens) }

    /// Standard error of the perplexity.
    var perplexityError: Double {
        let mean = surprise / Double(tokens)
        return tokens > 1 ? ((surpriseSquares / Double(tokens) - mean * mean) / Double(tokens - 1)).squareRoot() * perplexity : 0
    }

    mutating func score(_ window: [Int32], _ rows: [[Float]], against reference: [[Float]]?) {
        let half = window.count / 2
        for (index, row) in rows.enumerated() {
            let target = Int(window[half + 1 + index])
            let own = -Double(row[target])
            tokens += 1
            surprise += own
            surpriseSquares += own * own
            guard let other = reference?[index] else { continue }
            referenceSurprise -= Double(other[target])
            var sum = 0.0
            var best = 0
            var otherBest = 0
            for piece in row.indices {
                sum += exp(Double(other[piece])) * Double(other[piece] - row[piece])
                if row[piece] > row[best] { best = piece }
                if other[piece] > other[otherBest] { otherBest = piece }
            }
            divergence += sum
            maximumDivergence = max(maximumDivergence, sum)
            if best == otherBest { agreements += 1 }
        }
    }
}
