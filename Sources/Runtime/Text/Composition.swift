/// Unicode's normalisation form C, which some vocabularies were trained on: `e` and a combining accent become `é`.
///
/// Source: Unicode Standard Annex 15; Hangul by the arithmetic of chapter 3.12.
struct Composition: Sendable {
    static let shared = Composition()

    private let decompositions: [UInt32: (first: UInt32, second: UInt32)]
    private let compositions: [UInt64: UInt32]  // first << 32 | second
    private let orders: [UInt8]  // combining class by code point, below 0x20000
    private let concerned: [UInt32]  // bits by code point, below 0x30000: may composition touch it?

    private init() {
        var decompositions: [UInt32: (first: UInt32, second: UInt32)] = [:]
        var compositions: [UInt64: UInt32] = [:]
        let pairs = CompositionTable.pairs
        for index in stride(from: 0, to: pairs.count - 2, by: 3) {
            let point = pairs[index] & 0x7FFF_FFFF
            decompositions[point] = (pairs[index + 1], pairs[index + 2])
            if point != pairs[index] { compositions[UInt64(pairs[index + 1]) << 32 | UInt64(pairs[index + 2])] = point }
        }
        var orders = [UInt8](repeating: 0, count: 0x20000)
        let marks = CompositionTable.orders
        for index in marks.indices {
            let end = index + 1 < marks.count ? Int(marks[index + 1] >> 8) : orders.count
            for point in Int(marks[index] >> 8)..<end { orders[point] = UInt8(truncatingIfNeeded: marks[index]) }
        }
        var concerned = [UInt32](repeating: 0, count: 0x30000 / 32)
        let turns = CompositionTable.concerned
        for index in stride(from: 0, to: turns.count, by: 2) {
            let end = index + 1 < turns.count ? turns[index + 1] : 0x30000
            for point in turns[index]..<end { concerned[Int(point >> 5)] |= 1 << (point & 31) }
        }
        self.decompositions = decompositions
        self.compositions = compositions
        self.orders = orders
        self.concerned = concerned
    }

    /// The composed form, or nil where the text is in that form already. Bytes that are not UTF-8 stay as they are.
    func composed(_ text: Span<UInt8>) -> [UInt8]? {
        var output: [UInt8] = []
        var kept = 0  // everything before it is in `output`
        var starter = 0  // where the last code point begins that composition leaves alone
        var position = 0
        while position < text.count {
            if text[position] < 0x80 {
                starter = position
                position += 1
                continue
            }
            let (value, length) = UTF8Decoding.scalar(in: text, at: position, end: text.count)
            guard isConcerned(value) else {
                starter = length == 1 ? position + 1 : position
                position += length
                continue
            }
            // A run that needs work: from the starter before it to the next code point that composition leaves alone.
            let from = max(starter, kept)
            var run: [UInt32] = []
            var cursor = from
            while cursor < text.count {
                let (value, length) = UTF8Decoding.scalar(in: text, at: cursor, end: text.count)
                if cursor > position, !isConcerned(value) { break }
                run.append(value)
                cursor += length
            }
            for index in kept..<from { output.append(text[index]) }
            for point in composed(run) { UTF8Decoding.append(point, to: &output) }
            kept = cursor
            starter = cursor
            position = cursor
        }
        guard kept > 0 else { return nil }
        for index in kept..<text.count { output.append(text[index]) }
        return output
    }

    private func isConcerned(_ value: UInt32) -> Bool {
        value < 0x30000 && concerned[Int(value >> 5)] >> (value & 31) & 1 == 1
    }

    private func order(_ value: UInt32) -> UInt8 { value < UInt32(orders.count) ? orders[Int(value)] : 0 }

    private func composed(_ points: [UInt32]) -> [UInt32] {
        var parts: [UInt32] = []
        for point in points { decompose(point, into: &parts) }
        sortMarks(&parts)
        var result: [UInt32] = []
        var starter: Int? = nil  // index in `result` of the last code point of order 0
        var lastOrder: UInt8 = 0  // of the code point before, where it stayed after the starter
        for part in parts {
            let order = order(part)
            if let base = starter, result.count - 1 == base || lastOrder < order, let whole = compose(result[base], part) {
                result[base] = whole
                continue
            }
            if order == 0 { starter = result.count }
            lastOrder = order
            result.append(part)
        }
        return result
    }

    private func decompose(_ point: UInt32, into parts: inout [UInt32]) {
        if point >= 0xAC00, point < 0xAC00 + 11172 {
            let index = point - 0xAC00
            parts += [0x1100 + index / 588, 0x1161 + index % 588 / 28]
            if index % 28 != 0 { parts.append(0x11A7 + index % 28) }
        } else if let pair = decompositions[point] {  // chains are four long at most
            decompose(pair.first, into: &parts)
            if pair.second != 0 { decompose(pair.second, into: &parts) }
        } else {
            parts.append(point)
        }
    }

    /// Sorts every run of marks by combining class, equal ones in the order of the text.
    private func sortMarks(_ parts: inout [UInt32]) {
        var first = 0
        while first < parts.count {
            guard order(parts[first]) != 0 else {
                first += 1
                continue
            }
            var end = first
            while end < parts.count, order(parts[end]) != 0 { end += 1 }
            if end - first > 1 {
                let sorted = parts[first..<end].enumerated().sorted { a, b in
                    (order(a.element), a.offset) < (order(b.element), b.offset)
                }
                for (offset, mark) in sorted.enumerated() { parts[first + offset] = mark.element }
            }
            first = end
        }
    }

    private func compose(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if first >= 0x1100, first < 0x1113, second >= 0x1161, second < 0x1176 {
            return 0xAC00 + ((first - 0x1100) * 21 + (second - 0x1161)) * 28
        }
        if first >= 0xAC00, first < 0xAC00 + 11172, (first - 0xAC00) % 28 == 0, second > 0x11A7, second < 0x11C3 {
            return first + (second - 0x11A7)
        }
        return compositions[UInt64(first) << 32 | UInt64(second)]
    }
}
