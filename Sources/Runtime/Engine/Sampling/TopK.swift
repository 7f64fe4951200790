/// The `count` largest logits, in order; of equals the lower ids.
struct TopK: Sendable {
    var count: Int

    var isNeutral: Bool { count == 0 }

    /// One pass with a heap whose root is the worst candidate kept so far; most blocks of eight end at one comparison.
    func select(_ logits: UnsafeBufferPointer<Float>) -> [Candidates.Candidate] {
        let size = min(count, logits.count)
        guard size > 0 else { return [] }
        var heap: [Candidates.Candidate] = []
        heap.reserveCapacity(size)
        for index in 0..<size { heap.append(.init(id: Int32(truncatingIfNeeded: index), weight: logits[index])) }
        if size < logits.count {
            for root in stride(from: size / 2 - 1, through: 0, by: -1) { Self.sink(&heap, from: root) }
            var index = size
            while index < logits.count {
                if index & 7 == 0 { index = Vectors.nextBlock(above: heap[0].weight, in: logits, from: index) }
                guard index < logits.count else { break }
                if logits[index] > heap[0].weight {  // an equal one has the higher id
                    heap[0] = .init(id: Int32(truncatingIfNeeded: index), weight: logits[index])
                    Self.sink(&heap, from: 0)
                }
                index += 1
            }
        }
        heap.sort { $0.precedes($1) }
        return heap
    }

    private static func sink(_ heap: inout [Candidates.Candidate], from start: Int) {
        var parent = start
        while true {
            var worst = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[worst].precedes(heap[child]) { worst = child }
            }
            if worst == parent { return }
            heap.swapAt(worst, parent)
            parent = worst
        }
    }
}
