#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// A local date and time of day, as `strftime_now` shows it.
public struct TemplateTime: Sendable, Equatable {
    public var year: Int
    public var month: Int  // 1...12
    public var day: Int  // 1...31
    public var hour: Int
    public var minute: Int
    public var second: Int

    public init(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
        self.year = year
        self.month = min(max(month, 1), 12)
        self.day = min(max(day, 1), 31)
        self.hour = hour
        self.minute = minute
        self.second = second
    }

    /// The wall clock in the time zone of the process.
    public static func now() -> TemplateTime {
        var seconds = time(nil)
        var parts = unsafe tm()
        unsafe localtime_r(&seconds, &parts)
        return unsafe TemplateTime(
            year: Int(parts.tm_year) + 1900, month: Int(parts.tm_mon) + 1, day: Int(parts.tm_mday), hour: Int(parts.tm_hour),
            minute: Int(parts.tm_min), second: Int(parts.tm_sec))
    }

    private static let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
    ]

    /// Days since 1 January.
    private var dayOfYear: Int {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return lengths.prefix(month - 1).reduce(0, +) + day - 1
    }

    /// 0 is Monday.
    private var weekday: Int {
        let before = year - 1
        let days = before * 365 + before / 4 - before / 100 + before / 400 + dayOfYear
        return ((days % 7) + 7) % 7
    }

    /// The year and week of ISO 8601.
    private var isoWeek: (year: Int, week: Int) {
        let week = (dayOfYear - weekday + 10) / 7
        if week < 1 { return TemplateTime(year: year - 1, month: 12, day: 31).isoWeek }
        if week == 53, TemplateTime(year: year + 1, month: 1, day: 1).weekday <= 3 { return (year + 1, 1) }
        return (year, week)
    }

    /// `strftime` in the C locale, without a time zone.
    func formatted(_ format: String) -> String {
        var text = ""
        var scalars = format.unicodeScalars.makeIterator()
        while let scalar = scalars.next() {
            guard scalar == "%" else {
                text.unicodeScalars.append(scalar)
                continue
            }
            var padding: Unicode.Scalar?
            var letter = scalars.next()
            if let sign = letter, sign == "-" || sign == "_" || sign == "0" {
                padding = sign
                letter = scalars.next()
            }
            guard let letter else { return text + "%" + (padding.map { String($0) } ?? "") }
            if let field = field(letter, padding) {
                text += field
            } else {
                text += "%" + (padding.map { String($0) } ?? "") + String(letter)
            }
        }
        return text
    }

    private func field(_ letter: Unicode.Scalar, _ padding: Unicode.Scalar?) -> String? {
        func number(_ value: Int, _ width: Int, _ fill: String = "0") -> String {
            let digits = String(value)
            let fill = padding == "-" ? "" : padding == "_" ? " " : padding == "0" ? "0" : fill
            return fill.isEmpty ? digits : String(repeating: fill, count: max(0, width - digits.count)) + digits
        }
        let hour12 = hour % 12 == 0 ? 12 : hour % 12
        switch letter {
        case "a": return String(Self.days[weekday].prefix(3))
        case "A": return Self.days[weekday]
        case "b", "h": return String(Self.months[month - 1].prefix(3))
        case "B": return Self.months[month - 1]
        case "c": return formatted("%a %b %e %H:%M:%S %Y")
        case "C": return number(year / 100, 2)
        case "d": return number(day, 2)
        case "D", "x": return formatted("%m/%d/%y")
        case "e": return number(day, 2, " ")
        case "f": return "000000"
        case "F": return formatted("%Y-%m-%d")
        case "G": return number(isoWeek.year, 4)
        case "g": return number(isoWeek.year % 100, 2)
        case "H": return number(hour, 2)
        case "I": return number(hour12, 2)
        case "j": return number(dayOfYear + 1, 3)
        case "k": return number(hour, 2, " ")
        case "l": return number(hour12, 2, " ")
        case "m": return number(month, 2)
        case "M": return number(minute, 2)
        case "n": return "\n"
        case "p": return hour < 12 ? "AM" : "PM"
        case "P": return hour < 12 ? "am" : "pm"
        case "r": return formatted("%I:%M:%S %p")
        case "R": return formatted("%H:%M")
        case "S": return number(second, 2)
        case "t": return "\t"
        case "T", "X": return formatted("%H:%M:%S")
        case "u": return String(weekday + 1)
        case "U": return number((dayOfYear + 7 - (weekday + 1) % 7) / 7, 2)
        case "V": return number(isoWeek.week, 2)
        case "w": return String((weekday + 1) % 7)
        case "W": return number((dayOfYear + 7 - weekday) / 7, 2)
        case "y": return number(year % 100, 2)
        case "Y": return String(year)
        case "z", "Z": return ""
        case "%": return "%"
        default: return nil
        }
    }
}
