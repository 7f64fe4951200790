import CKernels
import TestSupport
import Testing

#if canImport(Glibc)
    internal import Glibc
#endif

/// Everything in one serial suite: the instruction set is chosen for the whole process.
@Suite(.serialized) struct KernelTests {
    /// What the tests draw from; LMX_TEST_SEED picks another.
    static let seed: UInt64 = {
        let seed = getenv("LMX_TEST_SEED").flatMap { UInt64(String(cString: $0)) } ?? 20_260_801
        print("kernel tests: seed \(seed)")
        return seed
    }()

    /// Names of the instruction sets that this processor runs, best first; the last is the specification.
    static let instructionSets: [String] = {
        var names: [String] = []
        while let name = ck_isa_available(Int32(names.count)) { names.append(String(cString: name)) }
        return names
    }()

    /// Runs the body on one instruction set and returns to the best.
    static func on<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
        #expect(ck_isa_select(name))
        defer { #expect(ck_isa_select(instructionSets[0])) }
        return try body()
    }

    @Test func thePlainTableIsAlwaysThere() {
        #expect(Self.instructionSets.last == "scalar")
        #expect(!ck_isa_select("no such set"))
        for name in Self.instructionSets { Self.on(name) { #expect(String(cString: ck_isa_name()) == name) } }
    }
}

/// Memory that C may write to: 64-byte aligned, filled with a pattern that would show.
final class Block<Element> {
    let start: UnsafeMutablePointer<Element>
    let count: Int

    /// - Parameter shift: elements by which the start misses the alignment.
    init(_ count: Int, shift: Int = 0) {
        let bytes = (count + shift) * MemoryLayout<Element>.stride
        let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes + 64, alignment: 64)
        raw.initializeMemory(as: UInt8.self, repeating: 0xA5, count: bytes + 64)
        base = raw
        start = raw.bindMemory(to: Element.self, capacity: count + shift) + shift
        self.count = count
    }

    convenience init(_ elements: [Element], shift: Int = 0) {
        self.init(elements.count, shift: shift)
        for (index, element) in elements.enumerated() { start[index] = element }
    }

    deinit { base.deallocate() }

    var elements: [Element] { Array(UnsafeBufferPointer(start: start, count: count)) }

    private let base: UnsafeMutableRawPointer
}

/// A worker team that goes when the test does.
final class Team {
    let team: OpaquePointer
    init(_ members: Int) { team = ck_team_create(Int32(members)) }
    deinit { ck_team_destroy(team) }
}

extension [Float] {
    /// For comparison bit for bit.
    var bits: [UInt32] { map(\.bitPattern) }
}

extension SeededRandom {
    /// Between -1 and 1, 24 bits.
    mutating func unit() -> Float { Float(Int64(next() >> 40) - (1 << 23)) / Float(1 << 23) }
    mutating func units(_ count: Int) -> [Float] { (0..<count).map { _ in unit() } }
    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
}
