/// Finds one byte string in others, in time that grows with their length only, whatever they repeat (Knuth, Morris, Pratt).
struct ByteSearch {
    let needle: [UInt8]
    /// For each prefix of the needle the length of its longest proper border; empty for short needles, which are compared plainly.
    private let borders: [Int32]
    private let isBackward: Bool

    /// `backward` searches find the last place instead of the first.
    init(_ needle: [UInt8], backward: Bool = false) {
        self.needle = needle
        isBackward = backward
        guard needle.count > 16 else {
            borders = []
            return
        }
        func byte(_ index: Int) -> UInt8 { backward ? needle[needle.count - 1 - index] : needle[index] }
        var borders = [Int32](repeating: 0, count: needle.count)
        var length = 0
        for index in 1..<needle.count {
            while length > 0, byte(length) != byte(index) { length = Int(borders[length - 1]) }
            if byte(length) == byte(index) { length += 1 }
            borders[index] = Int32(truncatingIfNeeded: length)
        }
        self.borders = borders
    }

    /// Where the needle begins within `start..<end`: the first such place, or the last for a backward search.
    func place(in bytes: [UInt8], from start: Int, to end: Int) -> Int? {
        let size = needle.count
        guard end - start >= size else { return nil }
        if size == 0 { return isBackward ? end : start }
        return borders.isEmpty ? plainly(in: bytes, start, end) : byBorders(in: bytes, start, end)
    }

    private func plainly(in bytes: [UInt8], _ start: Int, _ end: Int) -> Int? {
        let last = end - needle.count
        if isBackward {
            var index = last
            while index >= start {
                if bytes[index] == needle[0], UTF8Bytes.matches(needle, in: bytes, at: index) { return index }
                index -= 1
            }
        } else {
            var index = start
            while index <= last {
                if bytes[index] == needle[0], UTF8Bytes.matches(needle, in: bytes, at: index) { return index }
                index += 1
            }
        }
        return nil
    }

    private func byBorders(in bytes: [UInt8], _ start: Int, _ end: Int) -> Int? {
        var length = 0
        for step in 0..<end - start {
            let byte = bytes[isBackward ? end - 1 - step : start + step]
            while length > 0, wanted(length) != byte { length = Int(borders[length - 1]) }
            if wanted(length) == byte { length += 1 }
            if length == needle.count { return isBackward ? end - 1 - step : start + step + 1 - length }
        }
        return nil
    }

    private func wanted(_ index: Int) -> UInt8 { isBackward ? needle[needle.count - 1 - index] : needle[index] }
}
