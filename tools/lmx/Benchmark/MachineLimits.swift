internal import CKernels
internal import Compute
internal import Foundation
internal import Weights

/// What this machine allows: the bounds on decoding and on prompts.
struct MachineLimits {
    /// GB (10⁹ bytes) per second over working sets of so many bytes.
    var reads: [(bytes: Int, rate: Double)] = []
    var kernels: [KernelProbe.Rate] = []
}

/// What this machine is.
enum Machine {
    static var processor: String {
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
        return line?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown processor"
    }
}

/// How fast memory is read now: the bound on decoding.
final class MemoryProbe {
    private struct Pass {
        let block: UnsafeRawPointer
        let bytes: Int
        let streams: Int  // of each member, read in turn
        let sums: UnsafeMutablePointer<UInt64>  // by member; what is loaded has to be used
    }

    private let threads: Int
    private let capacity: Int
    private let block: UnsafeMutableRawPointer  // in huge pages where the system gives them, as the weights are
    private let sums: UnsafeMutablePointer<UInt64>
    private let team: OpaquePointer

    /// - Parameter bytes: the largest working set that will be asked for.
    init(bytes: Int, threads: Int) {
        self.threads = threads
        capacity = (max(bytes, 1 << 20) + (2 << 20) - 1) / (2 << 20) * (2 << 20)
        block = .allocate(byteCount: capacity, alignment: 2 << 20)
        madvise(block, capacity, MADV_HUGEPAGE)
        memset(block, 1, capacity)
        sums = .allocate(capacity: threads)
        sums.initialize(repeating: 0, count: threads)
        team = ck_team_create(Int32(threads))
    }

    deinit {
        ck_team_destroy(team)
        sums.deallocate()
        block.deallocate()
    }

    /// GB (10⁹ bytes) per second when the first `bytes` are read again and again, each thread its share: the median of
    /// passes, with one or four streams a thread, whichever is faster.
    func readRate(bytes: Int) -> Double {
        let bytes = min(bytes, capacity) / (threads * 4 * 256) * (threads * 4 * 256)
        guard bytes > 0 else { return 0 }
        return [1, 4].map { streams in
            _ = pass(bytes, streams)  // into the caches, where it fits
            let rates = (0..<max(5, min(200, (1 << 28) / bytes))).map { _ in pass(bytes, streams) }.sorted()
            return rates[rates.count / 2]
        }.max() ?? 0
    }

    private func pass(_ bytes: Int, _ streams: Int) -> Double {
        var pass = Pass(block: block, bytes: bytes, streams: streams, sums: sums)
        let clock = ContinuousClock()
        let start = clock.now
        ck_team_run(
            team,
            { context, member, members in
                guard let pass = context?.assumingMemoryBound(to: Pass.self).pointee else { return }
                let share = pass.bytes / Int(members)
                let length = share / pass.streams
                var a = SIMD8<UInt64>.zero
                var b = a, c = a, d = a  // four chains of additions, so that loads are what it waits for
                for offset in stride(from: 0, to: length, by: 256) {
                    for stream in 0..<pass.streams {
                        let line = pass.block + Int(member) * share + stream * length + offset
                        a &+= line.loadUnaligned(as: SIMD8<UInt64>.self)
                        b &+= line.loadUnaligned(fromByteOffset: 64, as: SIMD8<UInt64>.self)
                        c &+= line.loadUnaligned(fromByteOffset: 128, as: SIMD8<UInt64>.self)
                        d &+= line.loadUnaligned(fromByteOffset: 192, as: SIMD8<UInt64>.self)
                    }
                }
                pass.sums[Int(member)] = (a &+ b &+ c &+ d).wrappedSum()
            }, &pass)
        return Double(bytes) / (clock.now - start).seconds / 1e9
    }
}

/// The arithmetic without the memory: a slice of a model's own matrices that stays in the second-level cache.
enum KernelProbe {
    struct Rate {
        let model: String
        let form: String  // `4-bit, groups of 32`
        let columns: Int
        let weights: Int  // of this form and width in the whole model
        let isLogits: Bool  // the output matrix, which stands apart: a prompt passes it once
        let tokens: Int
        let gops: Double  // 10⁹ multiplications and additions per second
    }

    private static let sliceBytes = 512 << 10  // for each thread: half of a usual second-level cache

    /// One rate for every form and width that the model's layers are made of, and one for the logits.
    static func rates(_ model: Model, named name: String, tokens: Int) -> [Rate] {
        var kinds: [(matrix: ck_matrix, weights: Int)] = []
        for matrix in model.matrices {
            let weights = Int(matrix.rows * matrix.columns)
            if let index = kinds.firstIndex(where: { $0.matrix.columns == matrix.columns && label($0.matrix.form) == label(matrix.form) }) {
                kinds[index].weights += weights
                if matrix.rows > kinds[index].matrix.rows { kinds[index].matrix = matrix }
            } else {
                kinds.append((matrix, weights))
            }
        }
        func rate(_ matrix: ck_matrix, _ weights: Int, isLogits: Bool) -> Rate {
            Rate(
                model: name, form: label(matrix.form), columns: Int(matrix.columns), weights: weights, isLogits: isLogits, tokens: tokens,
                gops: gops(matrix, tokens: tokens, threads: model.options.threads))
        }
        return kinds.map { rate($0.matrix, $0.weights, isLogits: false) }
            + (model.logitsMatrix.map { [rate($0, Int($0.rows * $0.columns), isLogits: true)] } ?? [])
    }

    /// From what a slice takes longer than half of it, so that quantising the input, which both do, does not count.
    private static func gops(_ whole: ck_matrix, tokens: Int, threads: Int) -> Double {
        let panelRows = Int(CK_PANEL_ROWS)
        let panels = min(Int(whole.rows) / panelRows, sliceBytes * threads / max(whole.panel_bytes, 1)) / (2 * threads) * (2 * threads)
        guard panels > 0 else { return 0 }
        let rows = panels * panelRows
        let columns = Int(whole.columns)
        let x = UnsafeMutablePointer<Float>.allocate(capacity: tokens * columns)
        let y = UnsafeMutablePointer<Float>.allocate(capacity: tokens * rows)
        let scratch = UnsafeMutableRawPointer.allocate(
            byteCount: max(64, ck_linear_scratch(Int64(tokens), Int64(columns))), alignment: 64)
        defer {
            x.deallocate()
            y.deallocate()
            scratch.deallocate()
        }
        for index in 0..<tokens * columns { (x + index).initialize(to: Float(index % 251) / 125 - 1) }
        y.initialize(repeating: 0, count: tokens * rows)
        let team = ck_team_create(Int32(threads))
        defer { ck_team_destroy(team) }

        let clock = ContinuousClock()
        func seconds(rows: Int) -> Double {
            var matrix = whole
            matrix.rows = Int64(rows)
            let start = clock.now
            withUnsafePointer(to: matrix) { matrix in
                var source = ck_source()
                source.x = UnsafePointer(x)
                source.stride = Int64(columns)
                var product = ck_product(matrix: matrix, bias: nil, y: y, stride: Int64(rows), adds: false)
                ck_linear(team, &source, Int64(tokens), Int64(columns), &product, 1, scratch)
            }
            return (clock.now - start).seconds
        }
        let begin = clock.now
        while (clock.now - begin).seconds < 0.02 { _ = seconds(rows: rows) }
        var whole: [Double] = []
        var half: [Double] = []
        while whole.count < 9 || ((clock.now - begin).seconds < 0.1 && whole.count < 1000) {
            whole.append(seconds(rows: rows))
            half.append(seconds(rows: rows / 2))
        }
        whole.sort()
        half.sort()
        let passed = whole[whole.count / 2] - half[half.count / 2]
        return passed > 0 ? Double(rows * columns * tokens) / passed / 1e9 : 0
    }

    private static func label(_ form: ck_form) -> String {
        switch Int(form.values) {
        case Int(CK_F32.rawValue): return "f32"
        case Int(CK_F16.rawValue): return "f16"
        case Int(CK_BF16.rawValue): return "bf16"
        default:
            let scales = form.scales == UInt8(CK_SCALE_TWO_LEVEL.rawValue) ? ", two-level" : ""
            return "\(form.code_bits)-bit, groups of \(form.group)\(scales)\(form.has_offset ? ", offset" : "")\(form.has_codebook ? ", codebook" : "")"
        }
    }
}
