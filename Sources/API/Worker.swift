import Dispatch

/// Threads for work that computes or blocks for milliseconds: parsing bodies, rendering templates, tokenizing.
///
/// The threads of Swift's concurrency are as many as cores and have to answer every other connection meanwhile.
enum Worker {
    private static let queue = DispatchQueue(label: "lmx.worker", qos: .userInitiated, attributes: .concurrent)

    static func run<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try work() }) }
        }
    }
}
