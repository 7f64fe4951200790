internal import Weights

/// `tokenizer.model`, a SentencePiece vocabulary in protocol buffers: of it only pieces and scores, which `tokenizer.json` lacks.
///
///     field 1, repeated: { 1: piece, 2: score f32, 3: kind }     field 2: { … }     field 3: { 3: add_dummy_prefix … }
enum SentencePieceFile {
    /// Scores by piece.
    static func scores(in folder: ModelFolder) throws(ModelError) -> [ArraySlice<UInt8>: Float] {
        guard folder.has("tokenizer.model") else { return [:] }
        let place = folder.file("tokenizer.model")
        let storage = try FileBytes.text(place, atMost: Limits.tokenizerFileBytes)
        var reader = ByteReader(storage, place: place)
        var scores: [ArraySlice<UInt8>: Float] = [:]
        while reader.remaining > 0 {
            guard let (field, range) = try next(&reader) else { continue }
            guard field == 1 else { continue }
            var inner = ByteReader(storage, place: place, range: range)
            var piece: [UInt8] = []
            var score: Float = 0
            while inner.remaining > 0 {
                let tag = try number(&inner)
                switch (tag >> 3, tag & 7) {
                case (1, 2): piece = inner.bytes(try inner.skip(try length(&inner), "a piece"))
                case (2, 5): score = try inner.f32("a score")
                case (_, let wire): try skip(wire, &inner)
                }
            }
            scores[piece[...]] = score
            guard scores.count <= Limits.vocabulary.upperBound else { throw ModelError(.outOfRange, at: place, "has too many pieces") }
        }
        return scores
    }

    /// The next field with a length; nil for one without, which is passed.
    private static func next(_ reader: inout ByteReader) throws(ModelError) -> (UInt64, Range<Int>)? {
        let tag = try number(&reader)
        guard tag & 7 == 2 else {
            try skip(tag & 7, &reader)
            return nil
        }
        return (tag >> 3, try reader.skip(try length(&reader), "a field"))
    }

    private static func length(_ reader: inout ByteReader) throws(ModelError) -> Int {
        let value = try number(&reader)
        guard value <= UInt64(reader.remaining) else {
            throw ModelError(.truncated, at: reader.place, "has a field of \(value) bytes where \(reader.remaining) remain")
        }
        return Int(value)
    }

    private static func number(_ reader: inout ByteReader) throws(ModelError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            let byte = try reader.integer(UInt8.self, "a number")
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw ModelError(.malformed, at: reader.place, "has a number of more than ten bytes")
    }

    private static func skip(_ wire: UInt64, _ reader: inout ByteReader) throws(ModelError) {
        switch wire {
        case 0: _ = try number(&reader)
        case 1: _ = try reader.skip(8, "a field")
        case 2: _ = try reader.skip(try length(&reader), "a field")
        case 5: _ = try reader.skip(4, "a field")
        default: throw ModelError(.malformed, at: reader.place, "is no SentencePiece model", hint: "a field of kind \(wire)")
        }
    }

    /// The file for a vocabulary with scores, as programs need it that read no `tokenizer.json`.
    static func bytes(of spec: TokenizerSpec) -> [UInt8] {
        var file: [UInt8] = []
        for (id, piece) in spec.pieces.enumerated() {
            var inner: [UInt8] = []
            append(1, piece, to: &inner)
            inner.append(2 << 3 | 5)
            GGUFKeys.append(UInt64((id < spec.scores.count ? spec.scores[id] : 0).bitPattern), 4, to: &inner)
            if spec.kinds[id] != .normal { append(3, UInt64(spec.kinds[id].rawValue), to: &inner) }
            append(1, inner, to: &file)
        }
        var trainer: [UInt8] = []
        append(3, 2, to: &trainer)  // model_type: BPE
        append(4, UInt64(spec.pieces.count), to: &trainer)
        append(35, 1, to: &trainer)  // byte_fallback
        for (field, id) in [(40, spec.unknown), (41, spec.bos), (42, spec.eos), (43, spec.padding)] as [(UInt64, Int?)] {
            append(field, id.map { UInt64($0) } ?? UInt64(bitPattern: -1), to: &trainer)
        }
        append(2, trainer, to: &file)
        var normalizer: [UInt8] = []
        append(1, Array("identity".utf8), to: &normalizer)
        append(3, spec.addsSpacePrefix ? 1 : 0, to: &normalizer)
        append(4, 0, to: &normalizer)  // remove_extra_whitespaces
        append(5, 1, to: &normalizer)  // escape_whitespaces
        append(3, normalizer, to: &file)
        return file
    }

    private static func append(_ field: UInt64, _ value: UInt64, to bytes: inout [UInt8]) {
        append(field << 3, to: &bytes)
        append(value, to: &bytes)
    }

    private static func append(_ field: UInt64, _ text: some Collection<UInt8>, to bytes: inout [UInt8]) {
        append(field << 3 | 2, to: &bytes)
        append(UInt64(text.count), to: &bytes)
        bytes.append(contentsOf: text)
    }

    private static func append(_ number: UInt64, to bytes: inout [UInt8]) {
        var rest = number
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }
}
