public import Weights

/// What kinds of conversation a template takes, found by trying.
public struct TemplateTraits: Sendable, Equatable {
    public init() {}

    /// A system message comes out in the prompt.
    public var takesSystemMessage = false
    /// Declared tools come out in the prompt.
    public var takesTools = false
    /// Content may be a list of parts; else it has to be joined to one string before.
    public var takesContentParts = false
    /// Content may be a string; else it has to be a list of parts.
    public var takesContentStrings = false
}

extension ChatTemplate {
    /// Renders small conversations, so that a template that can't work is found when its model is loaded.
    ///
    /// A template may refuse some conversations (system messages, two users in a row): it fails only if it refuses all of them,
    /// or oversteps its budget. `extra` is what every rendering of the model gets besides the messages, `bos_token` for instance.
    @discardableResult
    public func probe(extra: JSONObject = [:], now: TemplateTime = .now()) throws(TemplateError) -> TemplateTraits {
        let mark = "lmx-probe"
        var traits = TemplateTraits()
        var problem: TemplateError?

        func prompt(_ messages: [JSONValue], generates: Bool, tools: [JSONValue]? = nil) throws(TemplateError) -> String? {
            var context = extra
            context["messages"] = .array(messages)
            context["add_generation_prompt"] = .bool(generates)
            if let tools { context["tools"] = .array(tools) }
            do throws(TemplateError) {
                return Self.text(of: try render(context, now: now))
            } catch {
                if error.kind == .budget || error.kind == .unsupported { throw error }
                if problem == nil || problem?.kind == .raised { problem = error }
                return nil
            }
        }
        func message(_ role: String, _ content: JSONValue) -> JSONValue { .object(["role": .string(role), "content": content]) }
        func part(_ text: String) -> JSONValue { .array([.object(["type": .string("text"), "text": .string(text)])]) }

        for (parts, content) in [(false, JSONValue.string(mark)), (true, part(mark))] {
            let user = message("user", content)
            let conversations: [([JSONValue], Bool)] = [
                ([user], true), ([user, message("assistant", parts ? part("ok") : .string("ok"))], false),
            ]
            var works = false
            for (messages, generates) in conversations {
                if let text = try prompt(messages, generates: generates), text.contains(mark), !parts || !text.contains("'type'") {
                    works = true
                }
            }
            if parts { traits.takesContentParts = works } else { traits.takesContentStrings = works }
        }
        let before = problem
        func content(_ text: String) -> JSONValue { traits.takesContentStrings ? .string(text) : part(text) }
        let user = message("user", content("hello"))
        if let text = try prompt([message("system", content(mark)), user], generates: true) {
            traits.takesSystemMessage = text.contains(mark)
        }
        let tool: JSONValue = .object([
            "type": .string("function"),
            "function": .object([
                "name": .string(mark), "description": .string("A tool."),
                "parameters": .object([
                    "type": .string("object"),
                    "properties": .object(["x": .object(["type": .string("string"), "description": .string("A text.")])]),
                    "required": .array([.string("x")]),
                ]),
            ]),
        ])
        if let text = try prompt([user], generates: true, tools: [tool]) { traits.takesTools = text.contains(mark) }
        if !traits.takesContentStrings, !traits.takesContentParts {
            throw before ?? TemplateError(.type, "the prompt does not contain what the user said")
        }
        return traits
    }
}
