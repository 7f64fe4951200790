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

    /// The best piece at each position of an answer, given what the reference has said before.
    private func best(_ session: Session, _ answer: Answer) -> [Int32] {
        let slot = session.open()
        defer { session.close(slot) }
        let rows = session.run(slot, answer.prompt + answer.ids.dropLast(), .all).dropFirst(answer.prompt.count - 1)
        return rows.map { row in Int32(row.indices.max { row[$0] < row[$1] } ?? 0) }
    }

    private func answers(_ model: Case) throws -> [Answer] {
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Corpus.testdata + "/real/" + model.record)))
        guard case .array(let answers)? = try JSONValue.parse(bytes)["answers"] else { return [] }
        func numbers(_ value: JSONValue?) -> [Double] {
            guard case .array(let values)? = value else { return [] }
            return values.map {
                switch $0 {
                case .int(let number): Double(number)
                case .float(let number): number
                default: .nan
                }
            }
        }
        return answers.map { answer in
            Answer(
                prompt: numbers(answer["prompt"]).map { Int32($0) }, ids: numbers(answer["ids"]).map { Int32($0) },
                gaps: numbers(answer["gaps"]))
        }
    }
}
