import Engine
import Weights

/// The fields that chat and raw completions share: how many tokens, how they are chosen, when to stop, how to deliver.
struct GenerationFields: Sendable {
    var model: String
    /// All but the temperature, whose default is the server's.
    var sampling: SamplingParameters
    var temperature: Double?
    var maximumTokens: Int?
    var stop: [String]
    var choices: Int
    var context: Int?  // the client's own bound on prompt and answer together
    var streams: Bool
    var includesUsage: Bool
    var speculates: Bool?  // guessing ahead, which makes no difference to the answer; nil: as the server is set

    init(_ fields: Fields) throws(APIError) {
        for (key, why) in Self.refused where fields[key] != nil { throw .unsupported(key, why) }
        model = try fields.required("model", try fields.string("model"))
        choices = try fields.integer("n", in: 1...RequestLimits.choices) ?? 1
        context = try fields.integer("num_ctx", in: 512...131_072)
        streams = try fields.flag("stream") ?? false
        includesUsage = false
        if let options = try fields.fields("stream_options") {
            guard streams else { throw .refused("stream_options", "is only allowed when stream is true") }
            includesUsage = try options.flag("include_usage") ?? false
        }
        let most = try fields.integer("max_tokens", in: 0...Int(Int32.max))
        maximumTokens = try fields.integer("max_completion_tokens", in: 0...Int(Int32.max)) ?? most
        stop = try Self.stopStrings(fields)
        temperature = try fields.number("temperature", in: 0...2)
        speculates = try fields.flag("speculation")
        sampling = try Self.sampling(fields)
    }

    /// What other servers honour and this one does not: refused, so that nobody takes an unconstrained answer for a constrained one.
    private static let refused: [(String, String)] = [
        ("grammar", "constrained output is not supported"),
        ("json_schema", "constrained output is not supported"),
        ("guided_json", "constrained output is not supported"),
        ("guided_regex", "constrained output is not supported"),
        ("guided_choice", "constrained output is not supported"),
        ("guided_grammar", "constrained output is not supported"),
        ("structured_outputs", "constrained output is not supported"),
        ("functions", "is superseded by tools"),
        ("function_call", "is superseded by tool_choice"),
        ("audio", "this server answers with text"),
        ("chat_template", "a template is taken from the model only"),
    ]

    private static func sampling(_ fields: Fields) throws(APIError) -> SamplingParameters {
        var sampling = SamplingParameters()
        sampling.topP = Float(try fields.number("top_p", in: 0...1) ?? 1)
        sampling.topK = try fields.integer("top_k", in: -1...Int(Int32.max)).map { max($0, 0) } ?? 0  // −1: off, as peers have it
        sampling.minP = Float(try fields.number("min_p", in: 0...1) ?? 0)
        sampling.repetitionPenalty = Float(try fields.number("repetition_penalty", in: 0.1...10) ?? 1)
        sampling.frequencyPenalty = Float(try fields.number("frequency_penalty", in: -2...2) ?? 0)
        sampling.presencePenalty = Float(try fields.number("presence_penalty", in: -2...2) ?? 0)
        sampling.seed = try fields.integer("seed", in: Int.min...Int.max).map { UInt64(bitPattern: Int64($0)) }
        if let biases = try fields.fields("logit_bias") { sampling.logitBias = try logitBias(biases) }
        return sampling
    }

    /// Token ids as strings, each with a number from −100 to 100.
    private static func logitBias(_ fields: Fields) throws(APIError) -> [Int32: Float] {
        let members = fields.object.members
        guard members.count <= RequestLimits.logitBiases else {
            throw .refused("logit_bias", "\(members.count) tokens, \(RequestLimits.logitBiases) are allowed")
        }
        var biases: [Int32: Float] = [:]
        for member in members {
            guard let id = Int32(member.key), id >= 0 else {
                throw .refused("logit_bias", "'\(APIError.echo(member.key))' is not a token id")
            }
            guard let bias = member.value.asNumber, (-100...100).contains(bias) else {
                throw .refused("logit_bias.\(id)", "must be a number from -100 to 100")
            }
            biases[id] = Float(bias)
        }
        return biases
    }

    private static func stopStrings(_ fields: Fields) throws(APIError) -> [String] {
        var stop: [String] = []
        switch fields["stop"] {
        case nil: break
        case .string(let text)?: stop = [text]
        case .array(let values)?:
            guard values.count <= RequestLimits.stopStrings else {
                throw .refused("stop", "\(values.count) strings, \(RequestLimits.stopStrings) are allowed")
            }
            for value in values {
                guard case .string(let text) = value else { throw fields.mistyped("stop", "a string or a list of strings", value) }
                stop.append(text)
            }
        case let other?: throw fields.mistyped("stop", "a string or a list of strings", other)
        }
        for text in stop where text.isEmpty || text.utf8.count > RequestLimits.stopBytes {
            throw .refused("stop", "a stop string has 1 to \(RequestLimits.stopBytes) bytes, not \(text.utf8.count)")
        }
        return stop
    }
}
