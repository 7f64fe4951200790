import TestSupport
import Testing
import Weights

@Suite struct ByteReaderTests {
    private func reader(_ bytes: [UInt8]) -> ByteReader { ByteReader(Storage(copying: bytes), place: "file") }

    @Test func numbersAreLittleEndianAtAnyOffset() throws {
        var reader = reader([9, 1, 2, 3, 4, 5, 6, 7, 8, 0xFF, 0, 0, 0x80, 0x3F])
        #expect(try reader.integer(UInt8.self, "a") == 9)
        #expect(try reader.u64("b") == 0x0807_0605_0403_0201)
        #expect(try reader.integer(Int8.self, "c") == -1)
        #expect(try reader.f32("d") == 1)
        #expect(reader.remaining == 0)
    }

    @Test func whatDoesNotFitIsTruncated() throws {
        for size in 0..<8 {
            var reader = reader([UInt8](repeating: 0, count: size))
            let error = #expect(throws: ModelError.self) { try reader.u64("the number") }
            #expect(error?.kind == .truncated && error?.place == "file")
            #expect(reader.offset == 0)
        }
        var reader = reader([1, 2])
        #expect(throws: ModelError.self) { try reader.skip(3, "x") }
        #expect(throws: ModelError.self) { try reader.skip(-1, "x") }
        #expect(throws: ModelError.self) { try reader.skip(.max, "x") }
    }

    @Test(arguments: [0, 3, 4, 1 << 40, UInt64(Int.max), UInt64(Int.max) + 1, UInt64.max])
    func aLengthIsComparedWithWhatRemains(_ length: UInt64) throws {
        var builder = ByteBuilder()
        builder.u64(length)
        builder.bytes += [65, 66, 67]
        var reader = reader(builder.bytes)
        if length <= 3 {
            #expect(reader.bytes(try reader.string("s", atMost: 100)).count == length)
        } else {
            #expect(throws: ModelError.self) { try reader.string("s", atMost: Int.max) }
        }
    }

    @Test func aCountIsBoundedByLimitAndByBytes() throws {
        func count(_ number: UInt64, atMost limit: Int) throws -> Int {
            var builder = ByteBuilder()
            builder.u64(number)
            builder.bytes += [UInt8](repeating: 0, count: 16)
            var reader = reader(builder.bytes)
            return try reader.count(of: "things", atMost: limit, bytesEach: 4)
        }
        #expect(try count(4, atMost: 4) == 4)
        #expect(throws: ModelError.self) { try count(5, atMost: 100) }  // 20 bytes
        #expect(throws: ModelError.self) { try count(4, atMost: 3) }
        #expect(throws: ModelError.self) { try count(.max, atMost: .max) }
    }

    @Test func aRangeIsCutToTheStorage() {
        let storage = Storage(copying: [1, 2, 3])
        #expect(ByteReader(storage, place: "f", range: 1..<100).remaining == 2)
        #expect(ByteReader(storage, place: "f", range: 50..<100).remaining == 0)
        #expect(ByteReader(Storage(copying: []), place: "f").remaining == 0)
    }

    @Test func textIsValidUTF8() throws {
        let reader = reader([0xC3, 0xA9, 0xFF])
        #expect(try reader.text(0..<2, "t") == "é")
        #expect(throws: ModelError.self) { try reader.text(1..<3, "t") }
    }

    @Test func sizesNeverOverflow() {
        #expect(CheckedSize.product([1 << 32, 1 << 32]) == nil)
        #expect(CheckedSize.product([Int.max, 1, 0]) == 0)
        #expect(CheckedSize.product([-1, 5]) == nil)
        #expect(CheckedSize.product([]) == 1)
        #expect(CheckedSize.sum(.max, 1) == nil)
        #expect(CheckedSize.aligned(33, to: 32) == 64)
        #expect(CheckedSize.aligned(.max, to: 32) == nil)
    }
}
