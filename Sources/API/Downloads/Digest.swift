/// The two checksums by which a hub names contents, computed as the bytes come (FIPS 180-4).
package struct Digest: Sendable {
    package enum Kind: Sendable, Equatable { case sha256, sha1 }

    package let kind: Kind
    private var state: [UInt32]
    private var block: [UInt8] = []  // not yet a whole one
    private var length: UInt64 = 0  // bytes so far
    private var words = [UInt32](repeating: 0, count: 80)  // of a block; its memory is used again

    package init(_ kind: Kind) {
        self.kind = kind
        state =
            switch kind {
            case .sha256:
                [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19]
            case .sha1: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]
            }
        block.reserveCapacity(64)
    }

    package mutating func update(_ bytes: some Collection<UInt8>) {
        let all = ContiguousArray(bytes)
        all.withUnsafeBufferPointer { update($0) }
    }

    mutating func update(_ bytes: UnsafeBufferPointer<UInt8>) {
        length &+= UInt64(bytes.count)
        var rest = bytes[...]
        if !block.isEmpty {
            let count = min(64 - block.count, rest.count)
            block += rest.prefix(count)
            rest = rest.dropFirst(count)
            guard block.count == 64 else { return }
            let whole = block
            whole.withUnsafeBufferPointer { mix($0[...]) }
            block.removeAll(keepingCapacity: true)
        }
        while rest.count >= 64 {
            mix(rest.prefix(64))
            rest = rest.dropFirst(64)
        }
        block += rest
    }

    /// The checksum of everything so far, in hexadecimal digits.
    package var hex: String {
        var copy = self
        let bits = length &* 8
        var end: [UInt8] = [0x80]
        while (copy.block.count + end.count) % 64 != 56 { end.append(0) }
        for shift in stride(from: 56, through: 0, by: -8) { end.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift))) }
        copy.update(end)
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for word in copy.state {
            for shift in stride(from: 28, through: 0, by: -4) { text.append(digits[Int(word >> UInt32(shift) & 15)]) }
        }
        return String(decoding: text, as: UTF8.self)
    }

    private mutating func mix(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) {
        for index in 0..<16 {
            let at = bytes.startIndex + 4 * index
            words[index] =
                UInt32(bytes[at]) << 24 | UInt32(bytes[at + 1]) << 16 | UInt32(bytes[at + 2]) << 8 | UInt32(bytes[at + 3])
        }
        if kind == .sha256 { mix256() } else { mix1() }
    }

    private mutating func mix256() {
        var w: [UInt32] = []
        swap(&w, &words)
        defer { swap(&w, &words) }
        let constants = Self.constants
        for i in 16..<64 {
            let a = w[i - 15], b = w[i - 2]
            w[i] = w[i - 16] &+ (a.rotated(7) ^ a.rotated(18) ^ a >> 3) &+ w[i - 7] &+ (b.rotated(17) ^ b.rotated(19) ^ b >> 10)
        }
        var (a, b, c, d, e, f, g, h) = (state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7])
        for i in 0..<64 {
            let one = h &+ (e.rotated(6) ^ e.rotated(11) ^ e.rotated(25)) &+ (e & f ^ ~e & g) &+ constants[i] &+ w[i]
            let two = (a.rotated(2) ^ a.rotated(13) ^ a.rotated(22)) &+ (a & b ^ a & c ^ b & c)
            (h, g, f, e, d, c, b, a) = (g, f, e, d &+ one, c, b, a, one &+ two)
        }
        for (index, value) in [a, b, c, d, e, f, g, h].enumerated() { state[index] &+= value }
    }

    private mutating func mix1() {
        var w: [UInt32] = []
        swap(&w, &words)
        defer { swap(&w, &words) }
        for i in 16..<80 { w[i] = (w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]).rotated(31) }
        var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
        for i in 0..<80 {
            let (f, k): (UInt32, UInt32) =
                switch i {
                case ..<20: (b & c | ~b & d, 0x5a82_7999)
                case ..<40: (b ^ c ^ d, 0x6ed9_eba1)
                case ..<60: (b & c | b & d | c & d, 0x8f1b_bcdc)
                default: (b ^ c ^ d, 0xca62_c1d6)
                }
            (e, d, c, b, a) = (d, c, b.rotated(2), a, a.rotated(27) &+ f &+ e &+ k &+ w[i])
        }
        for (index, value) in [a, b, c, d, e].enumerated() { state[index] &+= value }
    }

    private static let constants: [UInt32] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ]
}

extension UInt32 {
    /// To the right.
    fileprivate func rotated(_ count: UInt32) -> UInt32 { self >> count | self << (32 - count) }
}
