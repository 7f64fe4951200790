#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// Numbers as Python reads and writes them.
enum Numbers {
    static func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }

    /// Order of two numbers of which at least one is a float; exact where the other is a large integer.
    static func order(_ left: Value, _ right: Value, _ a: Double, _ b: Double) -> Int? {
        if a.isNaN || b.isNaN { return nil }
        if a != b { return a < b ? -1 : 1 }
        if let whole = left.index, let other = Int(exactly: b) { return whole < other ? -1 : whole == other ? 0 : 1 }
        if let whole = right.index, let other = Int(exactly: a) { return other < whole ? -1 : whole == other ? 0 : 1 }
        if left.index != nil { return -1 }  // the float is 2^63
        if right.index != nil { return 1 }
        return 0
    }

    /// `repr` of a float: the shortest digits that read back as the same number.
    static func text(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        let sign = value.sign == .minus ? "-" : ""
        let (digits, point) = decimal(value.magnitude)
        if point > 16 || point < -3 {
            let exponent = point - 1
            let fraction = digits.dropFirst()
            let power = String(exponent.magnitude)
            return sign + digits.prefix(1) + (fraction.isEmpty ? "" : "." + fraction) + (exponent < 0 ? "e-" : "e+")
                + (power.count < 2 ? "0" + power : power)
        }
        if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + digits }
        if digits.count <= point { return sign + digits + String(repeating: "0", count: point - digits.count) + ".0" }
        return sign + digits.prefix(point) + "." + digits.dropFirst(point)
    }

    /// The shortest digits of a number ≥ 0, without zeros around them, and where its point stands: 0.DIGITS × 10^point.
    private static func decimal(_ value: Double) -> (digits: String, point: Int) {
        if value == 0 { return ("0", 1) }
        let parts = value.description.split(separator: "e", maxSplits: 1)
        let mantissa = parts[0].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let whole = mantissa[0]
        var digits = whole + (mantissa.count > 1 ? mantissa[1] : "")
        var point = whole.count + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
        while digits.first == "0" {
            digits.removeFirst()
            point -= 1
        }
        while digits.count > 1, digits.last == "0" { digits.removeLast() }
        return (String(digits), point)
    }

    /// C's formatting of a number with `f`, `e`, `g` or their large forms. The precision must be reasonable.
    static func formatted(_ value: Double, _ conversion: Character, precision: Int, alternate: Bool = false) -> String {
        let format = "%" + (alternate ? "#" : "") + ".*" + String(conversion)
        let capacity = 400 + max(0, precision)
        var buffer = [CChar](repeating: 0, count: capacity)
        let count = unsafe withVaList([Int32(clamping: precision), value]) { arguments in
            unsafe vsnprintf(&buffer, capacity, format, arguments)
        }
        return String(decoding: buffer.prefix(max(0, Int(count))).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Python's `round(value, places)`.
    static func rounded(_ value: Double, places: Int) -> Double {
        guard value.isFinite, places < 324 else { return value }
        if places < -308 { return 0 * value }
        if places < 0 {
            let scale = pow(10, Double(-places))
            let scaled = (value / scale).rounded(.toNearestOrEven) * scale
            return scaled
        }
        return Double(formatted(value, "f", precision: places)) ?? value
    }

    /// `int(text, base)`: nil where the text is no integer, an error where it is too large.
    static func integer(_ text: String, base: Int = 10) throws(TemplateError) -> Int? {
        guard base == 0 || (2...36).contains(base) else { return nil }
        var scalars = Array(trimmed(text).unicodeScalars)
        let isNegative = scalars.first == "-"
        if isNegative || scalars.first == "+" { scalars.removeFirst() }
        var radix = base
        if scalars.count > 1, scalars[0] == "0" {
            let prefixed: Int? =
                switch scalars[1] {
                case "x", "X": 16
                case "o", "O": 8
                case "b", "B": 2
                default: nil
                }
            if let prefixed, base == 0 || base == prefixed {
                radix = prefixed
                scalars.removeFirst(2)
                if scalars.first == "_" { scalars.removeFirst() }
            }
        }
        if radix == 0 { radix = 10 }
        guard !scalars.isEmpty else { return nil }
        var value = 0
        var afterDigit = false
        for scalar in scalars {
            if scalar == "_" {
                guard afterDigit else { return nil }
                afterDigit = false
                continue
            }
            let decimal = scalar.isDecimalDigit ? scalar.properties.numericValue.map { Int($0) } : nil
            guard let digit = decimal ?? letterDigit(scalar), digit < radix else { return nil }
            let (shifted, tooLarge) = value.multipliedReportingOverflow(by: radix)
            let (sum, overflow) = isNegative ? shifted.subtractingReportingOverflow(digit) : shifted.addingReportingOverflow(digit)
            if tooLarge || overflow { throw TemplateLimits.overflow }
            value = sum
            afterDigit = true
        }
        return afterDigit ? value : nil
    }

    private static func letterDigit(_ scalar: Unicode.Scalar) -> Int? {
        switch scalar {
        case "a"..."z": Int(scalar.value) - 87
        case "A"..."Z": Int(scalar.value) - 55
        default: nil
        }
    }

    /// `float(text)`: nil where the text is no number.
    static func float(_ text: String) -> Double? {
        var digits = ""
        var afterDigit = false
        for scalar in trimmed(text).unicodeScalars {
            switch scalar {
            case "0"..."9":
                digits.unicodeScalars.append(scalar)
                afterDigit = true
            case "_":
                guard afterDigit else { return nil }
                afterDigit = false
                digits += "_"
            case "+", "-", ".", "e", "E":
                if digits.last == "_" { return nil }
                digits.unicodeScalars.append(scalar)
                afterDigit = false
            default:
                switch trimmed(text).lowercased() {
                case "inf", "+inf", "infinity", "+infinity": return .infinity
                case "-inf", "-infinity": return -.infinity
                case "nan", "+nan", "-nan": return .nan
                default: return nil
                }
            }
        }
        if digits.last == "_" { return nil }
        digits.removeAll { $0 == "_" }
        guard digits.contains(where: \.isNumber) else { return nil }
        return Double(digits)
    }

    private static func trimmed(_ text: String) -> String {
        var scalars = Substring(text).unicodeScalars
        while let first = scalars.first, first.isPythonSpace { scalars.removeFirst() }
        while let last = scalars.last, last.isPythonSpace { scalars.removeLast() }
        return String(scalars)
    }
}
