/// The bounds that LMX puts on numbers from files. A file that breaks one is refused before anything is allocated for it.
public enum Limits {
    // GGUF
    public static let ggufKeys = 65_536
    public static let ggufTensors = 65_536
    public static let ggufKeyBytes = 65_535
    public static let ggufStringBytes = 64 << 20
    public static let ggufArrayElements = 1 << 24
    public static let ggufArrayNesting = 4
    public static let ggufAlignment = 8...4096  // and a power of two
    public static let ggufShards = 65_535

    // safetensors
    public static let safetensorsHeaderBytes = 100_000_000
    public static let safetensorsShards = 4096

    // tensors of either
    public static let ggufRank = 1...4
    public static let rank = 8
    public static let tensorNameBytes = 1024
    public static let dimension = 1 << 40
    public static let tensorValues = 1 << 48

    // hyperparameters
    public static let layers = 1...4096
    public static let width = 1...(1 << 20)
    public static let heads = 1...(1 << 14)
    public static let vocabulary = 1...(1 << 24)

    // tokenizers and templates
    public static let addedTokens = 65_536
    public static let pieceBytes = 1 << 20
    public static let tokenizerPatternBytes = 16 << 10
    public static let tokenizerNesting = 8
    public static let tokenizerFileBytes = 256 << 20
    public static let templateBytes = 1 << 20
    public static let namedTemplates = 64

    // JSON
    public static let jsonDepthOfFiles = 128
    public static let jsonDepthOfRequests = 64
    public static let jsonNumberBytes = 1024
    public static let configurationBytes = 16 << 20
    public static let tokenizerStepBytes = 1 << 20  // of one normalizer, pre-tokenizer or post-processor
}

/// Arithmetic on sizes from a file: nil instead of an overflow.
public enum CheckedSize {
    public static func product(_ factors: some Sequence<Int>) -> Int? {
        var result = 1
        for factor in factors {
            let (value, overflow) = result.multipliedReportingOverflow(by: factor)
            guard !overflow, factor >= 0 else { return nil }
            result = value
        }
        return result
    }

    public static func sum(_ left: Int, _ right: Int) -> Int? {
        let (value, overflow) = left.addingReportingOverflow(right)
        return overflow ? nil : value
    }

    /// The next multiple of a positive power of two.
    public static func aligned(_ offset: Int, to alignment: Int) -> Int? {
        guard let padded = sum(offset, alignment - 1) else { return nil }
        return padded & ~(alignment - 1)
    }
}
