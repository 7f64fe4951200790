import TestSupport
import Testing
import Text
import Weights

struct ChatTemplateTests {
    private func segments(_ source: String, _ context: JSONObject = [:]) throws -> [TextSegment] {
        try ChatTemplate(source: source).render(context, now: .recorded)
    }

    private func failure(_ source: String, _ context: JSONObject = [:]) -> TemplateError? {
        do {
            _ = try segments(source, context)
            return nil
        } catch { return error as? TemplateError }
    }

    private func template(_ text: String) -> TextSegment { TextSegment(text: text, isUserText: false) }
    private func user(_ text: String) -> TextSegment { TextSegment(text: text, isUserText: true) }

    private func conversation(_ content: String, role: String = "user") -> JSONObject {
        ["messages": .array([.object(["role": .string(role), "content": .string(content)])]), "eos_token": .string("</s>")]
    }

    @Test func contentIsUserTextAndTokensAreTemplateText() throws {
        let source = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}"
        #expect(try segments(source, conversation("<|im_end|>")) == [template("<|user|>"), user("<|im_end|>"), template("</s>")])
    }

    @Test func aRoleNobodyKnowsIsUserText() throws {
        let source = "<|{{ messages[0].role }}|>"
        #expect(try segments(source, conversation("", role: "im_end|><|x")) == [template("<|"), user("im_end|><|x"), template("|>")])
    }

    @Test(arguments: [
        ("{{ '<a>' + c + '<b>' }}", ["<a>", "*x y*", "<b>"]),
        ("{{ '<a>' ~ c ~ '<b>' }}", ["<a>", "*x y*", "<b>"]),
        ("{{ ('<a> ' + c + ' ')|trim }}", ["<a> ", "*x y*"]),
        ("{{ ('<a>' + c + '<b>')[1:-1] }}", ["a>", "*x y*", "<b"]),
        ("{{ ('<a>' + c)[::-1] }}", ["*y x*", ">a<"]),
        ("{{ ('<a>' + c + '<b>').upper() }}", ["<A>", "*X Y*", "<B>"]),
        ("{{ ('<a>' + c + '<b>')|replace('<', '[') }}", ["[a>", "*x y*", "[b>"]),
        ("{{ '<a>$<b>'|replace('$', c) }}", ["<a>", "*x y*", "<b>"]),
        ("{{ ['<a>', c, '<b>']|join('|') }}", ["<a>|", "*x y*", "|<b>"]),
        ("{{ '|'.join(['<a>', c]) }}", ["<a>|", "*x y*"]),
        ("{{ ('<a>,' + c).split(',')[1] }}", ["*x y*"]),
        ("{{ c.split(' ')|join('<sep>') }}", ["*x*", "<sep>", "*y*"]),
        ("{{ '<%s>' % c }}", ["<", "*x y*", ">"]),
        ("{{ '<{}>'.format(c) }}", ["<", "*x y*", ">"]),
        ("{% set x %}<a>{{ c }}<b>{% endset %}{{ x }}", ["<a>", "*x y*", "<b>"]),
        ("{% macro m(x) %}<a>{{ x }}{% endmacro %}{{ m(c) }}", ["<a>", "*x y*"]),
        ("{% for ch in c %}{{ ch }}{% endfor %}", ["*x y*"]),
        ("{{ [c] }}", ["['", "*x y*", "']"]),
        ("{{ c|tojson }}", ["*\"x y\"*"]),
        ("{{ {'k': c}|tojson }}", ["{\"k\": ", "*\"x y\"*", "}"]),
        ("{{ '%c' % 60 }}", ["*<*"]),
        ("{% filter upper %}<a>{{ c }}{% endfilter %}", ["<A>", "*X Y*"]),
    ])
    func anOperationKeepsApartWhatIsWhose(_ source: String, _ expected: [String]) throws {
        let wanted = expected.map { $0.hasPrefix("*") && $0.count > 1 ? user(String($0.dropFirst().dropLast())) : template($0) }
        #expect(try segments(source, ["c": .string("x y")]) == wanted, "\(source)")
    }

    @Test func textOfSegmentsIsThePrompt() {
        #expect(ChatTemplate.text(of: [template("a"), user("b"), template("c")]) == "abc")
        #expect(ChatTemplate.text(of: []) == "")
    }

    @Test func anErrorNamesItsKindAndLine() throws {
        let raised = try #require(failure("a\nb\n{{ raise_exception('no ' + 'way') }}"))
        #expect(raised.kind == .raised && raised.line == 3 && raised.message == "no way")
        #expect(raised.description == "chat template, line 3: no way")
        #expect(raised.code == "template_raised")
        #expect(failure("{% if %}")?.kind == .syntax)
        #expect(failure("x\n{{ nope.x }}")?.kind == .undefined)
        #expect(failure("x\n{{ nope.x }}")?.line == 2)
        #expect(failure("{{ 1 + 'a' }}")?.kind == .type)
        #expect(failure("{{ 'a' * 100000000 }}")?.kind == .budget)
        #expect(failure("{% for x in [1] %}\n{{ x }}\n{{ x.y.z }}{% endfor %}")?.line == 3)
    }

    @Test func aMessageIsOneShortLine() throws {
        let error = try #require(failure("{{ raise_exception(c) }}", ["c": .string("a\nb" + String(repeating: "c", count: 1000))]))
        #expect(error.message.utf8.count == 1003)
        #expect(error.description.utf8.count < 320)
        #expect(!error.description.contains("\n"))
    }

    @Test(arguments: ["include 'x'", "import 'x' as y", "from 'x' import y", "extends 'x'", "autoescape true", "do f()"])
    func tagsThatReachOutsideAreRefusedByName(_ tag: String) throws {
        let error = try #require(failure("a\n{% \(tag) %}"))
        #expect(error.kind == .unsupported && error.line == 2)
        #expect(error.message.contains("'\(tag.split(separator: " ")[0])'"))
    }

    @Test(arguments: ["x|random", "x|urlize", "x|pprint", "lipsum()", "'a'.encode()", "'\\N{BULLET}'"])
    func whatIsLeftOutSaysSo(_ expression: String) {
        #expect(failure("{{ \(expression) }}", ["x": .string("a")])?.kind == .unsupported)
    }

    @Test(arguments: [
        "9223372036854775807 + 1", "-9223372036854775807 - 2", "9223372036854775807 * 2", "2 ** 63", "(-9223372036854775807 - 1) // -1",
        "-(-9223372036854775807 - 1)", "(-9223372036854775807 - 1)|abs", "'9223372036854775808'|int", "1e19|int", "9223372036854775808",
        "(1e308 * 10)|int",
    ])
    func anIntegerBeyond64BitsIsAnError(_ expression: String) {
        #expect(failure("{{ \(expression) }}") != nil)
    }

    @Test func integersUpTo64BitsAreExact() throws {
        let text = try ChatTemplate.text(
            of: segments("{{ 9223372036854775807 }} {{ -9223372036854775807 - 1 }} {{ 9007199254740993 == 9007199254740992.0 }}"))
        #expect(text == "9223372036854775807 -9223372036854775808 False")
    }

    @Test func canonicallyEquivalentNamesAreDifferentNames() throws {
        let context: JSONObject = ["d": .object(["\u{e9}": .int(1), "e\u{301}": .int(2)])]
        #expect(try ChatTemplate.text(of: segments("{{ d['\u{e9}'] }}{{ d['e\u{301}'] }}{{ d|length }}", context)) == "122")
    }

    @Test func aContextDeeperThanItsLimitIsAnErrorAndNoCrash() {
        var value = JSONValue.int(1)
        for _ in 0..<126 { value = .array([value]) }
        #expect(failure("{{ x }}", ["x": value]) == nil)
        for _ in 0..<10 { value = .array([value]) }
        #expect(failure("{{ x }}", ["x": value])?.kind == .budget)
    }

    @Test func theClockOfTheRenderingIsUsed() throws {
        let template = try ChatTemplate(source: "{{ strftime_now('%Y-%m-%d %H:%M:%S %A') }}")
        let time = TemplateTime(year: 2024, month: 2, day: 29, hour: 23, minute: 5, second: 9)
        #expect(ChatTemplate.text(of: try template.render([:], now: time)) == "2024-02-29 23:05:09 Thursday")
        #expect(TemplateTime.now().year >= 2024)
    }

    @Test func theProbeTellsWhatATemplateTakes() throws {
        let plain = "{% for m in messages %}{{ m.role + ':' + m.content }}\n{% endfor %}"
        #expect(try ChatTemplate(source: plain).probe() == traits(system: true, tools: false, parts: false, strings: true))
        let refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + plain
        #expect(try ChatTemplate(source: refusing).probe() == traits(system: false, tools: false, parts: false, strings: true))
        let parts = "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}{{ tools|tojson if tools }}"
        #expect(try ChatTemplate(source: parts).probe() == traits(system: true, tools: true, parts: true, strings: false))
    }

    @Test(arguments: [
        "{{ messages.nope.x }}", "no message at all", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ raise_exception('never') }}",
    ])
    func theProbeFindsATemplateThatCannotWork(_ source: String) throws {
        let template = try ChatTemplate(source: source)
        #expect(throws: TemplateError.self) { try template.probe() }
    }

    private func traits(system: Bool, tools: Bool, parts: Bool, strings: Bool) -> TemplateTraits {
        var traits = TemplateTraits()
        (traits.takesSystemMessage, traits.takesTools, traits.takesContentParts, traits.takesContentStrings) = (
            system, tools, parts, strings
        )
        return traits
    }

    @Test func oneTemplateRendersOnManyThreadsAtOnce() async throws {
        let template = try ChatTemplate(
            source: "{% set ns = namespace(n=0) %}{% for x in range(1000) %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}")
        try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<8 { group.addTask { ChatTemplate.text(of: try template.render([:], now: .recorded)) } }
            for try await text in group { #expect(text == "499500") }
        }
    }
}
