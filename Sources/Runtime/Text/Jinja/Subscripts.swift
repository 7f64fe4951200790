/// Attributes and items, by the rules of Jinja's immutable sandbox: nothing is reachable but the values themselves and their harmless methods.
extension Machine {
    private static let textMethods: Set<String> = [
        "capitalize", "casefold", "center", "count", "encode", "endswith", "expandtabs", "find", "format", "format_map", "index", "isalnum",
        "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle",
        "isupper",
        "join", "ljust", "lower", "lstrip", "maketrans", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust",
        "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "translate", "upper", "zfill",
    ]
    private static let listMutators: Set<String> = ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"]
    private static let dictMutators: Set<String> = ["clear", "pop", "popitem", "setdefault", "update"]
    private static let numberMethods: Set<String> = ["is_integer", "bit_length", "conjugate"]

    /// `value.name`: a method first, then an item.
    func attribute(_ name: String, of value: Value) throws(TemplateError) -> Value {
        if case .undefined(let missing) = value { throw missing.error }
        if let found = try member(name, of: value) { return found }
        if case .dict(let dict) = value, let item = dict[name] { return item }
        return missing(name, of: value)
    }

    /// `value[key]`: an item first, then a method.
    func item(_ key: Value, of value: Value) throws(TemplateError) -> Value {
        if case .undefined(let missing) = value { throw missing.error }
        if let found = try element(key, of: value) { return found }
        if case .text(let text) = key {
            let name = text.string
            return try member(name, of: value) ?? missing(name, of: value)
        }
        let shown = try representation(of: key)
        return .undefined(Missing(.element(owner: Self.owner(value), shown.bytes.count > 200 ? key.typeName : shown.string)))
    }

    private static func owner(_ value: Value) -> String {
        if case .none = value { "None" } else { value.typeName + " object" }
    }

    private func missing(_ name: String, of value: Value) -> Value { .undefined(Missing(.attribute(owner: Self.owner(value), name))) }

    private func unsafe(_ name: String, of value: Value) -> Value {
        .undefined(Missing(.hint("access to attribute '\(name)' of '\(value.typeName)' object is unsafe")))
    }

    /// A method or built-in attribute of a value.
    private func member(_ name: String, of value: Value) throws(TemplateError) -> Value? {
        if name.utf8.starts(with: "__".utf8), name.utf8.count > 4, name.utf8.suffix(2).elementsEqual("__".utf8) {
            if case .namespace = value { return nil }
            return unsafe(name, of: value)
        }
        switch value {
        case .text: return Self.textMethods.contains(name) ? .method(try BoundMethod(value, name)) : nil
        case .list:
            if Self.listMutators.contains(name) { return unsafe(name, of: value) }
            return ["count", "index", "copy"].contains(name) ? .method(try BoundMethod(value, name)) : nil
        case .tuple(let box):
            if box.isGroup, name == "grouper" { return box.items[0] }
            if box.isGroup, name == "list" { return box.items[1] }
            return ["count", "index"].contains(name) ? .method(try BoundMethod(value, name)) : nil
        case .dict:
            if Self.dictMutators.contains(name) { return unsafe(name, of: value) }
            return ["get", "items", "keys", "values", "copy", "fromkeys"].contains(name) ? .method(try BoundMethod(value, name)) : nil
        case .int, .bool, .float:
            if name == "real" { return value }
            if name == "imag" { if case .float = value { return .float(0) } else { return .int(0) } }
            if name == "is_integer", value.index != nil { return nil }
            if name == "bit_length", value.index == nil { return nil }
            return Self.numberMethods.contains(name) ? .method(try BoundMethod(value, name)) : nil
        case .range(let range):
            switch name {
            case "start": return .int(range.start)
            case "stop": return .int(range.stop)
            case "step": return .int(range.step)
            case "count", "index": return .method(try BoundMethod(value, name))
            default: return nil
            }
        case .namespace(let namespace): return namespace[Array(name.utf8)]
        case .loop(let loop): return try member(name, of: loop)
        case .cycler(let cycler):
            switch name {
            case "current": return cycler.items[cycler.position]
            case "next", "reset": return .method(try BoundMethod(value, name))
            default: return nil
            }
        case .macro(let macro):
            let shape = program.macros[macro.shape]
            switch name {
            case "name": return .string(shape.name)
            case "arguments": return .tuple(try list(shape.parameters.map { .string(program.names[$0]) }))
            case "catch_kwargs": return .bool(shape.catchesNamed)
            case "catch_varargs": return .bool(shape.catchesPositional)
            case "caller": return .bool(shape.usesCaller)
            default: return nil
            }
        case .function(.dict): return name == "fromkeys" ? .function(.fromKeys) : nil
        case .slice(let slice):
            switch name {
            case "start": return slice.start
            case "stop": return slice.stop
            case "step": return slice.step
            default: return nil
            }
        case .undefined, .none, .view, .generator, .function, .method, .joiner: return nil
        }
    }

    private func member(_ name: String, of loop: Loop) throws(TemplateError) -> Value? {
        switch name {
        case "index": return .int(loop.index0 + 1)
        case "index0": return .int(loop.index0)
        case "revindex": return .int(try loop.length(budget) - loop.index0)
        case "revindex0": return .int(try loop.length(budget) - loop.index0 - 1)
        case "first": return .bool(loop.index0 == 0)
        case "last": return .bool(try loop.peek() == nil)
        case "length": return .int(try loop.length(budget))
        case "depth": return .int(loop.depth0 + 1)
        case "depth0": return .int(loop.depth0)
        case "previtem": return loop.index0 == 0 ? .undefined(Missing(.hint("there is no previous item"))) : loop.previous ?? .none
        case "nextitem": return try loop.peek() ?? .undefined(Missing(.hint("there is no next item")))
        case "cycle", "changed": return .method(try BoundMethod(.loop(loop), name))
        default: return nil
        }
    }

    /// What is stored under a key, nil where nothing is or the value has no items.
    private func element(_ key: Value, of value: Value) throws(TemplateError) -> Value? {
        if case .slice(let slice) = key {
            if let part = try cut(value, slice) { return part }
            switch value {
            case .text, .list, .tuple, .range: throw TemplateError(.type, "slice indices must be integers or None")
            case .dict: throw TemplateError(.type, "unhashable type: 'slice'")
            default: throw TemplateError(.type, "'\(value.typeName)' object is not subscriptable")
            }
        }
        switch value {
        case .dict(let dict):
            do { return dict[try key.key()] } catch  where error.kind == .type { return nil } catch { throw error }
        case .list(let box), .tuple(let box):
            guard let index = key.index, let place = Self.place(index, in: box.items.count) else { return nil }
            return box.items[place]
        case .range(let range):
            guard let index = key.index, let place = Self.place(index, in: range.count) else { return nil }
            return .int(range[place])
        case .text(let text):
            guard let index = key.index else { return nil }
            try budget.charge(bytes: text.bytes.count)
            guard let place = Self.place(index, in: text.count) else { return nil }
            let start = text.offset(of: place)
            return .text(text[start..<start + UTF8Bytes.width(text.bytes[start])])
        default: return nil
        }
    }

    /// The position an index means, counting from the end where it is negative.
    private static func place(_ index: Int, in count: Int) -> Int? {
        let place = index < 0 ? index &+ count : index
        return place >= 0 && place < count ? place : nil
    }

    // MARK: Slices

    /// nil where the value can't be sliced or the bounds are no integers.
    private func cut(_ value: Value, _ slice: SliceBox) throws(TemplateError) -> Value? {
        for part in [slice.start, slice.stop, slice.step] {
            if case .none = part { continue }
            if part.index == nil { return nil }
        }
        switch value {
        case .text(let text):
            try budget.charge(bytes: text.bytes.count)
            let (start, _, step, count) = try Self.bounds(slice, text.count)
            if count == 0 { return .text(text[0..<0]) }
            if step == 1 {
                let first = text.offset(of: start)
                var last = first
                for _ in 0..<count { last += UTF8Bytes.width(text.bytes[last]) }
                return .text(text[first..<last])
            }
            var starts: [Int] = []
            for index in text.bytes.indices where text.bytes[index] & 0xC0 != 0x80 { starts.append(index) }
            var builder = TextBuilder(isMarkup: text.isMarkup)
            for number in 0..<count {
                let place = starts[start &+ number &* step]
                try builder.append(text, place..<place + UTF8Bytes.width(text.bytes[place]))
            }
            return .text(builder.finish())
        case .list(let box): return .list(try cut(box.items, slice))
        case .tuple(let box): return .tuple(try cut(box.items, slice))
        case .range(let range):
            let (start, stop, step, _) = try Self.bounds(slice, range.count)
            let (size, overflow) = range.step.multipliedReportingOverflow(by: step)
            func place(_ index: Int) throws(TemplateError) -> Int {
                let (distance, far) = range.step.multipliedReportingOverflow(by: index)
                let (value, farther) = range.start.addingReportingOverflow(distance)
                if far || farther || overflow { throw TemplateLimits.overflow }
                return value
            }
            return .range(try RangeBox(start: try place(start), stop: try place(stop), step: size))
        default: return nil
        }
    }

    private func cut(_ items: [Value], _ slice: SliceBox) throws(TemplateError) -> ListBox {
        let (start, _, step, count) = try Self.bounds(slice, items.count)
        if count == 0 { return try list([]) }
        if step == 1 { return try list(Array(items[start..<start + count])) }
        var result: [Value] = []
        for number in 0..<count { result.append(items[start &+ number &* step]) }
        return try list(result)
    }

    /// First position, the one to stop at, step and number of items of a slice of a sequence.
    private static func bounds(_ slice: SliceBox, _ length: Int) throws(TemplateError) -> (start: Int, stop: Int, step: Int, count: Int) {
        let step = slice.step.index ?? 1
        if step == 0 { throw TemplateError(.type, "slice step cannot be zero") }
        func clamp(_ value: Value, _ initial: Int) -> Int {
            guard let index = value.index else { return initial }
            let place = index < 0 ? index &+ length : index
            return step > 0 ? min(max(place, 0), length) : min(max(place, -1), length - 1)
        }
        let start = clamp(slice.start, step > 0 ? 0 : length - 1)
        let stop = clamp(slice.stop, step > 0 ? length : -1)
        let distance = step > 0 ? stop - start : start - stop
        guard distance > 0 else { return (start, stop, step, 0) }
        return (start, stop, step, Int((UInt(distance) - 1) / step.magnitude) + 1)
    }
}
