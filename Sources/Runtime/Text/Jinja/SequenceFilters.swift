/// Filters over lists and dictionaries.
extension Machine {
    func dictsort(_ value: Value, _ parameters: Parameters) throws(TemplateError) -> Value {
        if case .undefined(let missing) = value { throw missing.error }
        guard case .dict(let dict) = value else { throw Missing(.attribute(owner: value.typeName + " object", "items")).error }
        let by = try parameters.text(1, else: TemplateText("key")).string
        guard by == "key" || by == "value" else { throw TemplateError(.type, "you can only sort by either \"key\" or \"value\"") }
        var keys: [Value] = []
        for entry in dict.entries {
            let key = by == "key" ? entry.key : entry.value
            keys.append(parameters.isTrue(0) ? key : try ignoringCase(key))
        }
        var pairs: [Value] = []
        for index in try sortedOrder(keys, reverse: parameters.isTrue(2)) {
            pairs.append(.tuple(try ListBox([dict.entries[index].key, dict.entries[index].value])))
        }
        return .list(try list(pairs))
    }

    func sorted(_ value: Value, _ parameters: Parameters) throws(TemplateError) -> Value {
        let items = try Items(value).drain(budget)
        var paths: [[Value]] = []
        if case .text(let text)? = parameters.given(2) {
            for part in try text.split(TemplateText(","), limit: -1, fromRight: false) { paths.append(try attributePath(.text(part))) }
        } else {
            paths = [try attributePath(parameters.given(2))]
        }
        var keys: [Value] = []
        for item in items {
            var parts: [Value] = []
            for path in paths {
                let part = try follow(path, from: item)
                parts.append(parameters.isTrue(1) ? part : try ignoringCase(part))
            }
            keys.append(.list(try list(parts)))
        }
        return .list(try list(try sortedOrder(keys, reverse: parameters.isTrue(0)).map { items[$0] }))
    }

    func unique(_ value: Value, _ parameters: Parameters) throws(TemplateError) -> Value {
        let path = try attributePath(parameters.given(1))
        let items = try Items(value)
        let isCaseSensitive = parameters.isTrue(0)
        var seen: Set<DictKey> = []
        return .generator(
            try Generator(over: value, budget) { [unowned self] () throws(TemplateError) -> Value? in
                while let item = try items.next() {
                    let part = try follow(path, from: item)
                    let key = isCaseSensitive ? part : try ignoringCase(part)
                    if seen.insert(try key.key()).inserted { return item }
                    try budget.charge(1)
                }
                return nil
            })
    }

    func extreme(_ value: Value, _ parameters: Parameters, isMaximum: Bool) throws(TemplateError) -> Value {
        let path = try attributePath(parameters.given(1))
        let items = try Items(value)
        var best: (item: Value, key: Value)?
        while let item = try items.next() {
            let part = try follow(path, from: item)
            let key = parameters.isTrue(0) ? part : try ignoringCase(part)
            if let current = best {
                if try isMaximum ? less(current.key, key) : less(key, current.key) { best = (item, key) }
            } else {
                best = (item, key)
            }
        }
        return best?.item ?? .undefined(Missing(.hint("No aggregated item, sequence was empty.")))
    }

    func grouped(_ value: Value, _ parameters: Parameters) throws(TemplateError) -> Value {
        let path = try attributePath(try parameters.required(0))
        let items = try Items(value).drain(budget)
        let initial = parameters.given(1)
        var keys: [Value] = []
        for item in items {
            let part = try follow(path, from: item, else: initial)
            keys.append(parameters.isTrue(2) ? part : try ignoringCase(part))
        }
        var groups: [(key: Value, items: [Value])] = []
        for index in try sortedOrder(keys, reverse: false) {
            if let last = groups.last, try equal(last.key, keys[index]) {
                groups[groups.count - 1].items.append(items[index])
            } else {
                groups.append((keys[index], [items[index]]))
            }
        }
        var result: [Value] = []
        for group in groups {
            let name = parameters.isTrue(2) ? group.key : try follow(path, from: group.items[0], else: initial)
            result.append(.tuple(try ListBox([name, .list(try list(group.items))], isGroup: true)))
        }
        return .list(try list(result))
    }

    func sum(_ value: Value, _ parameters: Parameters) throws(TemplateError) -> Value {
        let path = try attributePath(parameters.given(0))
        var total = parameters[1] ?? .int(0)
        if case .text = total { throw TemplateError(.type, "sum() can't sum strings [use ''.join(seq) instead]") }
        let items = try Items(value)
        while let item = try items.next() {
            try budget.charge(1)
            total = try arithmetic(.add, total, try follow(path, from: item))
        }
        return total
    }

    func mapped(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        if case .undefined = value { return generator(over: value, Items(values: [])) }
        let transform: (Machine, Value) throws(TemplateError) -> Value
        if arguments.positional.isEmpty, let attribute = arguments.named.first(where: { $0.name.string == "attribute" }) {
            let initial = arguments.named.first { $0.name.string == "default" }?.value
            if let extra = arguments.named.first(where: { $0.name.string != "attribute" && $0.name.string != "default" }) {
                throw TemplateError(.type, "unexpected keyword argument '\(extra.name.string)'")
            }
            let isNone = if case .none? = initial { true } else { false }
            let path = try attributePath(attribute.value)
            transform = { (machine, item) throws(TemplateError) in try machine.follow(path, from: item, else: isNone ? nil : initial) }
        } else {
            guard let first = arguments.positional.first else { throw TemplateError(.type, "map requires a filter argument") }
            guard case .text(let name) = first, let filter = Filter(rawValue: name.string) else {
                throw TemplateError(.type, "no filter named '\(try string(of: first).string)'")
            }
            let rest = CallArguments(positional: Array(arguments.positional.dropFirst()), named: arguments.named)
            transform = { (machine, item) throws(TemplateError) in try machine.apply(filter, to: item, rest) }
        }
        if !value.isTrue { return generator(over: value, Items(values: [])) }
        let items = try Items(value)
        return .generator(
            try Generator(over: value, budget) { [unowned self] () throws(TemplateError) -> Value? in
                guard let item = try items.next() else { return nil }
                return try transform(self, item)
            })
    }

    func selected(_ value: Value, _ arguments: CallArguments, rejects: Bool, byAttribute: Bool) throws(TemplateError) -> Value {
        if !value.isTrue { return generator(over: value, Items(values: [])) }
        var positional = arguments.positional
        var path: [Value] = []
        if byAttribute {
            guard !positional.isEmpty else { throw TemplateError(.type, "missing parameter for attribute name") }
            path = try attributePath(positional.removeFirst())
        }
        var test: Test?
        if let first = positional.first {
            guard case .text(let name) = first, let found = Test(rawValue: name.string) else {
                throw TemplateError(.type, "no test named '\(try string(of: first).string)'")
            }
            test = found
            positional.removeFirst()
        }
        let rest = CallArguments(positional: positional, named: arguments.named)
        let items = try Items(value)
        return .generator(
            try Generator(over: value, budget) { [unowned self] () throws(TemplateError) -> Value? in
                while let item = try items.next() {
                    try budget.charge(1)
                    let part = try follow(path, from: item)
                    let holds = if let test { try check(test, part, rest) } else { part.isTrue }
                    if holds != rejects { return item }
                }
                return nil
            })
    }

    func batches(_ value: Value, _ parameters: Parameters) throws(TemplateError) -> Value {
        let size = try parameters.integer(0)
        let fill = parameters.given(1)
        let items = try Items(value)
        var batch: [Value] = []
        var isDone = false
        return .generator(
            try Generator(over: value, budget) { [unowned self] () throws(TemplateError) -> Value? in
                while !isDone, let item = try items.next() {
                    let isFull = batch.count == size
                    let full = batch
                    if isFull { batch = [] }
                    batch.append(item)
                    if batch.count > TemplateLimits.listElements { throw TemplateLimits.tooLarge }
                    if isFull { return .list(try list(full)) }
                }
                if isDone || batch.isEmpty { return nil }
                isDone = true
                if let fill, size > batch.count {
                    if size > TemplateLimits.listElements { throw TemplateLimits.tooLarge }
                    batch += Array(repeating: fill, count: size - batch.count)
                }
                return .list(try list(batch))
            })
    }

    func slices(_ value: Value, _ parameters: Parameters) throws(TemplateError) -> Value {
        let count = try parameters.integer(0)
        let fill = parameters.given(1)
        let items = try Items(value).drain(budget)
        if count == 0 { throw TemplateError(.type, "integer division or modulo by zero") }
        let perSlice = count > 0 ? items.count / count : 0
        let withExtra = count > 0 ? items.count % count : 0
        var number = 0
        var start = 0
        return .generator(
            try Generator(over: value, budget) { [unowned self] () throws(TemplateError) -> Value? in
                guard number < count else { return nil }
                let end = start + perSlice + (number < withExtra ? 1 : 0)
                var slice = Array(items[start..<end])
                if let fill, number >= withExtra { slice.append(fill) }
                start = end
                number += 1
                return .list(try list(slice))
            })
    }
}
