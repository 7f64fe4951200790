internal import CKernels
internal import Foundation
internal import Weights

extension Bench {
    func report(_ results: [BenchSubject.Result], readRates: [(bytes: Int, rate: Double)]) throws {
        func readRate(_ result: BenchSubject.Result) -> Double { readRates.first { $0.bytes == result.bytesPerStep }?.rate ?? 0 }
        if output.json {
            var document = heading
            document["models"] = .array(results.map { Self.document($0, readRate: readRate($0)) })
            if results.count == 2, !compare.isEmpty {
                document["ratios"] = .array(results[0].tests.indices.map { .array(ratios(results, $0).map { .float($0) }) })
            }
            return print(JSONValue.object(document).serialized())
        }
        print("\(Machine.processor), \(compute.threads) threads, \(Self.instructionSet)\(compute.precise ? ", precise" : "")\n")
        var rows: [[String]] = []
        for result in results {
            for test in result.tests {
                var share = "–"
                if test.kind == .generate {
                    let bytes = Double(result.bytesPerStep + test.batch * result.cacheBytesPerToken * test.depth)
                    let limit = readRate(result) * 1e9 / bytes * Double(test.batch)
                    share = "\((100 * median(test.rates) / max(limit, 1e-9)).fixed(0)) %"
                }
                rows.append([result.name, result.quantization, label(test), spread(test.rates), share])
            }
        }
        print(markdownTable(["model", "quantization", "test", "tokens per second", "of memory read rate"], rows))
        for result in results {
            print(
                "\n\(result.name): \(humanBytes(result.bytesPerStep)) read per step, memory read rate over as much "
                    + "\(readRate(result).fixed(1)) GB/s; loaded in \(result.loadSeconds.fixed(2)) s")
        }
        guard results.count == 2, !compare.isEmpty else { return }
        print("\n\(results[0].name) against \(results[1].name), pair by pair:")
        for index in results[0].tests.indices {
            print("  \(label(results[0].tests[index]))  \(spread(ratios(results, index), decimals: 3)) ×")
        }
    }

    func report(_ limits: MachineLimits) throws {
        if output.json {
            var document = heading
            document["reads"] = .array(
                limits.reads.map { .object(["bytes": .int($0.bytes), "gb_per_second": .float($0.rate)]) })
            document["kernels"] = .array(
                limits.kernels.map {
                    .object([
                        "model": .string($0.model), "form": .string($0.form), "columns": .int($0.columns), "weights": .int($0.weights),
                        "logits": .bool($0.isLogits), "tokens": .int($0.tokens), "gops": .float($0.gops),
                    ])
                })
            return print(JSONValue.object(document).serialized())
        }
        print("\(Machine.processor), \(compute.threads) threads, \(Self.instructionSet)\n")
        print(markdownTable(["working set", "read, GB/s"], limits.reads.map { [humanBytes($0.bytes), $0.rate.fixed(1)] }))
        guard !limits.kernels.isEmpty else { return }
        let rows = limits.kernels.map { [$0.model, $0.form + ($0.isLogits ? " (logits)" : ""), String($0.columns), String($0.tokens), $0.gops.fixed(0)] }
        print("\n" + markdownTable(["model", "form", "columns", "tokens", "bare kernel, GOPS"], rows))
    }

    private var heading: JSONObject {
        [
            "engine": .string("lmx"), "version": .string(Version.text), "processor": .string(Machine.processor),
            "instruction_set": .string(Self.instructionSet), "threads": .int(compute.threads), "precise": .bool(compute.precise),
        ]
    }

    private static var instructionSet: String { String(cString: ck_isa_name()) }

    private static func document(_ result: BenchSubject.Result, readRate: Double) -> JSONValue {
        .object([
            "model": .string(result.name), "quantization": .string(result.quantization), "file_bytes": .int(result.fileBytes),
            "packed_bytes": .int(result.packedBytes), "bytes_per_step": .int(result.bytesPerStep),
            "operations_per_token": .int(result.operationsPerToken), "cache_bytes_per_token": .int(result.cacheBytesPerToken),
            "read_gb_per_second": .float(readRate), "load_seconds": .float(result.loadSeconds),
            "predicted_bytes": .int(result.predictedBytes), "peak_resident_bytes": .int(result.peakBytes),
            "tests": .array(
                result.tests.map { test in
                    .object([
                        "test": .string(test.kind.rawValue), "tokens": .int(test.tokens), "depth": .int(test.depth),
                        "batch": .int(test.batch), "tokens_per_second": .array(test.rates.map { .float($0) }),
                    ])
                }),
        ])
    }

    private func label(_ test: BenchSubject.Test) -> String {
        (test.kind == .prompt ? "pp" : "tg") + String(test.tokens) + (test.depth > 0 ? "@\(test.depth)" : "")
            + (test.batch > 1 ? " ×\(test.batch)" : "")
    }

    private func ratios(_ results: [BenchSubject.Result], _ test: Int) -> [Double] {
        zip(results[0].tests[test].rates, results[1].tests[test].rates).map { $0 / $1 }
    }

    private func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        return sorted.count % 2 == 1 ? sorted[sorted.count / 2] : (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2
    }

    private func spread(_ values: [Double], decimals: Int = 1) -> String {
        "\(median(values).fixed(decimals)) (\((values.min() ?? 0).fixed(decimals))–\((values.max() ?? 0).fixed(decimals)))"
    }
}
