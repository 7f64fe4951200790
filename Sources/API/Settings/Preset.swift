import Weights

/// A set of parameters with a name, for requests whose model is `preset:NAME`: what they leave out is taken from it.
public struct Preset: Sendable, Equatable {
    public var name: String
    public var description: String?
    /// The model that answers; nil: the one that `auto` means.
    public var model: String?
    /// Before the messages of a chat that has no system message of its own.
    public var systemPrompt: String?
    /// Its model is loaded at start.
    public var loadsAtStart = false
    /// Fields of a request, as a request has them.
    var parameters = JSONObject()

    static let prefix = "preset:"

    static let parameterNames = [
        "temperature", "top_p", "top_k", "min_p", "max_tokens", "stop", "seed", "frequency_penalty", "presence_penalty",
        "repetition_penalty", "num_ctx",
    ]
    private static let names = ["description", "model", "system_prompt", "auto_load"] + parameterNames

    /// `[presets.NAME]` tables.
    static func list(_ value: TOMLValue) throws(SettingProblem) -> [Preset] {
        guard case .table(let table) = value else { throw .mistyped("a table of presets", value) }
        var presets: [Preset] = []
        for member in table.members {
            do throws(SettingProblem) {
                presets.append(try preset(member.key, member.value))
            } catch {
                throw SettingProblem("\(member.key) (line \(member.line)): \(error.text)")
            }
        }
        return presets
    }

    private static func preset(_ name: String, _ value: TOMLValue) throws(SettingProblem) -> Preset {
        guard case .table(let table) = value else { throw .mistyped("a table", value) }
        var preset = Preset(name: name)
        for member in table.members {
            switch member.key {
            case "description": preset.description = try Setting.string(member.value)
            case "model": preset.model = try Setting.string(member.value)
            case "system_prompt": preset.systemPrompt = try Setting.string(member.value)
            case "auto_load":
                guard case .boolean(let flag) = member.value else { throw .mistyped("true or false", member.value) }
                preset.loadsAtStart = flag
            case let key where parameterNames.contains(key): preset.parameters[key] = try json(member.value)
            default:
                throw SettingProblem("'\(APIError.echo(member.key))' is no part of a preset" + Nearest.hint(member.key, among: names))
            }
        }
        if preset.model?.hasPrefix(prefix) == true { throw SettingProblem("model is a preset again") }
        // The parameters must be good in a request, so that is how they are checked.
        do throws(APIError) {
            var object = preset.parameters
            object["model"] = .string("auto")
            _ = try GenerationFields(Fields(object))
        } catch {
            throw SettingProblem(error.message)
        }
        return preset
    }

    private static func json(_ value: TOMLValue) throws(SettingProblem) -> JSONValue {
        switch value {
        case .string(let text): return .string(text)
        case .integer(let number): return .int(number)
        case .float(let number): return .float(number)
        case .boolean(let flag): return .bool(flag)
        case .array(let values):
            var list: [JSONValue] = []
            for value in values { list.append(.string(try Setting.string(value))) }
            return .array(list)
        case .table: throw .mistyped("a value", value)
        }
    }
}
