/// Python's operators.
extension Machine {
    func arithmetic(_ operation: ArithmeticOperator, _ left: Value, _ right: Value) throws(TemplateError) -> Value {
        if case .undefined(let missing) = left { throw missing.error }
        if case .undefined(let missing) = right {
            if case .text = left, operation == .modulo {} else { throw missing.error }
        }
        if let a = left.index, let b = right.index { return try integers(operation, a, b) }
        if let a = left.number, let b = right.number { return .float(try floats(operation, a, b)) }
        switch (operation, left, right) {
        case (.add, .text(let a), .text(let b)):
            let isMarkup = a.isMarkup || b.isMarkup
            var builder = TextBuilder(isMarkup: isMarkup)
            try builder.append(isMarkup && !a.isMarkup ? try a.escaped() : a)
            try builder.append(isMarkup && !b.isMarkup ? try b.escaped() : b)
            try budget.charge(bytes: builder.count)
            return .text(builder.finish())
        case (.add, .list(let a), .list(let b)): return .list(try list(a.items + b.items))
        case (.add, .tuple(let a), .tuple(let b)): return .tuple(try list(a.items + b.items))
        case (.add, .text, _): throw TemplateError(.type, "can only concatenate str (not \"\(right.typeName)\") to str")
        case (.add, .list, _): throw TemplateError(.type, "can only concatenate list (not \"\(right.typeName)\") to list")
        case (.add, .tuple, _): throw TemplateError(.type, "can only concatenate tuple (not \"\(right.typeName)\") to tuple")
        case (.multiply, _, _):
            if let count = right.index, let result = try times(left, count) { return result }
            if let count = left.index, let result = try times(right, count) { return result }
        case (.modulo, .text(let format), _):
            let text = try percentFormat(format, right)
            try budget.charge(bytes: text.bytes.count)
            return .text(text)
        default: break
        }
        let symbol = operation == .power ? "** or pow()" : operation.rawValue
        throw TemplateError(.type, "unsupported operand type(s) for \(symbol): '\(left.typeName)' and '\(right.typeName)'")
    }

    /// A sequence repeated, nil where the value is none.
    private func times(_ value: Value, _ count: Int) throws(TemplateError) -> Value? {
        switch value {
        case .text(let text):
            var builder = TextBuilder(isMarkup: text.isMarkup)
            try builder.append(text, times: count)
            try budget.charge(bytes: builder.count)
            return .text(builder.finish())
        case .list(let box): return .list(try repeated(box, count))
        case .tuple(let box): return .tuple(try repeated(box, count))
        default: return nil
        }
    }

    private func repeated(_ box: ListBox, _ count: Int) throws(TemplateError) -> ListBox {
        guard count > 0, !box.items.isEmpty else { return try list([]) }
        if count > TemplateLimits.listElements / box.items.count { throw TemplateLimits.tooLarge }
        var items: [Value] = []
        for _ in 0..<count { items += box.items }
        return try list(items)
    }

    private func integers(_ operation: ArithmeticOperator, _ a: Int, _ b: Int) throws(TemplateError) -> Value {
        let (value, overflow): (Int, Bool)
        switch operation {
        case .add: (value, overflow) = a.addingReportingOverflow(b)
        case .subtract: (value, overflow) = a.subtractingReportingOverflow(b)
        case .multiply: (value, overflow) = a.multipliedReportingOverflow(by: b)
        case .divide:
            if b == 0 { throw TemplateError(.type, "division by zero") }
            return .float(Double(a) / Double(b))
        case .floorDivide, .modulo:
            if b == 0 { throw TemplateError(.type, operation == .modulo ? "integer modulo by zero" : "integer division or modulo by zero") }
            if b == -1 {
                if operation == .modulo { return .int(0) }
                (value, overflow) = (0).subtractingReportingOverflow(a)
            } else {
                let remainder = a % b
                let adjusts = remainder != 0 && (remainder < 0) != (b < 0)
                return .int(operation == .modulo ? (adjusts ? remainder + b : remainder) : (adjusts ? a / b - 1 : a / b))
            }
        case .power:
            if b < 0 {
                if a == 0 { throw TemplateError(.type, "0.0 cannot be raised to a negative power") }
                return .float(Numbers.power(Double(a), Double(b)))
            }
            return .int(try Self.power(a, b))
        }
        if overflow { throw TemplateLimits.overflow }
        return .int(value)
    }

    private static func power(_ base: Int, _ exponent: Int) throws(TemplateError) -> Int {
        var result = 1
        var factor = base
        var left = exponent
        while left > 0 {
            if left & 1 == 1 {
                let (value, overflow) = result.multipliedReportingOverflow(by: factor)
                if overflow { throw TemplateLimits.overflow }
                result = value
            }
            left >>= 1
            if left > 0 {
                let (value, overflow) = factor.multipliedReportingOverflow(by: factor)
                if overflow { throw TemplateLimits.overflow }
                factor = value
            }
        }
        return result
    }

    private func floats(_ operation: ArithmeticOperator, _ a: Double, _ b: Double) throws(TemplateError) -> Double {
        switch operation {
        case .add: return a + b
        case .subtract: return a - b
        case .multiply: return a * b
        case .divide:
            if b == 0 { throw TemplateError(.type, "float division by zero") }
            return a / b
        case .floorDivide:
            if b == 0 { throw TemplateError(.type, "float floor division by zero") }
            let quotient = (a - Self.modulo(a, b)) / b
            return quotient == 0 ? Double(signOf: a / b, magnitudeOf: 0) : quotient.rounded(.toNearestOrEven)
        case .modulo:
            if b == 0 { throw TemplateError(.type, "float modulo") }
            return Self.modulo(a, b)
        case .power:
            if a == 0, b < 0 { throw TemplateError(.type, "0.0 cannot be raised to a negative power") }
            if a < 0, b != b.rounded(.towardZero), b.isFinite { throw TemplateError(.type, "complex numbers are not supported") }
            let value = Numbers.power(a, b)
            if value.isInfinite, a.isFinite, b.isFinite { throw TemplateError(.type, "numerical result out of range") }
            return value
        }
    }

    /// The remainder with the sign of the divisor.
    private static func modulo(_ a: Double, _ b: Double) -> Double {
        let remainder = a.truncatingRemainder(dividingBy: b)
        if remainder == 0 { return b.sign == .minus ? -0.0 : 0.0 }
        return (remainder < 0) != (b < 0) ? remainder + b : remainder
    }

    func negate(_ value: Value) throws(TemplateError) -> Value {
        switch value {
        case .undefined(let missing): throw missing.error
        case .float(let number): return .float(-number)
        default:
            guard let number = value.index else { throw TemplateError(.type, "bad operand type for unary -: '\(value.typeName)'") }
            return try integers(.subtract, 0, number)
        }
    }

    func plus(_ value: Value) throws(TemplateError) -> Value {
        switch value {
        case .undefined(let missing): throw missing.error
        case .float: return value
        default:
            guard let number = value.index else { throw TemplateError(.type, "bad operand type for unary +: '\(value.typeName)'") }
            return .int(number)
        }
    }

    // MARK: Comparison

    func compare(_ operation: ComparisonOperator, _ left: Value, _ right: Value) throws(TemplateError) -> Bool {
        switch operation {
        case .equal: return try equal(left, right)
        case .notEqual: return try !equal(left, right)
        case .less: return try order(left, right, "<") { $0 < 0 }
        case .lessOrEqual: return try order(left, right, "<=") { $0 <= 0 }
        case .greater: return try order(left, right, ">") { $0 > 0 }
        case .greaterOrEqual: return try order(left, right, ">=") { $0 >= 0 }
        case .isIn: return try contains(right, left)
        case .isNotIn: return try !contains(right, left)
        }
    }

    func equal(_ left: Value, _ right: Value) throws(TemplateError) -> Bool {
        try budget.charge(1)
        if let a = left.index, let b = right.index { return a == b }
        if let a = left.number, let b = right.number { return Numbers.order(left, right, a, b) == 0 }
        switch (left, right) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.text(let a), .text(let b)):
            if a.bytes.count == b.bytes.count { try budget.charge(bytes: a.bytes.count) }
            return a.bytes == b.bytes
        case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
            if a === b { return true }
            guard a.items.count == b.items.count else { return false }
            for index in a.items.indices where try !equal(a.items[index], b.items[index]) { return false }
            return true
        case (.dict(let a), .dict(let b)):
            if a === b { return true }
            guard a.entries.count == b.entries.count else { return false }
            for entry in a.entries {
                guard let other = b[entry.identity], try equal(entry.value, other) else { return false }
            }
            return true
        case (.range(let a), .range(let b)):
            return a.count == b.count && (a.count == 0 || (a.start == b.start && (a.count == 1 || a.step == b.step)))
        default: return isSame(left, right)
        }
    }

    /// Python's `is`.
    func isSame(_ left: Value, _ right: Value) -> Bool {
        switch (left, right) {
        case (.none, .none): true
        case (.bool(let a), .bool(let b)): a == b
        case (.int(let a), .int(let b)): a == b
        case (.float(let a), .float(let b)): a == b
        case (.text(let a), .text(let b)): a.bytes == b.bytes
        case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)): a === b
        case (.dict(let a), .dict(let b)): a === b
        case (.range(let a), .range(let b)): a === b
        case (.generator(let a), .generator(let b)): a === b
        case (.namespace(let a), .namespace(let b)): a === b
        case (.macro(let a), .macro(let b)): a === b
        case (.loop(let a), .loop(let b)): a === b
        case (.cycler(let a), .cycler(let b)): a === b
        case (.joiner(let a), .joiner(let b)): a === b
        case (.undefined(let a), .undefined(let b)): a === b
        case (.function(let a), .function(let b)): a == b
        default: false
        }
    }

    private func order(_ left: Value, _ right: Value, _ symbol: String, _ holds: (Int) -> Bool) throws(TemplateError) -> Bool {
        guard let result = try order(left, right, symbol) else { return false }
        return holds(result)
    }

    /// -1, 0 or 1; nil where one is not a number (NaN). Throws where Python refuses to compare.
    private func order(_ left: Value, _ right: Value, _ symbol: String) throws(TemplateError) -> Int? {
        try budget.charge(1)
        if let a = left.index, let b = right.index { return a < b ? -1 : a == b ? 0 : 1 }
        if let a = left.number, let b = right.number { return Numbers.order(left, right, a, b) }
        switch (left, right) {
        case (.undefined(let missing), _), (_, .undefined(let missing)): throw missing.error
        case (.text(let a), .text(let b)):
            try budget.charge(bytes: min(a.bytes.count, b.bytes.count))
            return a.bytes == b.bytes ? 0 : a.bytes.lexicographicallyPrecedes(b.bytes) ? -1 : 1
        case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
            for (x, y) in zip(a.items, b.items) where try !equal(x, y) { return try order(x, y, symbol) }
            return a.items.count < b.items.count ? -1 : a.items.count == b.items.count ? 0 : 1
        default:
            throw TemplateError(.type, "'\(symbol)' not supported between instances of '\(left.typeName)' and '\(right.typeName)'")
        }
    }

    func less(_ left: Value, _ right: Value) throws(TemplateError) -> Bool { try order(left, right, "<") { $0 < 0 } }

    /// Whether `item in container`.
    func contains(_ container: Value, _ item: Value) throws(TemplateError) -> Bool {
        switch container {
        case .text(let text):
            guard case .text(let part) = item else {
                if case .undefined(let missing) = item { throw missing.error }
                throw TemplateError(.type, "'in <string>' requires string as left operand, not \(item.typeName)")
            }
            try budget.charge(bytes: text.bytes.count)
            return ByteSearch(part.bytes).place(in: text.bytes, from: 0, to: text.bytes.count) != nil
        case .dict(let dict): return dict[try item.key()] != nil
        case .view(let view) where view.kind == .keys: return view.dict[try item.key()] != nil
        case .range(let range):
            guard let number = item.index else {
                guard case .float(let value) = item, let whole = Int(exactly: value) else { return false }
                return Self.contains(range, whole)
            }
            return Self.contains(range, number)
        case .undefined, .list, .tuple, .generator, .view:
            let items = try Items(container)
            while let value = try items.next() {
                if try equal(value, item) { return true }
            }
            return false
        default: throw TemplateError(.type, "argument of type '\(container.typeName)' is not iterable")
        }
    }

    private static func contains(_ range: RangeBox, _ number: Int) -> Bool {
        guard range.count > 0 else { return false }
        let last = range[range.count - 1]
        guard number >= min(range.start, last), number <= max(range.start, last) else { return false }
        return (number &- range.start) % range.step == 0
    }
}

extension Value {
    /// The number a value stands for in arithmetic.
    var number: Double? {
        switch self {
        case .int(let value): Double(value)
        case .bool(let value): value ? 1 : 0
        case .float(let value): value
        default: nil
        }
    }
}
