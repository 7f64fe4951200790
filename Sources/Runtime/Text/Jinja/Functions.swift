/// Calls of everything that is not a macro or a loop.
extension Machine {
    func invoke(_ callee: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        switch callee {
        case .function(let function): return try invoke(function, arguments)
        case .method(let method):
            switch method.receiver {
            case .text(let text):
                try budget.charge(bytes: text.bytes.count)
                let result = try invoke(method.name, on: text, arguments)
                if case .text(let made) = result { try budget.charge(bytes: made.bytes.count) }
                return result
            case .dict(let dict): return try invoke(method.name, on: dict, arguments)
            case .list(let box), .tuple(let box): return try invoke(method.name, on: box, method.receiver, arguments)
            case .loop(let loop): return try invoke(method.name, on: loop, arguments)
            case .cycler(let cycler):
                _ = try Parameters(arguments, [], of: method.name)
                if method.name == "reset" {
                    cycler.position = 0
                    return .none
                }
                defer { cycler.position = (cycler.position + 1) % cycler.items.count }
                return cycler.items[cycler.position]
            case .range: return try invoke(method.name, on: try list(try Items(method.receiver).drain(budget)), method.receiver, arguments)
            case .float(let number):
                _ = try Parameters(arguments, [], of: method.name)
                return method.name == "is_integer" ? .bool(number.isFinite && number == number.rounded()) : method.receiver
            default:
                _ = try Parameters(arguments, [], of: method.name)
                guard method.name == "bit_length", let number = method.receiver.index else { return method.receiver }
                return .int(Int.bitWidth - number.magnitude.leadingZeroBitCount)
            }
        case .joiner(let joiner):
            _ = try Parameters(arguments, [], of: "joiner")
            if joiner.isUsed { return joiner.separator }
            joiner.isUsed = true
            return .string("")
        case .undefined(let missing): throw missing.error
        default: throw TemplateError(.type, "'\(callee.typeName)' object is not callable")
        }
    }

    private func invoke(_ function: GlobalFunction, _ arguments: CallArguments) throws(TemplateError) -> Value {
        switch function {
        case .range:
            guard arguments.named.isEmpty, (1...3).contains(arguments.positional.count) else {
                throw TemplateError(.type, "range expected 1 to 3 arguments, got \(arguments.positional.count)")
            }
            let parameters = try Parameters(arguments, ["start", "stop", "step"], of: "range")
            let first = try parameters.integer(0)
            if parameters[1] == nil { return .range(try RangeBox(start: 0, stop: first, step: 1)) }
            return .range(try RangeBox(start: first, stop: try parameters.integer(1), step: try parameters.integer(2, else: 1)))
        case .dict: return .dict(try dictionary(arguments))
        case .fromKeys:
            let parameters = try Parameters(arguments, ["iterable", "value"], of: "fromkeys")
            let keys = try Items(try parameters.required(0)).drain(budget)
            return .dict(try dict(keys.map { ($0, parameters[1] ?? .none) }))
        case .namespace:
            let namespace = makeNamespace()
            for entry in try dictionary(arguments).entries {
                guard case .text(let name) = entry.key else { continue }
                try namespace.set(name, entry.value)
            }
            return .namespace(namespace)
        case .cycler:
            if let extra = arguments.named.first {
                throw TemplateError(.type, "cycler() got an unexpected keyword argument '\(extra.name.string)'")
            }
            if arguments.positional.isEmpty { throw TemplateError(.type, "at least one item has to be provided") }
            return .cycler(Cycler(try list(arguments.positional)))
        case .joiner:
            return .joiner(try Joiner(try Parameters(arguments, ["sep"], of: "joiner")[0] ?? .string(", ")))
        case .lipsum: throw TemplateError(.unsupported, "lipsum() is not available in a chat template")
        case .raiseException:
            let value = try Parameters(arguments, ["message"], of: "raise_exception").required(0)
            throw TemplateError(.raised, try string(of: value).string)
        case .now:
            let format = try Parameters(arguments, ["format"], of: "strftime_now").text(0)
            return .text(format.coarse(now.formatted(format.string)))
        }
    }

    func dict(_ pairs: [(key: Value, value: Value)]) throws(TemplateError) -> DictBox {
        try budget.charge(elements: pairs.count)
        return try DictBox(pairs)
    }

    /// What `dict(…)` makes of a mapping or pairs, and of named arguments.
    private func dictionary(_ arguments: CallArguments) throws(TemplateError) -> DictBox {
        if arguments.positional.count > 1 {
            throw TemplateError(.type, "dict expected at most 1 argument, got \(arguments.positional.count)")
        }
        var pairs: [(key: Value, value: Value)] = []
        if let source = arguments.positional.first {
            if case .undefined(let missing) = source { throw missing.error }
            if case .dict(let dict) = source {
                pairs = dict.entries.map { ($0.key, $0.value) }
            } else {
                let items = try Items(source)
                while let item = try items.next() {
                    let pair = try Items(item).drain(budget)
                    if pair.count != 2 {
                        throw TemplateError(.type, "dictionary update sequence element has length \(pair.count); 2 is required")
                    }
                    if pairs.count >= TemplateLimits.listElements { throw TemplateLimits.tooLarge }
                    pairs.append((pair[0], pair[1]))
                }
            }
        }
        for (name, value) in arguments.named { pairs.append((.text(name), value)) }
        return try dict(pairs)
    }

    private func invoke(_ name: String, on dict: DictBox, _ arguments: CallArguments) throws(TemplateError) -> Value {
        switch name {
        case "get":
            if !arguments.named.isEmpty { throw TemplateError(.type, "dict.get() takes no keyword arguments") }
            let parameters = try Parameters(arguments, ["key", "default"], of: "get")
            return dict[try parameters.required(0).key()] ?? parameters[1] ?? .none
        case "fromkeys": return try invoke(.fromKeys, arguments)
        default:
            _ = try Parameters(arguments, [], of: name)
            return name == "copy" ? .dict(dict) : .view(DictView(dict, DictView.Kind(rawValue: name) ?? .keys))
        }
    }

    private func invoke(_ name: String, on box: ListBox, _ receiver: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        if name == "copy" {
            _ = try Parameters(arguments, [], of: name)
            return receiver
        }
        let parameters = try Parameters(arguments, name == "count" ? ["value"] : ["value", "start", "stop"], of: name)
        let wanted = try parameters.required(0)
        if name == "count" {
            var count = 0
            for item in box.items where try equal(item, wanted) { count += 1 }
            return .int(count)
        }
        func clamp(_ index: Int) -> Int { index < 0 ? max(0, index &+ box.items.count) : min(index, box.items.count) }
        let start = clamp(try parameters.integer(1, else: 0))
        let stop = max(start, clamp(try parameters.integer(2, else: box.items.count)))
        for index in start..<stop where try equal(box.items[index], wanted) { return .int(index) }
        throw TemplateError(.type, "\(try representation(of: wanted).string) is not in \(receiver.typeName)")
    }

    private func invoke(_ name: String, on loop: Loop, _ arguments: CallArguments) throws(TemplateError) -> Value {
        if let extra = arguments.named.first {
            throw TemplateError(.type, "\(name)() got an unexpected keyword argument '\(extra.name.string)'")
        }
        if name == "cycle" {
            if arguments.positional.isEmpty { throw TemplateError(.type, "no items for cycling given") }
            return arguments.positional[max(0, loop.index0) % arguments.positional.count]
        }
        if let last = loop.lastChanged, last.count == arguments.positional.count {
            var isSame = true
            for (old, new) in zip(last, arguments.positional) where try !equal(old, new) {
                isSame = false
                break
            }
            if isSame { return .bool(false) }
        }
        loop.lastChanged = arguments.positional
        return .bool(true)
    }

    // MARK: Sorting

    /// The order that sorts keys stably; equal keys stay in order when it is reversed, too.
    func sortedOrder(_ keys: [Value], reverse: Bool) throws(TemplateError) -> [Int] {
        var order = Array(keys.indices)
        var buffer = order
        var width = 1
        while width < order.count {
            var start = 0
            while start < order.count {
                let middle = min(start + width, order.count)
                let end = min(start + 2 * width, order.count)
                var left = start
                var right = middle
                for place in start..<end {
                    var takesRight = left >= middle
                    if !takesRight, right < end {
                        takesRight =
                            reverse ? try less(keys[order[left]], keys[order[right]]) : try less(keys[order[right]], keys[order[left]])
                    }
                    if takesRight {
                        buffer[place] = order[right]
                        right += 1
                    } else {
                        buffer[place] = order[left]
                        left += 1
                    }
                }
                start = end
            }
            swap(&order, &buffer)
            width *= 2
        }
        return order
    }
}
