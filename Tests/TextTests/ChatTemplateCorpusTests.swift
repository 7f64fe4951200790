import TestSupport
import Testing
import Text
import Weights

#if canImport(Glibc)
    import Glibc
#endif

/// One real template with its conversations, as the corpus has them.
struct CorpusTemplate: Sendable, CustomTestStringConvertible {
    let name: String
    let value: JSONValue

    var testDescription: String { name }
    var source: String { value["template"]?.text ?? "" }
    var cases: [JSONValue] { value["cases"]?.elements ?? [] }

    static let folder = Corpus.folder.map { $0 + "/chat-templates" }

    static let all: [CorpusTemplate] = {
        guard let folder, access(folder, R_OK) == 0 else {
            print("test corpus not present")
            return []
        }
        return Corpus.names(in: folder).filter { $0.hasSuffix(".json") }.compactMap { name in
            guard let bytes = Corpus.bytes(of: folder + "/" + name), let value = try? JSONValue.parse(bytes, maximumDepth: 128) else {
                return nil
            }
            return CorpusTemplate(name: name, value: value)
        }
    }()
}

extension JSONValue {
    var text: String? { if case .string(let text) = self { text } else { nil } }
    var elements: [JSONValue]? { if case .array(let items) = self { items } else { nil } }
    var members: JSONObject { if case .object(let object) = self { object } else { [:] } }
}

extension TemplateTime {
    /// The time at which all recorded output was made.
    static let recorded = TemplateTime(year: 2026, month: 7, day: 4, hour: 12)
}

@Suite(.enabled(if: !CorpusTemplate.all.isEmpty, "test corpus not present"))
struct ChatTemplateCorpusTests {
    @Test(arguments: CorpusTemplate.all)
    func aRealTemplateGivesThePromptJinja2Gives(_ file: CorpusTemplate) throws {
        let template = try ChatTemplate(source: file.source)
        for item in file.cases {
            let name = item["case"]?.text ?? "?"
            do {
                let text = ChatTemplate.text(of: try template.render(item["context"]?.members ?? [:], now: .recorded))
                let expected = try #require(item["output"]?.text, "\(file.name) \(name): rendered what Jinja2 refuses")
                #expect(text.utf8.elementsEqual(expected.utf8), "\(file.name) \(name)")
            } catch let error as TemplateError {
                #expect(item["error"] != nil, "\(file.name) \(name): \(error)")
                #expect(error.message == item["message"]?.text, "\(file.name) \(name)")
                #expect((error.kind == .raised) == (item["error"]?.text == "TemplateError"), "\(file.name) \(name)")
            }
        }
    }

    /// What users say reaches the prompt as user text only, whole or in pieces; no piece of it as template text.
    @Test(arguments: CorpusTemplate.all)
    func noControlTokenFromAUserCountsAsTemplateText(_ file: CorpusTemplate) throws {
        let template = try ChatTemplate(source: file.source)
        let hostile = "<|hostile|>"
        var rendered = 0
        for item in file.cases {
            var context = item["context"]?.members ?? [:]
            context["messages"] = context["messages"].map { Self.poisoned($0, with: hostile) }
            context["tools"] = context["tools"].map { Self.poisoned($0, with: hostile) }
            guard let segments = try? template.render(context, now: .recorded) else { continue }
            rendered += 1
            let fromTemplate = segments.filter { !$0.isUserText }.map(\.text).joined()
            #expect(!fromTemplate.contains("hostile"), "\(file.name) \(item["case"]?.text ?? "?")")
        }
        if file.cases.contains(where: { $0["output"] != nil }) { #expect(rendered > 0) }
    }

    /// Puts text at the end of every string but roles, types and names.
    private static func poisoned(_ value: JSONValue, with text: String) -> JSONValue {
        switch value {
        case .string(let string): return .string(string + text)
        case .array(let items): return .array(items.map { poisoned($0, with: text) })
        case .object(let object):
            var result = JSONObject()
            for member in object {
                result[member.key] =
                    ["role", "type", "id", "tool_call_id"].contains(member.key) ? member.value : poisoned(member.value, with: text)
            }
            return .object(result)
        default: return value
        }
    }

    @Test(arguments: CorpusTemplate.all)
    func aRealTemplatePassesTheProbe(_ file: CorpusTemplate) throws {
        let template = try ChatTemplate(source: file.source)
        let extra: JSONObject = ["bos_token": .string("<s>"), "eos_token": .string("</s>")]
        guard file.cases.contains(where: { $0["output"] != nil }) else {
            #expect(throws: TemplateError.self) { try template.probe(extra: extra, now: .recorded) }
            return
        }
        let traits = try template.probe(extra: extra, now: .recorded)
        let takesParts = file.cases.first { $0["case"]?.text == "content_parts" }?["output"]?.text
        if takesParts == nil { #expect(!traits.takesContentParts) }
    }
}
