import Foundation
import TestSupport
import Testing
import Weights

/// One stored form of one tiny model of `testdata/tiny`, with what the reference implementation says about it.
struct TinyModel: CustomTestStringConvertible {
    let architecture: String  // the folder's name
    let form: String  // hf, gguf-Q4_K, mlx-q4-g64-f16
    let path: String
    var folder: String { Corpus.testdata + "/tiny/" + architecture }
    var testDescription: String { architecture + " " + form }

    /// The widths that stored weights have after rounding matter only against the unrounded ones: logits here are of the
    /// rounded numbers themselves.
    var bits: Int {
        for (mark, bits) in [("q4", 4), ("q8", 8), ("Q4", 4), ("Q5", 5), ("Q6", 6), ("Q8", 8)] where form.contains(mark) { return bits }
        return 16
    }

    static let all: [TinyModel] = {
        func names(_ path: String) -> [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }
        let root = Corpus.testdata + "/tiny"
        return names(root).flatMap { architecture -> [TinyModel] in
            let folder = root + "/" + architecture
            guard names(folder).contains("prompt.json") else { return [] }
            let gguf = names(folder + "/gguf").map {
                TinyModel(architecture: architecture, form: "gguf-" + $0.dropLast(".gguf".count), path: folder + "/gguf/" + $0)
            }
            let mlx = names(folder + "/mlx").map {
                TinyModel(architecture: architecture, form: "mlx-" + $0, path: folder + "/mlx/" + $0)
            }
            return [TinyModel(architecture: architecture, form: "hf", path: folder + "/hf")] + gguf + mlx
        }
    }()

    func prompt() throws -> [Int32] {
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder + "/prompt.json")))
        guard case .array(let ids)? = try JSONValue.parse(bytes)["ids"] else { return [] }
        return ids.compactMap { if case .int(let id) = $0 { Int32(id) } else { nil } }
    }

    /// `[ids, pieces]`, or nil where the reference recorded none for this form.
    func referenceLogits() -> [Float]? {
        guard let data = FileManager.default.contents(atPath: folder + "/logits/" + form + ".f32") else { return nil }
        return data.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count - 3, by: 4).map {
                Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self)))
            }
        }
    }
}
