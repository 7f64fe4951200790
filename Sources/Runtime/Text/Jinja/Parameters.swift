/// The arguments of a built-in function, given out by position or name as Python binds them.
struct Parameters {
    private var values: [Value?]
    private let names: [String]

    /// Throws where there are too many arguments, unknown names or two values for one parameter.
    init(_ arguments: CallArguments, _ names: [String], of function: String) throws(TemplateError) {
        self.names = names
        values = Array(repeating: nil, count: names.count)
        if arguments.positional.count > names.count {
            throw TemplateError(.type, "\(function)() takes at most \(names.count) arguments (\(arguments.positional.count) given)")
        }
        for (index, value) in arguments.positional.enumerated() { values[index] = value }
        for (name, value) in arguments.named {
            guard let index = names.firstIndex(where: { $0.utf8.elementsEqual(name.bytes) }) else {
                throw TemplateError(.type, "\(function)() got an unexpected keyword argument '\(name.string)'")
            }
            if values[index] != nil { throw TemplateError(.type, "\(function)() got multiple values for argument '\(name.string)'") }
            values[index] = value
        }
    }

    subscript(index: Int) -> Value? { values[index] }

    /// The argument, unless it is missing or none.
    func given(_ index: Int) -> Value? {
        if case .none? = values[index] { nil } else { values[index] }
    }

    func required(_ index: Int) throws(TemplateError) -> Value {
        guard let value = values[index] else { throw TemplateError(.type, "missing required argument '\(names[index])'") }
        return value
    }

    func isTrue(_ index: Int, else initial: Bool = false) -> Bool { values[index]?.isTrue ?? initial }

    func integer(_ index: Int, else initial: Int? = nil) throws(TemplateError) -> Int {
        guard let value = values[index] else {
            if let initial { return initial }
            throw TemplateError(.type, "missing required argument '\(names[index])'")
        }
        if case .undefined(let missing) = value { throw missing.error }
        guard let number = value.index else { throw TemplateError(.type, "'\(value.typeName)' object cannot be interpreted as an integer") }
        return number
    }

    func text(_ index: Int, else initial: TemplateText? = nil) throws(TemplateError) -> TemplateText {
        guard let value = values[index] else {
            if let initial { return initial }
            throw TemplateError(.type, "missing required argument '\(names[index])'")
        }
        if case .undefined(let missing) = value { throw missing.error }
        guard case .text(let text) = value else {
            throw TemplateError(.type, "argument '\(names[index])' must be str, not \(value.typeName)")
        }
        return text
    }
}
