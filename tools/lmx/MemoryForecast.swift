internal import Compute
internal import Engine
internal import Formats
internal import Foundation
internal import Weights

/// What a model will have resident while it runs with a full context, in bytes.
struct MemoryForecast {
    /// This process as it was before the weights: the program and its libraries, tokenizer and template.
    let program: Int
    let weights: Int
    let cache: Int
    /// What a step writes, its rows of logits included.
    let workspace: Int

    var total: Int { program + weights + cache + workspace }

    /// - Parameters:
    ///   - positions: of each sequence.
    ///   - program: what was resident when all was open that belongs to the model but its weights.
    init(_ summary: ModelSummary, positions: Int, sequences: Int = 1, program: Int) {
        self.program = program
        weights = summary.packedBytes
        cache = (positions + KVCache.pageTokens - 1) / KVCache.pageTokens * sequences * summary.cacheBytesPerPage
        workspace = summary.workspaceBytes + sequences * summary.logitsBytesPerRow
    }

    /// What the engine asks before it loads a model.
    static func needs(of path: String, _ options: ModelOptions) throws -> MemoryNeeds {
        let summary = try ModelSummary(ModelSources.open(path), options: options)
        return MemoryNeeds(
            weightBytes: summary.packedBytes, workspaceBytes: summary.workspaceBytes + summary.logitsBytesPerRow,
            bytesPerPage: summary.cacheBytesPerPage, pageTokens: KVCache.pageTokens, contextLength: summary.hyperparameters.contextLength)
    }

    static func needs(of path: String, _ compute: ComputeOptions) throws -> MemoryNeeds {
        try needs(of: path, ModelOptions(precise: compute.precise, threads: compute.threads, cache: compute.kvCache.format))
    }

    /// What this process has resident now, mapped files included; 0 where the system does not say.
    static var residentBytes: Int { status("VmRSS:") }
    /// The most that it has had so far.
    static var peakResidentBytes: Int { status("VmHWM:") }

    private static func status(_ key: String) -> Int {
        let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix(key) }
        return (line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first).flatMap { Int($0) }.map { $0 * 1024 } ?? 0
    }
}
