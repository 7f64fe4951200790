internal import Weights

/// Pieces that published models end an answer with. A file often names only one of the several that its model writes.
enum EndPieces {
    private static let known: Set<[UInt8]> = Set(
        [
            "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<turn|>", "<|endoftext|>", "<|end_of_text|>", "<|end|>",
            "<|eot|>", "<EOT>", "_<EOT>", "<|return|>", "<|call|>", "<|END_OF_TURN_TOKEN|>", "<|end_of_turn|>", "<end_of_utterance>",
            "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "</s>", "<eos>",
        ].map { Array($0.utf8) })

    /// The ids that end an answer: the named ones first, then every control piece of the list.
    static func ids(in spec: TokenizerSpec) -> [Int] {
        var ids = spec.endOfGeneration
        for id in [spec.eos, spec.eot, spec.eom] { if let id, !ids.contains(id) { ids.append(id) } }
        for token in spec.addedTokens where token.special && known.contains(token.content) && !ids.contains(token.id) {
            ids.append(token.id)
        }
        return ids
    }
}

/// SentencePiece's visible space, `▁` (U+2581).
enum SpaceMark {
    static let bytes: [UInt8] = [0xE2, 0x96, 0x81]

    /// A piece as plain text.
    static func replaced(in piece: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        var index = 0
        while index < piece.count {
            if piece[index] == bytes[0], piece[index...].starts(with: bytes) {
                text.append(UInt8(ascii: " "))
                index += bytes.count
            } else {
                text.append(piece[index])
                index += 1
            }
        }
        return text
    }
}
