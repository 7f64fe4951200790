/// Walks the items of a value, one at a time.
final class Items {
    fileprivate enum Source {
        case values([Value])
        case characters(TemplateText)
        case range(RangeBox)
        case dict(DictBox, DictView.Kind)
        case generator(Generator)
        case nothing
    }

    fileprivate var source: Source
    fileprivate var position = 0  // of the next item; a byte offset in text

    init(_ value: Value) throws(TemplateError) {
        switch value {
        case .undefined: source = .nothing
        case .text(let text): source = .characters(text.markup(false))
        case .list(let box), .tuple(let box): source = .values(box.items)
        case .dict(let dict): source = .dict(dict, .keys)
        case .view(let view): source = .dict(view.dict, view.kind)
        case .range(let range): source = .range(range)
        case .generator(let generator): source = .generator(generator)
        default: throw TemplateError(.type, "'\(value.typeName)' object is not iterable")
        }
    }

    init(values: [Value]) { source = .values(values) }

    static func canWalk(_ value: Value) -> Bool {
        switch value {
        case .undefined, .text, .list, .tuple, .dict, .view, .range, .generator, .loop: true
        default: false
        }
    }

    func next() throws(TemplateError) -> Value? {
        switch source {
        case .nothing: return nil
        case .values(let values):
            guard position < values.count else { return nil }
            defer { position += 1 }
            return values[position]
        case .characters(let text):
            guard position < text.bytes.count else { return nil }
            let end = position + UTF8Bytes.width(text.bytes[position])
            defer { position = end }
            return .text(text[position..<end])
        case .range(let range):
            guard position < range.count else { return nil }
            defer { position += 1 }
            return .int(range[position])
        case .dict(let dict, let kind):
            guard position < dict.entries.count else { return nil }
            let entry = dict.entries[position]
            position += 1
            switch kind {
            case .keys: return entry.key
            case .values: return entry.value
            case .items: return .tuple(try ListBox([entry.key, entry.value]))
            }
        case .generator(let generator): return try generator.next()
        }
    }

    /// How many items are left, nil where only walking tells.
    var remaining: Int? {
        switch source {
        case .nothing: 0
        case .values(let values): values.count - position
        case .characters(let text): UTF8Bytes.count(Array(text.bytes[position...]))
        case .range(let range): range.count - position
        case .dict(let dict, _): dict.entries.count - position
        case .generator: nil
        }
    }

    /// Takes all that is left.
    func drain(_ budget: Budget) throws(TemplateError) -> [Value] {
        if case .values(let values) = source, position == 0 {
            position = values.count
            return values
        }
        var values: [Value] = []
        while let value = try next() {
            if values.count >= TemplateLimits.listElements { throw TemplateLimits.tooLarge }
            if values.count % TemplateLimits.elementsPerStep == 0 { try budget.charge(1) }
            values.append(value)
        }
        return values
    }

    func clear() { source = .nothing }
}

/// One run of a for loop, and what the variable `loop` tells of it.
final class Loop {
    let shape: Int
    let depth0: Int
    let scope: Scope  // around the loop
    private(set) var index0 = -1
    private(set) var previous: Value?
    private(set) var current: Value?
    /// The body ran to its end at least once. (Else an `else` branch runs, as Jinja has it.)
    var hasCompleted = false
    var lastChanged: [Value]?
    /// The items that passed, while a loop's filter runs.
    var kept: [Value]?
    private let items: Items
    private var pending: Value?
    private var ahead: Value?
    private var hasAhead = false
    private var total: Int?

    init(_ items: Items, shape: Int, depth0: Int, scope: Scope) {
        self.items = items
        self.shape = shape
        self.depth0 = depth0
        self.scope = scope
    }

    var isEmpty: Bool { total == 0 }

    func next() throws(TemplateError) -> Value? {
        if hasAhead {
            hasAhead = false
            pending = ahead
            ahead = nil
        } else {
            pending = try items.next()
        }
        return pending
    }

    func accept() {
        index0 += 1
        previous = current
        current = pending
    }

    func keep() { if let pending { kept?.append(pending) } }

    func peek() throws(TemplateError) -> Value? {
        if !hasAhead {
            ahead = try items.next()
            hasAhead = true
        }
        return ahead
    }

    func length(_ budget: Budget) throws(TemplateError) -> Int {
        if let total { return total }
        let seen = index0 + 1 + (hasAhead && ahead != nil ? 1 : 0)
        let count: Int
        if let remaining = items.remaining {
            count = seen + remaining
        } else {
            let rest = try items.drain(budget)
            items.restart(with: rest)
            count = seen + rest.count
        }
        total = count
        return count
    }

    /// Lets go of its values, so that a loop that outlives itself holds nothing.
    func finish() {
        items.clear()
        previous = nil
        current = nil
        pending = nil
        ahead = nil
        lastChanged = nil
    }
}

extension Items {
    func restart(with values: [Value]) {
        source = .values(values)
        position = 0
    }
}

/// The variables of one block, loop round or macro call.
final class Scope {
    let parent: Scope?
    private var names: [Int] = []
    private var values: [Value] = []
    private var places: [Int: Int] = [:]  // once there are many
    /// It outlives its block because a macro was made in it.
    var isKept = false

    init(parent: Scope?) { self.parent = parent }

    subscript(name: Int) -> Value? {
        get { place(of: name).map { values[$0] } }
        set {
            guard let newValue else { return }
            if let place = place(of: name) {
                values[place] = newValue
                return
            }
            names.append(name)
            values.append(newValue)
            if names.count == 17 {
                for (place, name) in names.enumerated() { places[name] = place }
            } else if names.count > 17 {
                places[name] = names.count - 1
            }
        }
    }

    private func place(of name: Int) -> Int? { names.count > 16 ? places[name] : names.firstIndex(of: name) }

    func clear() {
        names = []
        values = []
        places = [:]
    }
}

/// A macro together with the variables around its definition.
final class Macro {
    let shape: Int
    let scope: Scope

    init(_ shape: Int, _ scope: Scope) {
        self.shape = shape
        self.scope = scope
    }
}

/// The arguments of one call.
struct CallArguments {
    var positional: [Value] = []
    var named: [(name: TemplateText, value: Value)] = []
}
