internal import Weights

/// How a vocabulary cuts text into words before it merges anything: one published pattern, as hand-written scanners.
///
/// A pattern is a list of steps. Every step cuts the parts that the step before it left, and sees nothing beyond a part's ends.
struct SplitPattern: Sendable {
    private let steps: [SplitStep]
    private let scalars = Scalars()

    init(_ name: TokenizerSpec.PreTokenizer) {
        switch name {
        case .gpt2: steps = [.words(.gpt2)]
        case .smollm, .starcoder, .refact, .commandR: steps = [.each(.number), .words(.gpt2)]
        case .llamaBPE: steps = [.words(.llama)]
        case .qwen2: steps = [.words(.qwen2)]
        case .qwen35: steps = [.words(.qwen35)]
        case .falcon: steps = [.falconPunctuation, .words(.gpt2), .threeDigits]
        case .deepseekLLM:
            steps = [.lineBreaks, .deepseekLetters, .deepseekPunctuation, .trailingSpace, .eastAsian, .each(.number)]
        case .deepseekCoder:
            steps = [.lineBreaks, .runs(.letter, afterSpace: true), .runs(.punctuation, afterSpace: true), .eastAsian, .each(.number)]
        case .none: steps = []
        }
    }

    /// The ends of the words of `text`, in order; the last is the text's end.
    func ends(in text: Span<UInt8>) -> [Int] {
        var ends = text.isEmpty ? [] : [text.count]
        for step in steps {
            var cut: [Int] = []
            cut.reserveCapacity(ends.count == 1 ? text.count / 4 : ends.count)
            var start = 0
            for end in ends {
                step.cut(scalars, text, from: start, to: end, into: &cut)
                start = end
            }
            ends = cut
        }
        return ends
    }
}

/// One step of a split pattern.
enum SplitStep: Sendable {
    /// A pattern that covers all text with words.
    case words(WordPattern)
    /// Every code point of the class stands alone: `\p{N}`
    case each(UnicodeClass)
    /// Runs of the class, with one space character before them if there is one: `\s?\p{L}+`
    case runs(UnicodeClass, afterSpace: Bool)
    /// `[\r\n]`
    case lineBreaks
    /// `\s+$`
    case trailingSpace
    /// `[0-9][0-9][0-9]`
    case threeDigits
    /// ``[\p{P}\$\+<=>\^~\|`]+``
    case falconPunctuation
    /// `[一-龥ࠀ-一가-퟿]+`
    case eastAsian
    /// `\s?[A-Za-zµÀ-Ö…]+`: the letters with case that the pattern lists
    case deepseekLetters
    /// `\s?[!-/:-~！-／：-～‘-‟　-。]+`
    case deepseekPunctuation

    /// Appends the ends of the words in `start..<end`.
    func cut(_ scalars: Scalars, _ text: Span<UInt8>, from start: Int, to end: Int, into ends: inout [Int]) {
        if case .words(let pattern) = self {
            pattern.cut(scalars, text, from: start, to: end, into: &ends)
            return
        }
        if case .trailingSpace = self {
            let space = trailingSpace(scalars, text, from: start, to: end)
            if space > start { ends.append(space) }
            if space < end { ends.append(end) }
            return
        }
        var position = start
        var last = start  // the end of the last word
        while position < end {
            let stop = match(scalars, text, at: position, end: end)
            if stop > position {
                if position > last { ends.append(position) }
                ends.append(stop)
                last = stop
                position = stop
            } else {
                position += scalars.scalar(text, at: position, end: end).length
            }
        }
        if last < end { ends.append(end) }
    }

    /// Where a match that begins at `start` ends; `start` itself where there is none.
    private func match(_ scalars: Scalars, _ text: Span<UInt8>, at start: Int, end: Int) -> Int {
        let first = scalars.scalar(text, at: start, end: end)
        switch self {
        case .words, .trailingSpace: return start
        case .each(let kinds): return first.kind.isDisjoint(with: kinds) ? start : start + first.length
        case .runs(let kinds, let afterSpace):
            let run = afterSpace && first.kind.contains(.space) ? start + first.length : start
            let stop = scalars.skip(kinds, text, from: run, end: end)
            return stop > run ? stop : start
        case .lineBreaks: return first.isLineBreak ? start + 1 : start
        case .threeDigits:
            for offset in 0..<3 {
                guard start + offset < end, (0x30...0x39).contains(text[start + offset]) else { return start }
            }
            return start + 3
        case .falconPunctuation:
            return run(scalars, text, from: start, orAt: start, end: end) { $0.kind.contains(.punctuation) || $0.isASCIISymbol }
        case .eastAsian:
            return run(scalars, text, from: start, orAt: start, end: end) {
                (0x800...0x9FA5).contains($0.value) || (0xAC00...0xD7FF).contains($0.value)
            }
        case .deepseekLetters:
            let from = first.kind.contains(.space) ? start + first.length : start
            return run(scalars, text, from: from, orAt: start, end: end) { DeepseekLetters.contains($0.value) }
        case .deepseekPunctuation:
            let from = first.kind.contains(.space) ? start + first.length : start
            let stop = run(scalars, text, from: from, orAt: start, end: end) { DeepseekLetters.isPunctuation($0.value) }
            // U+3000 is a space and in the list: it may stand alone.
            return stop == start && DeepseekLetters.isPunctuation(first.value) ? start + first.length : stop
        }
    }

    /// Where the spaces begin that the part ends with.
    private func trailingSpace(_ scalars: Scalars, _ text: Span<UInt8>, from start: Int, to end: Int) -> Int {
        var position = start
        var space = start
        while position < end {
            let scalar = scalars.scalar(text, at: position, end: end)
            position += scalar.length
            if !scalar.kind.contains(.space) { space = position }
        }
        return space
    }

    private func run(
        _ scalars: Scalars, _ text: Span<UInt8>, from: Int, orAt start: Int, end: Int, while belongs: (Scalars.Scalar) -> Bool
    ) -> Int {
        var position = from
        while position < end {
            let scalar = scalars.scalar(text, at: position, end: end)
            guard belongs(scalar) else { break }
            position += scalar.length
        }
        return position > from ? position : start
    }
}

extension Scalars.Scalar {
    var isLineBreak: Bool { value == 0x0A || value == 0x0D }

    /// The ASCII symbols of the falcon pattern: ``$ + < = > ^ ~ | ` ``
    var isASCIISymbol: Bool { value < 0x80 && kind.contains(.symbol) }
}

/// What the deepseek-llm pattern counts as a letter and as punctuation.
enum DeepseekLetters {
    static func contains(_ value: UInt32) -> Bool {
        if value < 0x80 { return (0x41...0x5A).contains(value) || (0x61...0x7A).contains(value) }
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < value { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].contains(value)
    }

    static func isPunctuation(_ value: UInt32) -> Bool {
        switch value {
        case 0x21...0x2F, 0x3A...0x7E, 0xFF01...0xFF0F, 0xFF1A...0xFF5E, 0x2018...0x201F, 0x3000...0x3002: true
        default: false
        }
    }

    private static let ranges: [ClosedRange<UInt32>] = [
        0x41...0x5A, 0x61...0x7A, 0xB5...0xB5, 0xC0...0xD6, 0xD8...0xF6, 0xF8...0x1BA, 0x1BC...0x1BF, 0x1C4...0x293,
        0x295...0x2AF, 0x370...0x373, 0x376...0x376, 0x377...0x377, 0x37B...0x37D, 0x37F...0x37F, 0x386...0x386, 0x388...0x38A,
        0x38C...0x38C, 0x38E...0x3A1, 0x3A3...0x3F5, 0x3F7...0x481, 0x48A...0x52F, 0x531...0x556, 0x10A0...0x10C5,
        0x13A0...0x13F5, 0x13F8...0x13FD, 0x1C90...0x1CBA, 0x1CBD...0x1CBF, 0x1D00...0x1D2B, 0x1D6B...0x1D77, 0x1D79...0x1D9A,
        0x1E00...0x1F15, 0x1F18...0x1F1D, 0x1F20...0x1F45, 0x1F48...0x1F4D, 0x1F50...0x1F57, 0x1F59...0x1F59, 0x1F5B...0x1F5B,
        0x1F5D...0x1F5D, 0x1F5F...0x1F7D, 0x1F80...0x1FB4, 0x1FB6...0x1FBC, 0x1FBE...0x1FBE, 0x1FC2...0x1FC4, 0x1FC6...0x1FCC,
        0x1FD0...0x1FD3, 0x1FD6...0x1FDB, 0x1FE0...0x1FEC, 0x1FF2...0x1FF4, 0x1FF6...0x1FFC, 0x2102...0x2102, 0x2107...0x2107,
        0x210A...0x2113, 0x2115...0x2115, 0x2119...0x211D, 0x2124...0x2124, 0x2126...0x2126, 0x2128...0x2128, 0x212A...0x212D,
        0x212F...0x2134, 0x2139...0x2139, 0x213C...0x213F, 0x2145...0x2149, 0x214E...0x214E, 0x2183...0x2183, 0x2184...0x2184,
        0x2C00...0x2C7B, 0x2C7E...0x2CE4, 0x2CEB...0x2CEE, 0x2CF2...0x2CF2, 0x2CF3...0x2CF3, 0xA640...0xA66D, 0xA680...0xA69B,
        0xA722...0xA76F, 0xA771...0xA787, 0xA78B...0xA78E, 0xAB70...0xABBF, 0xFB00...0xFB06, 0xFB13...0xFB17, 0xFF21...0xFF3A,
        0xFF41...0xFF5A, 0x10400...0x1044F, 0x104B0...0x104D3, 0x104D8...0x104FB, 0x10C80...0x10CB2, 0x10CC0...0x10CF2,
        0x118A0...0x118DF, 0x1E900...0x1E943,
    ]
}
