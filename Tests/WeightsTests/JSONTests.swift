import TestSupport
import Testing
import Weights

@Suite struct JSONTests {
    @Test func aDocumentReadsBackTheSame() throws {
        let text = #"{"a":[1,-2,3.5,1e+20,true,false,null,""],"é":{"n":{}},"e\u0301":"\"\\\n\t\r\u0001ü😀"}"#
        let value = try JSONValue.parse(text)
        #expect(value["a"] == .array([.int(1), .int(-2), .float(3.5), .float(1e20), .bool(true), .bool(false), .null, .string("")]))
        #expect(try JSONValue.parse(value.serialized()) == value)
        guard case .object(let object) = value else { return }
        #expect(object.members.count == 3)  // é and e + accent are two keys
        #expect(value["é"] == .object(["n": .object([:])]))
    }

    @Test(arguments: [0, -0.0, 1, 0.1, 1e300, Double.leastNonzeroMagnitude, 1.7976931348623157e308, 123456789.123456789, -1e-7, 1e16, 9007199254740994])
    func floatsReadBackTheSame(_ number: Double) throws {
        let text = JSONValue.float(number).serialized()
        guard case .float(let again) = try JSONValue.parse(text) else {
            Issue.record("\(text) is no float")
            return
        }
        #expect(again.bitPattern == number.bitPattern)
    }

    @Test func numbersWithoutJSONSpellingBecomeNull() {
        #expect(JSONValue.array([.float(.nan), .float(.infinity)]).serialized() == "[null,null]")
    }

    @Test(arguments: [
        "", " ", "{", "[", "}", "]", "[1", "[1,", "[1,]", "[,1]", "{,}", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{a:1}"#, #"{"a":1 "b":2}"#,
        "nul", "nulll", "tru", "True", "NaN", "[NaN]", "Infinity", "-Infinity", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "0x10", "1_000",
        "1e400", "-1e400", "\"", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12G4\"", #""\ud800""#, #""\ud800x""#, #""\ud800\u0041""#, #""\udc00""#,
        #""\ud800\ud800""#, "\"\u{1}\"", "\"\n\"", "'a'", "1 2", "[1]]", "{}{}", "\u{FEFF}1", "//x\n1", #"{"a":1,"a":2}"#, #"{"a":1,"\u0061":2}"#,
        #"{"\u0000":1}"#, #"{"a\u0000":1}"#, "[1 2]", #"["a" "b"]"#, "\u{0}",
    ])
    func whatIsNotJSONIsRefused(_ text: String) {
        #expect(throws: JSONError.self) { try JSONValue.parse(text) }
        var scanner = JSONScanner(Storage(copying: Array(text.utf8)))
        #expect(throws: JSONError.self) {
            try scanner.skip()
            try scanner.finish()
        }
    }

    @Test(arguments: [
        [0x22, 0x80, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xC3, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22],
        [0x22, 0xF0, 0x80, 0x80, 0x80, 0x22], [0x22, 0xE2, 0x82], [0x22, 0xFF, 0x22], [0x22, 0xE0, 0x9F, 0xBF, 0x22],
    ] as [[UInt8]])
    func stringsAreValidUTF8(_ bytes: [UInt8]) {
        #expect(throws: JSONError.self) { try JSONValue.parse(bytes) }
    }

    @Test func everyScalarPassesEscapedAndPlain() throws {
        var random = SeededRandom(seed: 3)
        for _ in 0..<2000 {
            guard let scalar = Unicode.Scalar(UInt32.random(in: 1...0x10FFFF, using: &random)) else { continue }
            let text = String(scalar) + "abcdefgh" + String(scalar)
            #expect(try JSONValue.parse(JSONValue.string(text).serialized()) == .string(text))
            let escaped = text.utf16.map { unit in
                let digits = String(unit, radix: 16)
                return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }.joined()
            #expect(try JSONValue.parse("\"\(escaped)\"") == .string(text))
        }
        #expect(try JSONValue.parse(#""a\u0000b""#) == .string("a\0b"))  // in a value, not in a key
    }

    @Test func theNestingCapHolds() throws {
        func nested(_ depth: Int) -> String { String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
        #expect(throws: Never.self) { try JSONValue.parse(nested(64)) }
        #expect(throws: JSONError.self) { try JSONValue.parse(nested(65)) }
        #expect(throws: Never.self) { try JSONValue.parse(nested(128), maximumDepth: 128) }
        #expect(throws: JSONError.self) { try JSONValue.parse(nested(129), maximumDepth: 128) }
        #expect(throws: JSONError.self) { try JSONValue.parse(String(repeating: #"{"a":"#, count: 100_000)) }
        #expect(throws: JSONError.self) { try JSONValue.parse(String(repeating: "[", count: 1_000_000)) }
    }

    @Test func wholeNumbersKeepTheirBits() throws {
        #expect(try JSONValue.parse("9223372036854775807") == .int(.max))
        #expect(try JSONValue.parse("-9223372036854775808") == .int(.min))
        #expect(try JSONValue.parse("9223372036854775808") == .float(9223372036854775808))
        #expect(try JSONValue.parse("1e3") == .float(1000))
        #expect(try JSONValue.parse("1E-400") == .float(0))
        for text in ["1.5", "1e3", "9223372036854775808", "\"1\"", "null"] {
            var scanner = JSONScanner(Storage(copying: Array(text.utf8)))
            #expect(throws: JSONError.self) { try scanner.readInt() }
        }
        #expect(throws: JSONError.self) { try JSONValue.parse("0." + String(repeating: "1", count: Limits.jsonNumberBytes)) }
        #expect(throws: Never.self) { try JSONValue.parse("0." + String(repeating: "1", count: Limits.jsonNumberBytes - 2)) }
    }

    @Test func repeatedKeysAreFoundAmongMany() throws {
        let keys = (0..<5000).map { "\"k\($0)\":\($0)" }
        #expect(throws: Never.self) { try JSONValue.parse("{" + keys.joined(separator: ",") + "}") }
        for repeated in [0, 11, 12, 13, 2500, 4999] {
            let text = "{" + (keys + ["\"k\(repeated)\":0"]).joined(separator: ",") + "}"
            let error = #expect(throws: JSONError.self) { try JSONValue.parse(text) }
            #expect(error?.problem.contains("\"k\(repeated)\"") == true)
        }
        // the same key in different objects is fine, also at the same depth
        #expect(throws: Never.self) { try JSONValue.parse(#"{"a":{"x":1},"b":{"x":1,"a":2},"c":[{"x":1},{"x":1}]}"#) }
    }

    @Test func thePositionIsThatOfTheProblem() {
        let error = #expect(throws: JSONError.self) { try JSONValue.parse(#"{"a": [1, x]}"#) }
        #expect(error?.position == 10)
        #expect(error?.error(in: "f.json").description == #"f.json: byte 10: a value is needed here, not "x""#)
    }

    @Test func aPullReaderTakesWhatItWants() throws {
        let text = #" { "skip" : {"deep":[1,{"x":null}]}, "list":["a b",["c","d\u0065"]], "n" : 7 } "#
        var scanner = JSONScanner(Storage(copying: Array(text.utf8)))
        var strings = ByteStrings(), number = 0
        try scanner.beginObject()
        while try scanner.nextKey() {
            if scanner.keyIs("list") {
                try scanner.beginArray()
                while try scanner.nextElement() {
                    if try scanner.peek() == .array { try scanner.appendPair(to: &strings) } else { try scanner.appendString(to: &strings) }
                }
            } else if scanner.keyIs("n") {
                number = try scanner.readInt()
            } else {
                #expect(scanner.keyText == "skip")
                try scanner.skip()
            }
        }
        try scanner.finish()
        #expect(strings.map { String(decoding: $0, as: UTF8.self) } == ["a b", "c de"])
        #expect(number == 7)
    }

    @Test func mutatedDocumentsNeverTrap() throws {
        let seed = Array(#"{"model":{"vocab":{"a":0,"\u00e9":1},"merges":["a b",["c","d"]]},"n":[-1.5e3,true,null,"😀\n"]}"#.utf8)
        var random = SeededRandom(seed: 11)
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = seed
            for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
                let at = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: at)
                case 2: bytes.insert(contentsOf: seed.prefix(at), at: at)
                default: bytes = Array(bytes[..<max(at, 1)])
                }
            }
            if let value = try? JSONValue.parse(bytes) {
                accepted += 1
                #expect(try JSONValue.parse(value.serialized()) == value)
            }
        }
        #expect(accepted > 0)
    }
}
