import Engine
import Glibc
import Synchronization
import Text
import Weights

/// A model that says a fixed text, byte by byte, and then ends; it counts the steps it was asked for.
final class Script: Sendable {
    let text: [UInt8]
    let microsecondsPerStep: UInt32
    let microsecondsForPrompt: UInt32
    let isEndless: Bool
    let failsAfter: Int?
    /// Memory that every model of it holds, in pieces that the C library keeps when they are freed.
    let ballastBytes: Int
    private let counter = Atomic(0)

    init(
        _ text: String = "Hello, wörld 🙂!", microsecondsPerStep: UInt32 = 0, microsecondsForPrompt: UInt32 = 0,
        isEndless: Bool = false, failsAfter: Int? = nil, ballastBytes: Int = 0
    ) {
        self.ballastBytes = ballastBytes
        self.text = Array(text.utf8)
        self.microsecondsPerStep = microsecondsPerStep
        self.microsecondsForPrompt = microsecondsForPrompt
        self.isEndless = isEndless
        self.failsAfter = failsAfter
    }

    var steps: Int { counter.load(ordering: .relaxed) }
    fileprivate func step() { counter.add(1, ordering: .relaxed) }

    /// Ids 0…255 are the bytes; 256 ends an answer, 257 is a control token, 258 is `qq`.
    static let end: Int32 = 256

    static let tokenizer: Tokenizer = {
        var spec = TokenizerSpec(algorithm: .byteLevelPairs, preTokenizer: .gpt2)
        var next = UInt32(0x100)
        for byte in UInt32(0)..<256 {
            let printable = (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
            let scalar = printable ? byte : next
            if !printable { next += 1 }
            spec.pieces.append(String(UnicodeScalar(scalar) ?? " ").utf8)
        }
        spec.pieces.append("<|end|>".utf8)
        spec.pieces.append("<|start|>".utf8)
        spec.pieces.append("qq".utf8)
        spec.merges.append("q q".utf8)
        spec.kinds = [TokenizerSpec.PieceKind](repeating: .normal, count: 256) + [.control, .control, .normal]
        spec.eos = 256
        spec.endOfGeneration = [256]
        do {
            return try Tokenizer(spec)
        } catch {
            fatalError("the tests' own tokenizer: \(error)")
        }
    }()

    static let template = "{% for message in messages %}{{ message.content }}\n{% endfor %}"

    func loaded(_ id: String, format: String = "gguf", template: String? = Script.template) throws -> LoadedModel {
        LoadedModel(
            info: ModelInfo(
                id: id, path: "/models/\(id)", format: format, quantization: "Q4_1", architecture: "llama", sizeBytes: 1 << 20,
                contextLength: 2048),
            tokenizer: Self.tokenizer, template: try template.map { try ChatTemplate(source: $0) }, weightBytes: max(1 << 20, ballastBytes), bytesPerPage: 1024
        ) { [self] pages in ScriptedStep(self, pages: pages) }
    }
}

private final class ScriptedStep: StepModel {
    let vocabularySize = 259
    let maximumStepTokens = 64
    let pageTokens = 32
    let totalPages: Int
    let isExact = true
    private var freePages: Int
    private let script: Script
    private var slots: [Int: (count: Int, said: Int, pages: Int)] = [:]
    private var nextSlot = 0
    private var rows: [[Float]] = []
    private let ballast: [[UInt8]]

    init(_ script: Script, pages: Int) {
        ballast = (0..<script.ballastBytes >> 16).map { [UInt8](repeating: UInt8(truncatingIfNeeded: $0), count: 1 << 16) }
        self.script = script
        totalPages = pages
        freePages = pages
    }

    var reservedPages: Int { totalPages - freePages }
    var touchedPages: Int { totalPages - freePages }

    func open(beginning tokens: [Int32], capacity: Int) -> (slot: Int, held: Int)? {
        let pages = (capacity + pageTokens - 1) / pageTokens
        guard pages <= freePages else { return nil }
        freePages -= pages
        nextSlot += 1
        slots[nextSlot] = (0, 0, pages)
        return (nextSlot, 0)
    }

    func close(_ slot: Int) {
        if let old = slots.removeValue(forKey: slot) { freePages += old.pages }
    }

    func adopt(_ slot: Int, beginning tokens: [Int32]) -> Int { slots[slot]?.count ?? 0 }
    func keep(_ slot: Int, tokens: [Int32], count: Int) {}

    func rewind(_ slot: Int, to count: Int) {
        guard let old = slots[slot] else { return }
        slots[slot]?.said -= old.count - count
        slots[slot]?.count = count
    }

    func forward(_ runs: [StepRun]) {
        script.step()
        let isPrompt = runs.contains { $0.tokens.count > $0.rows }
        usleep(script.microsecondsPerStep + (isPrompt ? script.microsecondsForPrompt : 0))
        rows = []
        for run in runs {
            slots[run.slot]?.count += run.tokens.count
            for _ in 0..<run.rows { rows.append(nextRow(of: run.slot)) }
        }
    }

    private func nextRow(of slot: Int) -> [Float] {
        let said = slots[slot]?.said ?? 0
        slots[slot]?.said += 1
        if let limit = script.failsAfter, said >= limit { return [Float](repeating: .nan, count: vocabularySize) }
        var row = [Float](repeating: 0, count: vocabularySize)
        row[Int(UInt8(ascii: "z"))] = 20  // the second choice, always
        let place = script.isEndless ? said % script.text.count : said
        row[place < script.text.count ? Int(script.text[place]) : Int(Script.end)] = 40
        return row
    }

    func logits(_ row: Int) -> UnsafeBufferPointer<Float> {
        // Lives until the next step, like the rows of a real model.
        rows[row].withUnsafeBufferPointer { $0 }
    }
}
