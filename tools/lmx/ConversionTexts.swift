internal import Compute
internal import Formats
internal import Text
internal import Weights

/// What a conversion learns by running models over a text. Both runs are precise: f32 throughout, four bytes per weight.
enum ConversionTexts {
    /// The longest window, where the model's context has room for it.
    private static let window = 512

    private static func windows(_ path: String, of source: any ModelSource) throws -> TextWindows {
        let context = try source.metadata.findInt(.contextLength, in: 1...Int(Int32.max)) ?? window
        return try TextWindows(path, of: source, length: min(window, context), shrinks: true)
    }

    /// Runs the source over a text and keeps what each matrix was multiplied by.
    static func calibration(
        _ path: String, of source: any ModelSource, _ options: ComputeOptions, stopped: () -> Bool
    ) throws -> Calibration {
        let text = try windows(path, of: source)
        let model = try Composition.model(of: source, options, precise: true)
        var state = try ModelState(model, positions: text.windows[0].count, observingInputs: true)
        let progress = Terminal.progress("calibrating")
        for (index, window) in text.windows.enumerated() {
            if stopped() { throw ModelError(.unreadable, at: path, "was not read to its end: interrupted") }
            state.restart()
            try state.run(window, logits: .all) { _ in }
            progress(Double(index + 1) / Double(text.windows.count))
        }
        return Calibration(text: text.name, tokens: text.ids.count, importance: state.inputMeanSquares)
    }

    /// A comparison of a result with its source, to be made when the result is there. The text is read now: what is wrong with
    /// it should not come to light after an hour of writing.
    static func verification(
        _ path: String, of source: any ModelSource, _ options: ComputeOptions, stopped: @escaping () -> Bool
    ) throws -> (String) throws(ModelError) -> ConversionReport.Verification {
        let text = try windows(path, of: source)
        return { result throws(ModelError) in
            do {
                return try compare(ModelSources.open(result), with: source, over: text, path, options, stopped)
            } catch let error as ModelError {
                throw error
            } catch {
                throw ModelError(.mismatched, at: result, Refusal(error)?.message ?? "cannot be verified")
            }
        }
    }

    private static func compare(
        _ result: any ModelSource, with source: any ModelSource, over text: TextWindows, _ path: String, _ options: ComputeOptions,
        _ stopped: () -> Bool
    ) throws -> ConversionReport.Verification {
        let again = try windows(path, of: result)
        let length = text.windows[0].count
        let subject = try WindowScorer(result, options, window: length, precise: true)
        let reference = try WindowScorer(source, options, window: length, precise: true)
        guard subject.vocabularySize == reference.vocabularySize else {
            throw ModelError(
                .mismatched, at: result.path, "has \(subject.vocabularySize) pieces, its source has \(reference.vocabularySize)")
        }
        let progress = Terminal.progress("comparing")
        var total = Divergence()
        for (index, window) in text.windows.enumerated() {
            if stopped() { throw ModelError(.unreadable, at: result.path, "was not written: interrupted") }
            total.score(window, try subject.logProbabilities(window), against: try reference.logProbabilities(window))
            progress(Double(index + 1) / Double(text.windows.count))
        }
        return ConversionReport.Verification(
            tokens: total.tokens, perplexity: total.perplexity, sourcePerplexity: total.referencePerplexity,
            meanDivergence: total.meanDivergence, maximumDivergence: total.maximumDivergence, agreement: total.agreement,
            cutsAlike: again.windows == text.windows)
    }
}
