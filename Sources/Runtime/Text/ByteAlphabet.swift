/// The spelling of bytes as printable characters that byte-level vocabularies use: `Ġ` is the space.
///
/// A byte that Latin-1 prints stands for itself; the other 68 are numbered from U+0100 on.
enum ByteAlphabet {
    /// By code point below 0x180: the byte it spells, or -1.
    private static let bytes: [Int16] = {
        var bytes = [Int16](repeating: -1, count: 0x180)
        var next = 0x100
        for byte in 0..<256 {
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: bytes[byte] = Int16(byte)
            default:
                bytes[next] = Int16(byte)
                next += 1
            }
        }
        return bytes
    }()

    /// Appends the bytes that a piece spells. Where it holds a character outside the alphabet, its own UTF-8, and false.
    @discardableResult
    static func decode(_ piece: ArraySlice<UInt8>, into output: inout [UInt8]) -> Bool {
        let before = output.count
        let text = piece.span
        var position = 0
        while position < text.count {
            let (value, length) = UTF8Decoding.scalar(in: text, at: position, end: text.count)
            guard value < 0x180, bytes[Int(value)] >= 0 else {
                output.removeSubrange(before...)
                output.append(contentsOf: piece)
                return false
            }
            output.append(UInt8(truncatingIfNeeded: bytes[Int(value)]))
            position += length
        }
        return true
    }
}

/// The spelling of a space in SentencePiece vocabularies, `▁` (U+2581).
enum SpaceMark {
    static func matches(_ text: Span<UInt8>, at position: Int) -> Bool {
        text[position] == 0xE2 && position + 2 < text.count && text[position + 1] == 0x96 && text[position + 2] == 0x81
    }

    /// Appends the text with every `▁` as a space.
    static func decode(_ text: Span<UInt8>, into output: inout [UInt8]) {
        var position = 0
        while position < text.count {
            if matches(text, at: position) {
                output.append(0x20)
                position += 3
            } else {
                output.append(text[position])
                position += 1
            }
        }
    }

    /// The byte that a piece `<0xNN>` stands for: exactly two hexadecimal digits, else nil.
    static func byte(_ piece: ArraySlice<UInt8>) -> UInt8? {
        let text = Array(piece)
        guard text.count == 6, text.starts(with: [0x3C, 0x30, 0x78]), text[5] == 0x3E, let high = digit(text[3]), let low = digit(text[4])
        else { return nil }
        return high << 4 | low
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}
