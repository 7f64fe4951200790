/// The tests of the language, by the names that templates use.
enum Test: String, Sendable, CaseIterable {
    case odd, even, divisibleby, defined, undefined, filter, test, none, boolean, `false`, `true`, integer, float, lower, upper
    case string, mapping, number, sequence, iterable, callable, sameas, escaped, `in`
    case eq, equalto, ne, gt, greaterthan, ge, lt, lessthan, le
    case equalSign = "=="
    case notEqualSign = "!="
    case greaterSign = ">"
    case greaterOrEqualSign = ">="
    case lessSign = "<"
    case lessOrEqualSign = "<="
}

extension Machine {
    /// `value is test(arguments)`
    func check(_ test: Test, _ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Bool {
        switch test {
        case .divisibleby:
            let divisor = try Parameters(arguments, ["num"], of: test.rawValue).required(0)
            return try equal(try arithmetic(.modulo, value, divisor), .int(0))
        case .sameas: return isSame(value, try Parameters(arguments, ["other"], of: test.rawValue).required(0))
        case .in: return try contains(try Parameters(arguments, ["seq"], of: test.rawValue).required(0), value)
        case .eq, .equalto, .equalSign: return try compare(.equal, value, try other(test, arguments))
        case .ne, .notEqualSign: return try compare(.notEqual, value, try other(test, arguments))
        case .gt, .greaterthan, .greaterSign: return try compare(.greater, value, try other(test, arguments))
        case .ge, .greaterOrEqualSign: return try compare(.greaterOrEqual, value, try other(test, arguments))
        case .lt, .lessthan, .lessSign: return try compare(.less, value, try other(test, arguments))
        case .le, .lessOrEqualSign: return try compare(.lessOrEqual, value, try other(test, arguments))
        default:
            _ = try Parameters(arguments, [], of: test.rawValue)
            return try check(test, value)
        }
    }

    private func other(_ test: Test, _ arguments: CallArguments) throws(TemplateError) -> Value {
        guard arguments.named.isEmpty, arguments.positional.count == 1 else {
            throw TemplateError(
                .type, "\(test.rawValue) expected 2 arguments, got \(arguments.positional.count + arguments.named.count + 1)")
        }
        return arguments.positional[0]
    }

    private func check(_ test: Test, _ value: Value) throws(TemplateError) -> Bool {
        switch test {
        case .defined: return !value.isUndefined
        case .undefined: return value.isUndefined
        case .none: if case .none = value { return true } else { return false }
        case .boolean: if case .bool = value { return true } else { return false }
        case .true: if case .bool(true) = value { return true } else { return false }
        case .false: if case .bool(false) = value { return true } else { return false }
        case .integer: if case .int = value { return true } else { return false }
        case .float: if case .float = value { return true } else { return false }
        case .number: return value.number != nil
        case .string: if case .text = value { return true } else { return false }
        case .mapping: if case .dict = value { return true } else { return false }
        case .odd: return try equal(try arithmetic(.modulo, value, .int(2)), .int(1))
        case .even: return try equal(try arithmetic(.modulo, value, .int(2)), .int(0))
        case .lower: return try string(of: value).satisfies("islower")
        case .upper: return try string(of: value).satisfies("isupper")
        case .iterable: return Items.canWalk(value)
        case .escaped: if case .text(let text) = value { return text.isMarkup } else { return false }
        case .sequence:
            switch value {
            case .text, .list, .tuple, .dict, .range, .undefined: return true
            default: return false
            }
        case .callable:
            switch value {
            case .function, .method, .macro, .joiner, .loop, .undefined: return true
            default: return false
            }
        case .filter:
            if case .text(let text) = value { return Filter(rawValue: text.string) != nil } else { return false }
        case .test:
            if case .text(let text) = value { return Test(rawValue: text.string) != nil } else { return false }
        default: return false
        }
    }
}
