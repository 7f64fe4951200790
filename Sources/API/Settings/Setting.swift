/// One key of the configuration: its name, what it may be, where else it can be given, and which value it feeds.
///
/// `Setting.all` is the only list of keys. The file, the environment, the command line, the reload and the table in the
/// documentation are all read off it.
public struct Setting: Sendable {
    public let key: String  // "server.port"
    /// What it may be, in words: "0 to 65535".
    public let range: String
    /// The option of `lmx serve` that sets it too.
    public let option: String?
    /// Names in the environment besides `LMX_SECTION__KEY`.
    public let otherNames: [String]
    /// Takes effect at a reload; else at the next start.
    public let isLive: Bool
    public let isSecret: Bool
    /// One line for the documentation.
    public let meaning: String

    let form: Form
    let read: @Sendable (inout Configuration, TOMLValue) throws(SettingProblem) -> Void
    let show: @Sendable (Configuration) -> String
    let same: @Sendable (Configuration, Configuration) -> Bool
    let copy: @Sendable (_ from: Configuration, _ to: inout Configuration) -> Void

    /// How a text from the environment becomes a value.
    enum Form: Sendable { case text, number, flag, list, table }

    /// `LMX_SERVER__PORT`
    public var environmentName: String {
        "LMX_" + key.split(separator: ".").joined(separator: "__").uppercased()
    }

    var section: Substring { key.prefix { $0 != "." } }
}

/// What is wrong with a value, without the place it stands at.
struct SettingProblem: Error {
    let text: String
    init(_ text: String) { self.text = text }
    static func mistyped(_ expected: String, _ found: TOMLValue) -> SettingProblem {
        SettingProblem("must be \(expected), not \(found.kind)")
    }
}

extension Setting {
    typealias Path<Value> = WritableKeyPath<Configuration, Value> & Sendable

    /// The common part of every kind: `parse` makes the value, `show` writes it for the documentation.
    static func make<Value: Equatable & Sendable>(
        _ key: String, _ path: any Path<Value>, _ form: Form, range: String, option: String?, names: [String] = [], live: Bool,
        secret: Bool = false, _ meaning: String,
        parse: @escaping @Sendable (TOMLValue) throws(SettingProblem) -> Value, show: @escaping @Sendable (Value) -> String
    ) -> Setting {
        Setting(
            key: key, range: range, option: option, otherNames: names, isLive: live, isSecret: secret, meaning: meaning, form: form,
            read: { configuration, value throws(SettingProblem) in configuration[keyPath: path] = try parse(value) },
            show: { show($0[keyPath: path]) },
            same: { $0[keyPath: path] == $1[keyPath: path] },
            copy: { $1[keyPath: path] = $0[keyPath: path] })
    }

    static func integer(
        _ key: String, _ path: any Path<Int>, _ range: ClosedRange<Int>, option: String? = nil, names: [String] = [], live: Bool = false,
        _ meaning: String
    ) -> Setting {
        make(
            key, path, .number, range: "\(range.lowerBound) to \(range.upperBound)", option: option, names: names, live: live, meaning,
            parse: { value throws(SettingProblem) in try whole(value, range) }, show: { "\($0)" })
    }

    /// A whole number that may be left out; `absent` says what happens then.
    static func integer(
        _ key: String, _ path: any Path<Int?>, _ range: ClosedRange<Int>, absent: String, option: String? = nil, names: [String] = [],
        live: Bool = false, _ meaning: String
    ) -> Setting {
        make(
            key, path, .number, range: "\(range.lowerBound) to \(range.upperBound)", option: option, names: names, live: live, meaning,
            parse: { value throws(SettingProblem) in try whole(value, range) }, show: { $0.map { "\($0)" } ?? absent })
    }

    static func number(
        _ key: String, _ path: any Path<Double>, _ range: ClosedRange<Double>, option: String? = nil, names: [String] = [], live: Bool = false,
        _ meaning: String
    ) -> Setting {
        make(
            key, path, .number, range: "\(plain(range.lowerBound)) to \(plain(range.upperBound))", option: option, names: names, live: live,
            meaning, parse: { value throws(SettingProblem) in try real(value, range) }, show: { plain($0) })
    }

    /// A time in seconds.
    static func seconds(
        _ key: String, _ path: any Path<Duration>, _ range: ClosedRange<Double>, live: Bool = false, _ meaning: String
    ) -> Setting {
        make(
            key, path, .number, range: "\(plain(range.lowerBound)) to \(plain(range.upperBound)) s", option: nil, live: live, meaning,
            parse: { value throws(SettingProblem) in .milliseconds(Int(try real(value, range) * 1000)) }, show: { plain($0.inSeconds) })
    }

    /// A time in seconds, where 0 means never.
    static func seconds(
        _ key: String, _ path: any Path<Duration?>, upTo most: Double, live: Bool = false, _ meaning: String
    ) -> Setting {
        make(
            key, path, .number, range: "0 (never) to \(plain(most)) s", option: nil, live: live, meaning,
            parse: { value throws(SettingProblem) in
                let seconds = try real(value, 0...most)
                return seconds == 0 ? nil : .milliseconds(max(1, Int(seconds * 1000)))
            }, show: { plain($0?.inSeconds ?? 0) })
    }

    static func flag(_ key: String, _ path: any Path<Bool>, option: String? = nil, live: Bool = false, _ meaning: String) -> Setting {
        make(
            key, path, .flag, range: "true, false", option: option, live: live, meaning,
            parse: { value throws(SettingProblem) in
                guard case .boolean(let flag) = value else { throw .mistyped("true or false", value) }
                return flag
            }, show: { "\($0)" })
    }

    static func text(
        _ key: String, _ path: any Path<String?>, range: String, absent: String, option: String? = nil, names: [String] = [], live: Bool = false,
        _ meaning: String
    ) -> Setting {
        make(
            key, path, .text, range: range, option: option, names: names, live: live, meaning,
            parse: { value throws(SettingProblem) in try string(value) }, show: { $0.map { "\"\($0)\"" } ?? absent })
    }

    static func choice<Choice: RawRepresentable & CaseIterable & Equatable & Sendable>(
        _ key: String, _ path: any Path<Choice>, option: String? = nil, live: Bool = false, _ meaning: String
    ) -> Setting where Choice.RawValue == String {
        let words = Choice.allCases.map(\.rawValue).joined(separator: ", ")
        return make(
            key, path, .text, range: words, option: option, live: live, meaning,
            parse: { value throws(SettingProblem) in
                let word = try string(value)
                guard let choice = Choice(rawValue: word.lowercased()) else { throw SettingProblem("'\(APIError.echo(word))' is none of \(words)") }
                return choice
            }, show: { "\"\($0.rawValue)\"" })
    }

    static func list(
        _ key: String, _ path: any Path<[String]>, range: String, absent: String = "[]", option: String? = nil, names: [String] = [],
        live: Bool = false, _ meaning: String, check: @escaping @Sendable (String) throws(SettingProblem) -> String = { $0 }
    ) -> Setting {
        make(
            key, path, .list, range: range, option: option, names: names, live: live, meaning,
            parse: { value throws(SettingProblem) in
                guard case .array(let values) = value else { throw .mistyped("a list of strings", value) }
                var texts: [String] = []
                for value in values { texts.append(try check(try string(value))) }
                return texts
            }, show: { $0.isEmpty ? absent : "[" + $0.map { "\"\($0)\"" }.joined(separator: ", ") + "]" })
    }

    /// A key that opens doors: never shown.
    static func secret(_ key: String, _ path: any Path<Secret?>, live: Bool, _ meaning: String) -> Setting {
        make(
            key, path, .text, range: "a line of text", option: nil, live: live, secret: true, meaning,
            parse: { value throws(SettingProblem) in
                guard let secret = Secret(try string(value)) else { throw SettingProblem("is empty (leave it out for none)") }
                return secret
            }, show: { $0 == nil ? "none" : "set" })
    }

    // MARK: Values

    static func string(_ value: TOMLValue) throws(SettingProblem) -> String {
        guard case .string(let text) = value else { throw .mistyped("a string", value) }
        guard !text.utf8.contains(0) else { throw SettingProblem("holds a zero byte") }
        return text
    }

    static func whole(_ value: TOMLValue, _ range: ClosedRange<Int>) throws(SettingProblem) -> Int {
        guard case .integer(let number) = value else { throw .mistyped("a whole number", value) }
        guard range.contains(number) else { throw SettingProblem("\(number) is outside \(range.lowerBound) to \(range.upperBound)") }
        return number
    }

    static func real(_ value: TOMLValue, _ range: ClosedRange<Double>) throws(SettingProblem) -> Double {
        let number: Double
        switch value {
        case .integer(let whole): number = Double(whole)
        case .float(let value): number = value
        default: throw .mistyped("a number", value)
        }
        guard range.contains(number) else {  // NaN is in no range
            throw SettingProblem("\(plain(number)) is outside \(plain(range.lowerBound)) to \(plain(range.upperBound))")
        }
        return number
    }

    /// `5` for 5.0, `0.7` for 0.7.
    static func plain(_ number: Double) -> String {
        abs(number) < 1e15 && number == number.rounded() ? "\(Int(number))" : "\(number)"
    }
}
