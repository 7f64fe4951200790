internal import Foundation
internal import Text
internal import Weights

/// A text as windows of tokens, cut as llama-perplexity cuts them, so that figures can be compared.
struct TextWindows {
    /// What the text is called.
    let name: String
    /// All tokens but those of a last window that is not full.
    let ids: [Int32]
    /// Of equal length. Where the model begins texts with a token of its own, it takes the place of each window's first.
    let windows: [[Int32]]

    /// - Parameters:
    ///   - length: of a window.
    ///   - shrinks: a text that is shorter than one window is a window of its own.
    ///   - most: windows at most; 0 takes all.
    init(_ path: String, of source: any ModelSource, length: Int, shrinks: Bool = false, most: Int = 0) throws {
        guard let data = FileManager.default.contents(atPath: path) else { throw ModelError(.unreadable, at: path, "cannot be read") }
        let tokenizer = try Composition.tokenizer(of: source)
        let all = tokenizer.encode(String(decoding: data, as: UTF8.self), parseSpecial: false, addSpecial: true)
        let length = shrinks ? min(length, all.count) : length
        guard length >= 8, all.count >= length else {
            throw ModelError(.outOfRange, at: path, "holds \(all.count) tokens, one window needs \(max(length, 8))")
        }
        let count = most > 0 ? min(most, all.count / length) : all.count / length
        let begin = source.tokenizer?.addsBOS == true ? tokenizer.bos : nil
        name = URL(fileURLWithPath: path).lastPathComponent
        ids = Array(all.prefix(count * length))
        windows = (0..<count).map { index in
            var window = Array(all[index * length..<(index + 1) * length])
            if let begin { window[0] = begin }
            return window
        }
    }
}
