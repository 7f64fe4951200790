import Engine
import Testing

struct StopMatcherTests {
    /// What a stream of these pieces shows, and whether it was stopped.
    private func run(_ pieces: [String], _ stops: [String]) -> (text: String, shown: [String], isStopped: Bool) {
        var matcher = StopMatcher(stops)
        var shown: [String] = []
        for piece in pieces where !matcher.isStopped { shown.append(matcher.append(piece)) }
        shown.append(matcher.finish())
        return (shown.joined(), shown, matcher.isStopped)
    }

    @Test func aStopStringAcrossPiecesEndsTheTextBeforeIt() {
        let result = run(["Hello ", "wor", "ld<", "|e", "nd|", "> more"], ["<|end|>"])
        #expect(result.text == "Hello world" && result.isStopped)
        #expect(result.shown == ["Hello ", "wor", "ld", "", "", "", ""])
    }

    @Test func heldTextComesAsSoonAsItCanNoLongerBecomeAStop() {
        #expect(run(["a<", "|e", "x"], ["<|end|>"]).shown == ["a", "", "<|ex", ""])
        #expect(run(["a<|", "<|end", "|>"], ["<|end|>"]).shown == ["a", "<|", "", ""])
    }

    @Test func heldTextComesAtTheEnd() {
        let result = run(["abc", "de"], ["def"])
        #expect(result.text == "abcde" && !result.isStopped)
    }

    @Test func theStopThatEndsFirstWinsAndOfThoseTheLongest() {
        #expect(run(["xabcd"], ["abcd", "bc"]).text == "xa")
        #expect(run(["xabc"], ["bc", "abc"]).text == "x")
    }

    @Test func stopsThatOverlapThemselvesAreFound() {
        #expect(run(["aabaabaaab"], ["aabaaab"]).text == "aab")
        #expect(run(["a", "a", "a", "b"], ["aab"]).text == "a")
    }

    @Test func withoutStopsTextPassesUnchanged() {
        #expect(run(["é", "", "🧑‍🚀"], []).shown == ["é", "", "🧑‍🚀", ""])
        #expect(run(["abc"], [""]).text == "abc")
    }

    @Test func charactersAreNeverCut() {
        let result = run(["né", "ée", "🧑", "‍🚀!"], ["ée!", "🧑‍🚀?"])
        #expect(result.text == "néée🧑‍🚀!")
    }

    /// Against the plain definition, over random texts of few letters and random cuts.
    @Test(arguments: 1...20)
    func piecesMakeNoDifference(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        func word(_ length: ClosedRange<Int>) -> String {
            String(
                (0..<Int.random(in: length, using: &random)).map { _ in Character(["a", "b", "é"].randomElement(using: &random) ?? "a") })
        }
        for _ in 0..<200 {
            let text = word(0...40)
            let stops = (0..<Int.random(in: 0...4, using: &random)).map { _ in word(1...6) }
            var pieces: [String] = []
            var rest = Array(text)
            while !rest.isEmpty {
                let count = Int.random(in: 1...rest.count, using: &random)
                pieces.append(String(rest.prefix(count)))
                rest.removeFirst(count)
            }
            #expect(run(pieces, stops).text == plain(text, stops), "\(pieces) \(stops)")
        }
    }

    private func plain(_ text: String, _ stops: [String]) -> String {
        let bytes = Array(text.utf8)
        for end in 0...bytes.count {
            let ending = stops.map { Array($0.utf8) }.filter { !$0.isEmpty && bytes[..<end].reversed().starts(with: $0.reversed()) }
            if let longest = ending.map(\.count).max() { return String(decoding: bytes[..<(end - longest)], as: UTF8.self) }
        }
        return text
    }
}
