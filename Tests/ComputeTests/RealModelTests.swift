import Compute
import Formats
import Foundation
import TestSupport
import Testing
import Weights

/// The default model against recorded answers of the reference implementation, where the model is there.
@Suite struct RealModelTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let model: String  // in the models folder
        let record: String  // in testdata/real
        var path: String { (Corpus.models ?? "") + "/" + model }
        var testDescription: String { model }

        static let all = [
            Case(model: "SmolLM2-135M-Instruct.Q4_1.gguf", record: "smollm2-greedy.json"),
            Case(model: "SmolLM2-135M-Instruct-mlx-4bit", record: "smollm2-mlx4-greedy.json"),
        ]
        static let present = all.filter { model in
            let isThere = Corpus.models != nil && FileManager.default.fileExists(atPath: model.path)
            if !isThere { print("\(model.model): not present, its tests are skipped") }
            return isThere
        }
    }

    struct Answer {
        var prompt: [Int32]
        var ids: [Int32]
        var gaps: [Double]  // between the two best logits, by position of the answer
    }

    /// Given the same beginning, the best piece at every position is the one that the reference chose, so that answering
    /// greedily gives the same text. Where the two best are within 1e-3 of each other the implementations may part.
    @Test(.enabled(if: !Case.present.isEmpty), arguments: Case.present)
    func preciseModeAnswersAsTheReference(_ model: Case) throws {
        let session = try Session(
            try Model.load(try ModelSources.open(model.path), options: ModelOptions(precise: true, threads: 2)), pages: 24)
        for answer in try answers(model) {
            for ((best, id), gap) in zip(zip(best(session, answer), answer.ids), answer.gaps) where gap > 1e-3 { #expect(best == id) }
        }
    }

    /// Packed mode rounds activations: it prefers the same piece nearly always.
    @Test(.enabled(if: !Case.present.isEmpty), arguments: Case.present)
    func packedModePrefersTheSamePieces(_ model: Case) throws {
        let session = try Session(try Model.load(try ModelSources.open(model.path), options: ModelOptions(threads: 2)), pages: 24)
        let pairs = try answers(model).flatMap { Array(zip(best(session, $0), $0.ids)) }
        let same = pairs.count { $0 == $1 }
        #expect(Double(same) > 0.95 * Double(pairs.count), "\(same) of \(pairs.count)")
    }

    /// mlx-lm computes the same checkpoint in its bf16, which moves single logits by up to 3 from what f32 arithmetic gives:
    /// its own rounding is the distance. In f32 the answers are the reference's, as above.
    @Test(.enabled(if: Case.present.contains { $0.model.hasSuffix("mlx-4bit") }))
    func preciseModeIsCloseToTheLogitsOfMLXItself() throws {
        let path = (Corpus.models ?? "") + "/SmolLM2-135M-Instruct-mlx-4bit"
        let session = try Session(try Model.load(try ModelSources.open(path), options: ModelOptions(precise: true, threads: 2)), pages: 4)
        var divergence = 0.0
        var positions = 0
        for prompt in list(try record("smollm2-mlx4-logits.json")["prompts"]) {
            let slot = session.open()
            defer { session.close(slot) }
            let rows = session.run(slot, numbers(prompt["ids"]).map { Int32($0) }, .all)
            let sums = numbers(prompt["logSumExp"])
            for (index, (top, logits)) in zip(list(prompt["top"]), list(prompt["logits"])).enumerated() {
                let row = rows[index]
                let peak = Double(row.max() ?? 0)
                let sum = peak + log(row.reduce(0) { $0 + exp(Double($1) - peak) })
                // The 16 best pieces, and all others as one.
                var rest = (theirs: 1.0, ours: 1.0)
                for (piece, logit) in zip(numbers(top), numbers(logits)) {
                    let theirs = logit - sums[index]
                    let ours = Double(row[Int(piece)]) - sum
                    divergence += exp(theirs) * (theirs - ours)
                    rest.theirs -= exp(theirs)
                    rest.ours -= exp(ours)
                }
                if rest.theirs > 0, rest.ours > 0 { divergence += rest.theirs * log(rest.theirs / rest.ours) }
                positions += 1
            }
        }
        let mean = divergence / Double(positions)
        print("KL divergence of precise mode from mlx-lm's logits \(mean) over \(positions) positions")
        #expect(positions > 10)
        #expect(mean < 0.2)
    }

    /// The best piece at each position of an answer, given what the reference has said before.
    private func best(_ session: Session, _ answer: Answer) -> [Int32] {
        let slot = session.open()
        defer { session.close(slot) }
        let rows = session.run(slot, answer.prompt + answer.ids.dropLast(), .all).dropFirst(answer.prompt.count - 1)
        return rows.map { row in Int32(row.indices.max { row[$0] < row[$1] } ?? 0) }
    }

    private func answers(_ model: Case) throws -> [Answer] {
        list(try record(model.record)["answers"]).map { answer in
            Answer(
                prompt: numbers(answer["prompt"]).map { Int32($0) }, ids: numbers(answer["ids"]).map { Int32($0) },
                gaps: numbers(answer["gaps"]))
        }
    }

    private func record(_ name: String) throws -> JSONValue {
        try JSONValue.parse([UInt8](try Data(contentsOf: URL(fileURLWithPath: Corpus.testdata + "/real/" + name))))
    }

    private func list(_ value: JSONValue?) -> [JSONValue] {
        if case .array(let values)? = value { values } else { [] }
    }

    private func numbers(_ value: JSONValue?) -> [Double] {
        list(value).map {
            switch $0 {
            case .int(let number): Double(number)
            case .float(let number): number
            default: .nan
            }
        }
    }
}
