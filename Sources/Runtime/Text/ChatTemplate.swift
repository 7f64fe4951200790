public import Weights

/// The template that turns a conversation into a prompt, compiled once. What it does is bounded, whoever wrote it.
public struct ChatTemplate: Sendable {
    /// The source as the model's file has it.
    public let source: String
    private let program: Program

    /// Compiles a template. Throws where the source is no template, or one that asks for what is refused.
    public init(source: String) throws(TemplateError) {
        self.source = source
        program = try Compiler.compile(source)
    }

    /// Renders a conversation: `messages`, `tools`, `add_generation_prompt`, `bos_token`, whatever the template knows.
    ///
    /// All strings of the context count as user text, except special tokens (top-level strings whose names end in `_token`)
    /// and the well-known roles of messages, which templates weave into control tokens.
    public func render(_ context: JSONObject, now: TemplateTime = .now()) throws(TemplateError) -> [TextSegment] {
        var values: [(name: String, value: Value)] = []
        for member in context where program.names.contains(where: { $0.utf8.elementsEqual(member.key.utf8) }) {
            values.append((member.key, try Self.value(member.value, at: member.key)))
        }
        return try Machine(program, context: values, now: now).run()
    }

    /// The prompt as one string.
    public static func text(of segments: [TextSegment]) -> String {
        var text = ""
        for segment in segments { text += segment.text }
        return text
    }

    // MARK: Context

    /// Roles that may stand inside a control token, as in `<|user|>`. A message can have them anyway, so they grant nothing.
    private static let roles: Set<String> = [
        "system", "user", "assistant", "tool", "developer", "function", "ipython", "observation", "model",
    ]

    private static func value(_ value: JSONValue, at name: String) throws(TemplateError) -> Value {
        switch value {
        case .string(let text) where name.utf8.suffix(6).elementsEqual("_token".utf8): return .text(try checked(text, isUser: false))
        case .array(let messages) where name == "messages":
            var list: [Value] = []
            for message in messages {
                guard case .object(let object) = message else {
                    list.append(try self.value(message, depth: 1))
                    continue
                }
                var pairs: [(key: Value, value: Value)] = []
                for member in object {
                    let key = Value.text(try checked(member.key, isUser: true))
                    if member.key == "role", case .string(let role) = member.value, roles.contains(role) {
                        pairs.append((key, .string(role)))
                    } else {
                        pairs.append((key, try self.value(member.value, depth: 2)))
                    }
                }
                list.append(.dict(try DictBox(pairs)))
            }
            return .list(try ListBox(list))
        default: return try self.value(value, depth: 0)
        }
    }

    private static func value(_ value: JSONValue, depth: Int) throws(TemplateError) -> Value {
        if depth >= TemplateLimits.valueDepth { throw TemplateLimits.tooDeep }
        switch value {
        case .null: return .none
        case .bool(let flag): return .bool(flag)
        case .int(let number): return .int(number)
        case .float(let number): return .float(number)
        case .string(let text): return .text(try checked(text, isUser: true))
        case .array(let items):
            var list: [Value] = []
            list.reserveCapacity(items.count)
            for item in items { list.append(try self.value(item, depth: depth + 1)) }
            return .list(try ListBox(list))
        case .object(let object):
            var pairs: [(key: Value, value: Value)] = []
            for member in object {
                pairs.append((.text(try checked(member.key, isUser: true)), try self.value(member.value, depth: depth + 1)))
            }
            return .dict(try DictBox(pairs))
        }
    }

    private static func checked(_ text: String, isUser: Bool) throws(TemplateError) -> TemplateText {
        if text.utf8.count > TemplateLimits.valueBytes { throw TemplateLimits.tooLarge }
        return TemplateText(text, isUser: isUser)
    }
}
