import Engine
import Weights

/// Log-probabilities as chat completions show them: one object per token.
enum ChatLogprobs {
    static func json(_ tokens: [TokenLogprob]) -> JSONValue {
        .object(["content": .array(tokens.map(entry)), "refusal": .null])
    }

    private static func entry(_ token: TokenLogprob) -> JSONValue {
        var entry = base(token.bytes, token.logprob)
        entry["top_logprobs"] = .array(token.top.map { .object(base($0.bytes, $0.logprob)) })
        return .object(entry)
    }

    private static func base(_ bytes: [UInt8], _ logprob: Float) -> JSONObject {
        [
            "token": .string(String(decoding: bytes, as: UTF8.self)), "logprob": .decimal(Double(logprob)),
            "bytes": .array(bytes.map { .int(Int($0)) }),
        ]
    }
}

/// Log-probabilities as text completions show them: parallel lists, with the place of each token in the text.
struct CompletionLogprobs: Sendable {
    /// Characters of the text before the next token.
    private var offset: Int

    init(after text: String) { offset = text.unicodeScalars.count }

    mutating func json(_ tokens: [TokenLogprob]) -> JSONValue {
        var texts: [JSONValue] = []
        var offsets: [JSONValue] = []
        for token in tokens {
            let text = String(decoding: token.bytes, as: UTF8.self)
            texts.append(.string(text))
            offsets.append(.int(offset))
            offset += text.unicodeScalars.count
        }
        let tops = tokens.map { token in
            var object = JSONObject()
            for other in token.top { object[String(decoding: other.bytes, as: UTF8.self)] = .decimal(Double(other.logprob)) }
            return JSONValue.object(object)
        }
        return .object([
            "tokens": .array(texts), "token_logprobs": .array(tokens.map { .decimal(Double($0.logprob)) }),
            "top_logprobs": .array(tops), "text_offset": .array(offsets),
        ])
    }
}
