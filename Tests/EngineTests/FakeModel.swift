import Engine
import Text
import Weights

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A model of a few lines: the logits after a sequence are a function of its tokens. Checks the engine's side of the bargain.
final class FakeModel: StepModel {
    /// What tests see and steer from outside, while the inference thread owns the model.
    final class Control: Sendable {
        struct State {
            var steps: [[StepRun]] = []
            var broken: [String] = []
            var openSlots = 0
            var isGone = false
            var isHeld = false
        }

        let state = Locked(State())
        func note(_ problem: String) { state.withLock { $0.broken.append(problem) } }
        var broken: [String] { state.withLock(\.broken) }
        var openSlots: Int { state.withLock(\.openSlots) }
        var isGone: Bool { state.withLock(\.isGone) }
        var steps: [[StepRun]] { state.withLock(\.steps) }
        var stepCount: Int { state.withLock { $0.steps.count } }
        var computedTokens: Int { steps.reduce(0) { $0 + $1.reduce(0) { $0 + $1.tokens.count } } }
        /// No step begins until this is called again with false.
        func hold(_ held: Bool) { state.withLock { $0.isHeld = held } }
    }

    typealias Rule = @Sendable (_ tokens: [Int32], _ logits: inout [Float]) -> Void

    private struct Slot {
        var tokens: [Int32] = []
        var pages = 0
        var keptTokens = 0
    }

    let vocabularySize: Int
    let maximumStepTokens: Int
    let pageTokens = 32
    let totalPages: Int
    private var freePages: Int
    let isExact: Bool
    private var kept: Set<[Int32]> = []  // whole pages from the beginning of a sequence
    private let control: Control
    private let rule: Rule
    private let stepMicroseconds: UInt32
    private var slots: [Int: Slot] = [:]
    private var nextSlot = 0
    private var rows: [[Float]] = []
    private var current: UnsafeMutableBufferPointer<Float>

    init(
        pages: Int, vocabularySize: Int, maximumStepTokens: Int, stepMicroseconds: UInt32, isExact: Bool = true, control: Control,
        rule: @escaping Rule
    ) {
        self.isExact = isExact
        totalPages = pages
        freePages = pages
        self.vocabularySize = vocabularySize
        self.maximumStepTokens = maximumStepTokens
        self.stepMicroseconds = stepMicroseconds
        self.control = control
        self.rule = rule
        current = .allocate(capacity: vocabularySize)
    }

    deinit {
        current.deallocate()
        control.state.withLock { $0.isGone = true }
    }

    var reservedPages: Int { totalPages - freePages }
    var touchedPages: Int { totalPages - freePages }

    func open(beginning tokens: [Int32], capacity: Int) -> (slot: Int, held: Int)? {
        let pages = (capacity + pageTokens - 1) / pageTokens
        guard pages <= freePages else { return nil }
        freePages -= pages
        nextSlot += 1
        slots[nextSlot] = Slot(pages: pages)
        control.state.withLock { $0.openSlots += 1 }
        return (nextSlot, adopt(nextSlot, beginning: tokens))
    }

    func close(_ slot: Int) {
        guard let old = slots.removeValue(forKey: slot) else { return control.note("closed slot \(slot) twice") }
        freePages += old.pages
        control.state.withLock { $0.openSlots -= 1 }
    }

    func adopt(_ slot: Int, beginning tokens: [Int32]) -> Int {
        guard let old = slots[slot] else { return 0 }
        if !tokens.starts(with: old.tokens) { control.note("a sequence that does not continue what it holds") }
        var count = old.tokens.count
        for pages in stride(from: count / pageTokens + 1, to: tokens.count / pageTokens + 1, by: 1) {
            guard pages * pageTokens < tokens.count, kept.contains(Array(tokens[..<(pages * pageTokens)])) else { break }
            count = pages * pageTokens
        }
        slots[slot]?.tokens = Array(tokens[..<count])
        return count
    }

    func keep(_ slot: Int, tokens: [Int32], count: Int) {
        guard let old = slots[slot] else { return control.note("kept slot \(slot), which is not open") }
        if count > old.tokens.count || old.tokens[..<count] != tokens[..<count] { control.note("kept what was not computed") }
        for pages in stride(from: 1, through: count / pageTokens, by: 1) { kept.insert(Array(tokens[..<(pages * pageTokens)])) }
        slots[slot]?.keptTokens = count / pageTokens * pageTokens
    }

    func rewind(_ slot: Int, to count: Int) {
        guard let old = slots[slot], count <= old.tokens.count, count >= old.keptTokens else {
            return control.note("rewound to what is not held, or kept")
        }
        slots[slot]?.tokens.removeLast(old.tokens.count - count)
    }

    func forward(_ runs: [StepRun]) {
        while control.state.withLock(\.isHeld) { usleep(200) }
        if stepMicroseconds > 0 { usleep(stepMicroseconds) }
        if runs.reduce(0, { $0 + $1.tokens.count }) > maximumStepTokens { control.note("a step of too many tokens") }
        if Set(runs.map(\.slot)).count != runs.count { control.note("a slot twice in a step") }
        rows = []
        for run in runs {
            guard var slot = slots[run.slot] else { return control.note("slot \(run.slot) is not open") }
            if run.tokens.isEmpty { control.note("a run without tokens") }
            let before = slot.tokens.count
            slot.tokens += run.tokens
            if slot.tokens.count > slot.pages * pageTokens { control.note("more positions than were reserved") }
            slots[run.slot] = slot
            if run.rows != 0, run.rows != 1, run.rows != run.tokens.count { control.note("rows of some tokens only") }
            for count in stride(from: before + run.tokens.count - run.rows + 1, through: slot.tokens.count, by: 1) {
                var logits = [Float](repeating: 0, count: vocabularySize)
                rule(Array(slot.tokens[..<count]), &logits)
                rows.append(logits)
            }
        }
        control.state.withLock { $0.steps.append(runs) }
    }

    func logits(_ row: Int) -> UnsafeBufferPointer<Float> {
        _ = current.update(fromContentsOf: rows[row])
        return UnsafeBufferPointer(current)
    }
}

extension Locked {
    var value: Value { withLock { $0 } }
    func change(_ body: (inout Value) -> Void) { withLock { body(&$0) } }
}

// ---------------------------------------------------------------------------------------------------------- its language

/// A vocabulary of the 256 bytes by their value, and an end.
enum Bytes {
    static let end: Int32 = 256

    static let tokenizer: Tokenizer? = {
        var spec = TokenizerSpec(algorithm: .scoredPairs, preTokenizer: .none)
        for byte in 0..<256 {
            spec.pieces.append("<0x\(byte < 16 ? "0" : "")\(String(byte, radix: 16, uppercase: true))>".utf8)
            spec.kinds.append(.byte)
        }
        spec.pieces.append("<end>".utf8)
        spec.kinds.append(.control)
        spec.scores = [Float](repeating: 0, count: 257)
        spec.eos = 256
        spec.endOfGeneration = [256]
        return try? Tokenizer(spec)
    }()

    static func ids(_ text: String) -> [Int32] { text.utf8.map(Int32.init) }
}

/// Rules for ``FakeModel``.
enum Rules {
    /// Says `text` after any prompt that ends with a zero byte, then ends.
    static func say(_ text: String) -> FakeModel.Rule {
        let bytes = Array(text.utf8)
        return { tokens, logits in
            let said = tokens.count - 1 - (tokens.lastIndex(of: 0) ?? 0)
            logits[said < bytes.count ? Int(bytes[said]) : Int(Bytes.end)] = 10
        }
    }

    /// The letters a…z for ever.
    static let alphabet: FakeModel.Rule = { tokens, logits in logits[97 + tokens.count % 26] = 10 }

    /// Pseudo-random logits from the whole history, small letters only: any mistake in the history changes everything after it.
    static let chaotic: FakeModel.Rule = { tokens, logits in
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for token in tokens { hash = (hash ^ UInt64(truncatingIfNeeded: token)) &* 0x100_0000_01B3 }
        var random = SeededGenerator(seed: hash)
        for index in logits.indices { logits[index] = (97..<123).contains(index) ? Float(random.unit()) * 4 : -50 }
    }

    static let broken: FakeModel.Rule = { tokens, logits in logits[5] = tokens.count > 12 ? .nan : 1 }
}

extension InferenceEngine {
    /// Loads a ``FakeModel`` under `id`.
    @discardableResult
    func load(
        fake id: String, _ rule: @escaping FakeModel.Rule = Rules.alphabet, context: Int = 1024, pages: Int? = nil,
        vocabularySize: Int = 300,
        maximumStepTokens: Int = 64, stepMicroseconds: UInt32 = 0, isExact: Bool = true,
        control: FakeModel.Control = .init(), bytesPerPage: Int = 10, plan: LoadPlan = LoadPlan()
    ) async throws(EngineError) -> LoadReport {
        try await load(id, plan) { progress in
            try progress(0.5)
            guard let tokenizer = Bytes.tokenizer else { throw ModelError(.malformed, at: "tests", "no tokenizer") }
            let info = ModelInfo(
                id: id, path: "/nowhere/\(id)", format: "fake", quantization: nil, architecture: "fake", sizeBytes: 1,
                contextLength: context)
            return LoadedModel(info: info, tokenizer: tokenizer, weightBytes: 1000, bytesPerPage: bytesPerPage) { granted in
                FakeModel(
                    pages: pages ?? granted, vocabularySize: vocabularySize, maximumStepTokens: maximumStepTokens,
                    stepMicroseconds: stepMicroseconds, isExact: isExact, control: control, rule: rule)
            }
        }
    }
}

extension GenerationRequest {
    /// Greedy, and at most `maximumTokens` new ones.
    static func fake(_ model: String = "fake", prompt: String = "\0", maximumTokens: Int = 1000, stop: [String] = []) -> GenerationRequest {
        var request = GenerationRequest(model: model, prompt: Bytes.ids(prompt))
        request.maximumTokens = maximumTokens
        request.sampling = .greedy
        request.stop = stop
        return request
    }
}
