import Engine
import Weights

extension Usage {
    /// `usage` as every completion reports it.
    var json: JSONValue {
        .object([
            "prompt_tokens": .int(promptTokens), "completion_tokens": .int(completionTokens),
            "total_tokens": .int(promptTokens + completionTokens),
            "prompt_tokens_details": .object(["cached_tokens": .int(cachedTokens)]),
        ])
    }

    /// The sum over the choices of one request, `choices` of which share a prompt: it is counted once.
    static func total(_ usages: [Usage], choices: Int) -> Usage {
        var sum = Usage(promptTokens: 0, completionTokens: 0)
        for (index, usage) in usages.enumerated() {
            sum.completionTokens += usage.completionTokens
            if index % choices == 0 {
                sum.promptTokens += usage.promptTokens
                sum.cachedTokens += usage.cachedTokens
            }
        }
        return sum
    }
}
