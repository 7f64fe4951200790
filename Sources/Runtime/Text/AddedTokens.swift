internal import Weights

/// The tokens that are looked for in the text before anything else: a tree of their bytes, the longest match wins.
struct AddedTokens: Sendable {
    private struct Node {
        let byte: UInt8
        var token: Int32 = -1  // index in `tokens` that ends here
        var child: Int32 = -1
        var sibling: Int32 = -1
    }

    private(set) var tokens: [TokenizerSpec.AddedToken] = []
    private var nodes: [Node] = []
    private var roots = [Int32](repeating: -1, count: 256)  // by first byte

    /// Adds a token, unless one of the same content was added before.
    mutating func insert(_ token: TokenizerSpec.AddedToken) {
        guard let first = token.content.first else { return }
        if roots[Int(first)] < 0 { roots[Int(first)] = add(first) }
        var node = Int(roots[Int(first)])
        for byte in token.content.dropFirst() {
            var child = nodes[node].child
            while child >= 0, nodes[Int(child)].byte != byte { child = nodes[Int(child)].sibling }
            if child < 0 {
                child = add(byte)
                nodes[Int(child)].sibling = nodes[node].child
                nodes[node].child = child
            }
            node = Int(child)
        }
        guard nodes[node].token < 0 else { return }
        nodes[node].token = Int32(truncatingIfNeeded: tokens.count)
        tokens.append(token)
    }

    private mutating func add(_ byte: UInt8) -> Int32 {
        nodes.append(Node(byte: byte))
        return Int32(truncatingIfNeeded: nodes.count - 1)
    }

    /// The first position from `start` on at which a token that `accepts` lets pass begins, the longest there; nil at the end.
    func next(
        in text: Span<UInt8>, from start: Int, where accepts: (_ token: TokenizerSpec.AddedToken, _ range: Range<Int>) -> Bool
    ) -> (token: TokenizerSpec.AddedToken, range: Range<Int>)? {
        if tokens.isEmpty { return nil }
        var position = start
        while position < text.count {
            var node = roots[Int(text[position])]
            var end = position + 1
            var found: Int32 = -1
            var foundEnd = end
            while node >= 0 {
                let token = nodes[Int(node)].token
                if token >= 0, accepts(tokens[Int(token)], position..<end) {
                    found = token
                    foundEnd = end
                }
                guard end < text.count else { break }
                let byte = text[end]
                node = nodes[Int(node)].child
                while node >= 0, nodes[Int(node)].byte != byte { node = nodes[Int(node)].sibling }
                end += 1
            }
            if found >= 0 { return (tokens[Int(found)], position..<foundEnd) }
            position += 1
        }
        return nil
    }
}
