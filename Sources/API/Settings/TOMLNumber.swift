/// The numbers of TOML. A refusal does not repeat the word: it may be a key that was written without quotes.
///
/// `1_000`, `0xff`, `0o17`, `0b11`, `-2.5e3`, `inf`, `nan`.
enum TOMLNumber {
    struct Problem: Error { let text: String }

    static func read(_ word: String) throws(Problem) -> TOMLValue {
        let unsigned = word.first == "+" || word.first == "-" ? word.dropFirst() : Substring(word)
        if unsigned == "inf" { return .float(word.first == "-" ? -.infinity : .infinity) }
        if unsigned == "nan" { return .float(.nan) }
        if isDate(word) { throw Problem(text: "a date or a time, which no setting is (text stands in quotes)") }
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where word.hasPrefix(prefix) {
            guard let digits = digits(word.dropFirst(2), radix: radix) else { break }
            guard let number = Int(digits, radix: radix) else { throw Problem(text: "the number is too large") }
            return .integer(number)
        }
        if let digits = digits(unsigned, radix: 10), hasNoLeadingZero(digits) {
            guard let number = Int((word.first == "-" ? "-" : "") + digits) else { throw Problem(text: "the number is too large") }
            return .integer(number)
        }
        guard let number = float(word, unsigned) else {
            throw Problem(text: "no value is written like this (text stands in quotes)")
        }
        return .float(number)
    }

    private static func float(_ word: String, _ unsigned: Substring) -> Double? {
        let parts = unsigned.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 == "e" || $0 == "E" }
        let sides = parts[0].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 || sides.count == 2, let whole = digits(sides[0], radix: 10), hasNoLeadingZero(whole) else { return nil }
        var plain = (word.first == "-" ? "-" : "") + whole
        if sides.count == 2 {
            guard let fraction = digits(sides[1], radix: 10) else { return nil }
            plain += "." + fraction
        }
        if parts.count == 2 {
            let sign = parts[1].first == "-" ? "-" : ""
            guard let exponent = digits(parts[1].first == "+" || parts[1].first == "-" ? parts[1].dropFirst() : parts[1], radix: 10)
            else { return nil }
            plain += "e" + sign + exponent
        }
        return Double(plain)
    }

    /// The digits without the underscores between them; nil where there are none or something else.
    private static func digits(_ text: Substring, radix: Int) -> String? {
        var digits = ""
        var afterDigit = false
        for character in text {
            if character == "_" {
                guard afterDigit else { return nil }
                afterDigit = false
            } else {
                guard character.isASCII, let value = character.hexDigitValue, value < radix else { return nil }
                digits.append(character)
                afterDigit = true
            }
        }
        return afterDigit ? digits : nil
    }

    private static func hasNoLeadingZero(_ digits: String) -> Bool { digits.count == 1 || digits.first != "0" }

    /// `1994-11-06…` or `08:49…`.
    private static func isDate(_ word: String) -> Bool {
        let letters = Array(word)
        func digits(_ range: Range<Int>) -> Bool { range.upperBound < letters.count && letters[range].allSatisfy(\.isNumber) }
        return (digits(0..<4) && letters[4] == "-") || (digits(0..<2) && letters[2] == ":")
    }
}
