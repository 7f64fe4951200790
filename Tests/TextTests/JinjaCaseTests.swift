import TestSupport
import Testing
import Text
import Weights

/// Small templates with Jinja2's own output: whitespace, operators, filters, tests, loops, macros, errors.
struct JinjaCaseTests {
    static let file: JSONValue? = Corpus.bytes(of: Corpus.testdata + "/templates/cases.json").flatMap {
        try? JSONValue.parse($0, maximumDepth: 64)
    }

    @Test func everySmallTemplateGivesWhatJinja2Gives() throws {
        let file = try #require(Self.file)
        let context = try #require(file["context"]).members
        let cases = try #require(file["cases"]?.elements)
        #expect(cases.count >= 800)
        for item in cases {
            let source = item["template"]?.text ?? ""
            do throws(TemplateError) {
                let text = ChatTemplate.text(of: try ChatTemplate(source: source).render(context, now: .recorded))
                let expected = item["output"]?.text
                #expect(
                    expected.map { $0.utf8.elementsEqual(text.utf8) } == true,
                    "\(source) gave \(text.debugDescription), not \(expected ?? "an error")")
            } catch {
                #expect(item["error"] != nil, "\(source): \(error)")
            }
        }
    }

    /// Text that comes from the context by way of any operation is user text.
    @Test func everyCharacterOfTheContextStaysUserText() throws {
        let file = try #require(Self.file)
        var context = try #require(file["context"]).members
        for name in ["s", "uni", "ws", "html", "lines"] { context[name] = .string("\u{2603}" + (context[name]?.text ?? "") + "\u{2603}") }
        for item in try #require(file["cases"]?.elements) where item["output"] != nil {
            let source = item["template"]?.text ?? ""
            guard let segments = try? ChatTemplate(source: source).render(context, now: .recorded) else { continue }
            for segment in segments where !segment.isUserText { #expect(!segment.text.contains("\u{2603}"), "\(source)") }
        }
    }
}
