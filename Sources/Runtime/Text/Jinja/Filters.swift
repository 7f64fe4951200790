/// The filters of the language, by the names that templates use.
enum Filter: String, Sendable, CaseIterable {
    case abs, attr, batch, capitalize, center, count, d, `default`, dictsort, e, escape, filesizeformat, first, float, forceescape
    case format, groupby, indent, int, items, join, last, length, list, lower, map, max, min, pprint, random, reject, rejectattr
    case replace, reverse, round, safe, select, selectattr, slice, sort, string, striptags, sum, title, tojson, trim, truncate, unique
    case upper, urlencode, urlize, wordcount, wordwrap, xmlattr
}

extension Machine {
    /// `value|filter(arguments)`
    func apply(_ filter: Filter, to value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        if case .text(let text) = value { try budget.charge(bytes: text.bytes.count) }
        let result = try result(of: filter, value, arguments)
        if case .text(let text) = result { try budget.charge(bytes: text.bytes.count) }
        return result
    }

    private func result(of filter: Filter, _ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        func parameters(_ names: String...) throws(TemplateError) -> Parameters { try Parameters(arguments, names, of: filter.rawValue) }
        switch filter {
        case .default, .d:
            let arguments = try parameters("default_value", "boolean")
            return value.isUndefined || (arguments.isTrue(1) && !value.isTrue) ? arguments[0] ?? .string("") : value
        case .upper, .lower, .capitalize, .title, .trim, .replace, .center, .indent, .truncate, .wordcount, .format, .string, .safe,
            .escape, .e,
            .forceescape, .striptags, .urlencode:
            return try textResult(of: filter, value, arguments)
        case .length, .count:
            _ = try parameters()
            return .int(try length(of: value))
        case .first:
            _ = try parameters()
            return try Items(value).next() ?? .undefined(Missing(.hint("No first item, sequence was empty.")))
        case .last:
            _ = try parameters()
            return try reversed(value).next() ?? .undefined(Missing(.hint("No last item, sequence was empty.")))
        case .list:
            _ = try parameters()
            return .list(try list(try Items(value).drain(budget)))
        case .items:
            _ = try parameters()
            if value.isUndefined { return generator(over: value, Items(values: [])) }
            guard case .dict(let dict) = value else { throw TemplateError(.type, "can only get item pairs from a mapping") }
            return generator(over: value, try Items(.view(DictView(dict, .items))))
        case .reverse:
            _ = try parameters()
            if case .text(let text) = value {
                return try item(.slice(try SliceBox(start: .none, stop: .none, step: .int(-1))), of: .text(text))
            }
            if case .generator = value { return .list(try list(try Items(value).drain(budget).reversed())) }
            return generator("list_reverseiterator", over: value, try reversed(value))
        case .join: return .text(try joined(value, try parameters("d", "attribute")))
        case .dictsort: return try dictsort(value, try parameters("case_sensitive", "by", "reverse"))
        case .sort: return try sorted(value, try parameters("reverse", "case_sensitive", "attribute"))
        case .unique: return try unique(value, try parameters("case_sensitive", "attribute"))
        case .min, .max: return try extreme(value, try parameters("case_sensitive", "attribute"), isMaximum: filter == .max)
        case .groupby: return try grouped(value, try parameters("attribute", "default", "case_sensitive"))
        case .sum: return try sum(value, try parameters("attribute", "start"))
        case .map: return try mapped(value, arguments)
        case .select, .reject: return try selected(value, arguments, rejects: filter == .reject, byAttribute: false)
        case .selectattr, .rejectattr: return try selected(value, arguments, rejects: filter == .rejectattr, byAttribute: true)
        case .batch: return try batches(value, try parameters("linecount", "fill_with"))
        case .slice: return try slices(value, try parameters("slices", "fill_with"))
        case .int, .float, .abs, .round, .filesizeformat: return try numberResult(of: filter, value, arguments)
        case .tojson:
            return .text(try json(value, try parameters("ensure_ascii", "indent", "separators", "sort_keys")))
        case .attr:
            let name = try parameters("name").text(0)
            if case .undefined(let missing) = value { throw missing.error }
            if case .dict = value {
                let found = try attribute(name.string, of: value)
                if case .method = found { return found }
                return .undefined(Missing(.attribute(owner: "dict object", name.string)))
            }
            return try attribute(name.string, of: value)
        case .pprint, .random, .urlize, .wordwrap, .xmlattr:
            throw TemplateError(.unsupported, "the filter '\(filter.rawValue)' is not available in a chat template")
        }
    }

    func generator(_ typeName: String = "generator", over source: Value, _ items: Items) -> Value {
        let made = try? Generator(typeName, over: source, budget) { () throws(TemplateError) -> Value? in try items.next() }
        return made.map { .generator($0) } ?? .none
    }

    func length(of value: Value) throws(TemplateError) -> Int {
        switch value {
        case .generator: break
        case .loop(let loop): return try loop.length(budget)
        default: if Items.canWalk(value), let count = try Items(value).remaining { return count }
        }
        throw TemplateError(.type, "object of type '\(value.typeName)' has no len()")
    }

    /// Walks from the end.
    private func reversed(_ value: Value) throws(TemplateError) -> Items {
        switch value {
        case .generator, .loop: throw TemplateError(.type, "'\(value.typeName)' object is not reversible")
        case .undefined: return Items(values: [])
        case .list, .tuple, .dict, .view, .range, .text: return Items(values: try Items(value).drain(budget).reversed())
        default: throw TemplateError(.type, "'\(value.typeName)' object is not reversible")
        }
    }

    private func joined(_ value: Value, _ parameters: Parameters) throws(TemplateError) -> TemplateText {
        let separator = try string(of: parameters[0] ?? .string("")).markup(false)
        let path = try attributePath(parameters.given(1))
        let items = try Items(value)
        var builder = TextBuilder()
        var isFirst = true
        while let item = try items.next() {
            if !isFirst { try builder.append(separator) }
            isFirst = false
            try budget.charge(1)
            try appendString(of: try follow(path, from: item), to: &builder)
        }
        return builder.finish()
    }

    private func json(_ value: Value, _ parameters: Parameters) throws(TemplateError) -> TemplateText {
        var json = TemplateJSON(self)
        json.escapesNonASCII = parameters.isTrue(0)
        json.sortsKeys = parameters.isTrue(3)
        if let indent = parameters.given(1) {
            if case .text(let text) = indent {
                json.indent = text
            } else {
                let width = try parameters.integer(1)
                if width > 1000 { throw TemplateLimits.tooLarge }
                json.indent = TemplateText(String(repeating: " ", count: Swift.max(0, width)))
            }
            json.itemSeparator = TemplateText(",")
        }
        if let separators = parameters.given(2) {
            let parts = try Items(separators).drain(budget)
            guard parts.count == 2, case .text(let item) = parts[0], case .text(let key) = parts[1] else {
                throw TemplateError(.type, "separators must be two strings")
            }
            json.itemSeparator = item
            json.keySeparator = key
        }
        try json.append(value)
        return json.builder.finish()
    }

    // MARK: Attributes by path

    /// `a.b.0` → the keys on the way.
    func attributePath(_ value: Value?) throws(TemplateError) -> [Value] {
        guard let value else { return [] }
        guard case .text(let text) = value else { return [value] }
        var path: [Value] = []
        for part in try text.split(TemplateText("."), limit: -1, fromRight: false) {
            if part.satisfies("isdigit"), let number = try Numbers.integer(part.string) {
                path.append(.int(number))
            } else {
                path.append(.text(part))
            }
        }
        return path
    }

    func follow(_ path: [Value], from start: Value, else initial: Value? = nil) throws(TemplateError) -> Value {
        var value = start
        for key in path {
            value = try item(key, of: value)
            if let initial, value.isUndefined { value = initial }
        }
        return value
    }

    /// Strings in lower case, other values as they are: what sorting without case compares.
    func ignoringCase(_ value: Value) throws(TemplateError) -> Value {
        if case .text(let text) = value {
            try budget.charge(bytes: text.bytes.count)
            return .text(try text.lowercased())
        }
        return value
    }
}
