import TestSupport
import Testing
import Text
import Weights

#if canImport(Glibc)
    import Glibc
#endif

/// Templates written to hang, to overflow the stack or to fill the memory. Each has to end soon, on a small stack.
struct JinjaHostileTests {
    enum End: Sendable, Equatable {
        case renders(String)
        case fails(TemplateError.Kind)
    }

    /// Long before this a server would have given up; a loaded test machine needs some of it.
    static let patience = Duration.seconds(10)
    /// Half of the smallest stack a thread of ours may have.
    static let stackBytes = 512 << 10

    static func times(_ count: Int, _ text: String) -> String { String(repeating: text, count: count) }

    static func growing(_ step: String, times count: Int = 40_000, first: String = "[1]") -> String {
        "{% set ns = namespace(s=\(first), t=\(first)) %}{% for x in range(\(count)) %}{% set ns.s = \(step) %}{% endfor %}"
    }

    static let cases: [(String, End)] = [
        // time
        ("{% for x in range(1000000000) %}{% endfor %}", .fails(.budget)),
        ("{{ range(-9223372036854775807, 9223372036854775807)|length }}", .fails(.budget)),
        ("{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}", .fails(.budget)),
        ("{% for a in range(100000) %}{% for b in range(100000) %}{% set x = a %}{% endfor %}{% endfor %}", .fails(.budget)),
        ("{% macro f(n) %}{% if n > 1 %}{{ f(n - 1) }}{{ f(n - 2) }}{% endif %}{% endmacro %}{{ f(40) }}", .fails(.budget)),
        ("{% set a = 'a' * 4000000 %}{% for i in range(100000) %}{{ a.find('b') }}{% endfor %}", .fails(.budget)),
        ("{% set a = 'a' * 2000000 %}{{ ('a' * 1000000 ~ 'b') in a }}", .renders("False")),
        ("{% set a = 'a' * 2000000 %}{{ a.rfind('b' ~ 'a' * 1000000) }}", .renders("-1")),
        ("{% set a = 'aé' * 1000000 %}{% for i in range(100000) %}{{ a[i] }}{% endfor %}", .fails(.budget)),
        ("{{ 9 ** 9 ** 9 ** 9 }}", .fails(.type)),
        ("{{ range(100000)|map('string')|unique|list|length }}", .renders("100000")),
        // memory
        (growing("ns.s ~ ns.s", times: 100), .fails(.budget)),
        (growing("ns.s + ns.s", times: 100), .fails(.budget)),
        (growing("ns.s + ['a' * 4000000]"), .fails(.budget)),
        (growing("ns.s + [x]", times: 1500) + "{{ ns.s|length }}", .renders("1501")),
        ("{{ 'a' * 1000000000 }}", .fails(.budget)),
        ("{{ [1] * 1000000000 }}", .fails(.budget)),
        ("{{ 'a'|center(1000000000) }}", .fails(.budget)),
        ("{{ 'a'.ljust(9223372036854775807) }}", .fails(.budget)),
        ("{{ '%1000000000d' % 1 }}", .fails(.budget)),
        ("{{ '{:1000000000}'.format(1) }}", .fails(.budget)),
        ("{{ '%.1000000000f' % 1 }}", .fails(.budget)),
        ("{{ '\t'.expandtabs(9223372036854775807) }}", .fails(.budget)),
        ("{{ [1]|batch(1000000000, 'x')|list }}", .fails(.budget)),
        ("{{ [1]|slice(1000000000, 'x')|list }}", .fails(.budget)),
        ("{{ [[1]]|tojson(indent=1000000000) }}", .fails(.budget)),
        ("{% set a = 'a' * 100000 %}{{ a.replace('', a) }}", .fails(.budget)),
        ("{{ ('a,' * 2000000).split(',')|length }}", .fails(.budget)),
        ("{% set a = 'a' * 1000000 %}{% for x in range(100) %}{{ a }}{% endfor %}", .fails(.budget)),
        ("{% for x in range(100000) %}{% set y %}{{ 'a' * 4000000 }}{% endset %}{% endfor %}", .fails(.budget)),
        // depth while rendering
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", .fails(.budget)),
        ("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", .fails(.budget)),
        (
            "{% macro m() %}{{ caller() }}{% endmacro %}{% macro q() %}{% call m() %}{{ q() }}{% endcall %}{% endmacro %}{{ q() }}",
            .fails(.budget)
        ),
        (growing("[ns.s]"), .fails(.budget)),
        (growing("(ns.s,)"), .fails(.budget)),
        (growing("{'a': ns.s}"), .fails(.budget)),
        (growing("[ns.s.count]"), .fails(.budget)),
        (growing("cycler(ns.s)"), .fails(.budget)),
        (growing("joiner(ns.s)"), .fails(.budget)),
        (growing("ns.s|map('string')"), .fails(.budget)),
        (growing("[ns.s]|map('list')", times: 60) + "{{ ns.s|list }}", .fails(.budget)),
        (
            growing("[ns.s]", times: 120) + "{{ ns.s|tojson }}{{ ns.s == [ns.s] }}",
            .renders(times(121, "[") + "1" + times(121, "]") + "False")
        ),
        (growing("[ns.s, ns.s]", times: 60) + "{{ ns.s }}", .fails(.budget)),
        (growing("[ns.s, ns.s]", times: 60) + "{{ ns.s|tojson }}", .fails(.budget)),
        (growing("(ns.s, ns.s)", times: 60, first: "(1,)") + "{{ {ns.s: 1} }}", .fails(.budget)),
        (
            "{% set ns = namespace(p=none) %}{% for x in range(20000) %}{% set t = namespace(p=ns.p) %}{% set ns.p = t %}{% endfor %}ok",
            .renders("ok")
        ),
        ("{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns }}", .fails(.budget)),
        (
            "{% set ns = namespace(p=none) %}{% for x in range(20000) %}{% set q = ns.p %}{% macro m() %}{{ q }}{% endmacro %}{% set ns.p = m %}{% endfor %}ok",
            .renders("ok")
        ),
        (
            "{% set ns = namespace(p=none) %}{% for x in range(20000) %}{% for y in [ns.p] %}{% set ns.p = loop %}{% endfor %}{% endfor %}ok",
            .renders("ok")
        ),
        // depth while parsing
        ("{{ " + times(100_000, "(") + "1" + times(100_000, ")") + " }}", .fails(.budget)),
        ("{{ " + times(100_000, "("), .fails(.budget)),
        ("{{ " + times(126, "(") + "1" + times(126, ")") + " }}", .renders("1")),
        ("{{ " + times(100_000, "["), .fails(.budget)),
        ("{{ " + times(100_000, "{1:"), .fails(.budget)),
        ("{{ " + times(100_000, "x["), .fails(.budget)),
        ("{{ " + times(100_000, "x("), .fails(.budget)),
        ("{{ " + times(100_000, "not ") + "1 }}", .fails(.budget)),
        ("{{ " + times(100_001, "-") + "1 }}", .renders("-1")),
        ("{{ " + times(100, "(a or b and c == d + e ~ f * g ** ") + "1" + times(100, ")") + " }}", .fails(.budget)),
        ("{{ " + times(100, "(") + "1" + times(100, " ** 1 * 1 ~ 1 + 1 == 1 and 1 or 1)") + " }}", .fails(.budget)),
        (times(100_000, "{% if 1 %}"), .fails(.budget)),
        (times(20_000, "{% for x in [1] %}"), .fails(.budget)),
        (times(120, "{% for x in [1] %}") + "x" + times(120, "{% endfor %}"), .renders("x")),
        (times(100, "{% set x %}") + "x" + times(100, "{% endset %}") + "ok", .renders("ok")),
        ("{% for " + times(100_000, "("), .fails(.budget)),
        ("{{ " + times(100_000, "1 + ") + "1 }}", .renders("100001")),
        ("{{ 'x'" + times(50_000, "|upper") + " }}", .renders("X")),
        ("{% if 0 %}" + times(50_000, "{% elif 0 %}") + "{% endif %}ok", .renders("ok")),
        ("{{ 1" + times(100_000, " if 1") + " }}", .fails(.syntax)),
        // the source
        (times((1 << 20) + 1, "x"), .fails(.budget)),
        (times(300_000, "{#"), .fails(.syntax)),
        (times(500_000, "{%"), .fails(.syntax)),
        ("{% raw %}" + times(90_000, "{% endraw "), .fails(.syntax)),
        ("{{ '" + times(400_000, "\\\\"), .fails(.syntax)),
    ]

    @Test(arguments: cases.indices)
    func aHostileTemplateEndsSoonOnASmallStack(_ index: Int) throws {
        let (source, expected) = Self.cases[index]
        let start = ContinuousClock.now
        let end = try SmallStack.run(stackBytes: Self.stackBytes) { Self.outcome(source) }
        #expect(ContinuousClock.now - start < Self.patience, "\(source.prefix(100))")
        #expect(end == expected, "\(source.prefix(100))")
    }

    static func outcome(_ source: String) -> End {
        do {
            return .renders(ChatTemplate.text(of: try ChatTemplate(source: source).render([:], now: .recorded)))
        } catch { return .fails(error.kind) }
    }

    /// Templates made of random pieces either render or fail; they never trap and never hang.
    @Test func randomTemplatesNeverTrap() throws {
        let pieces = [
            "{{ ", " }}", "{% ", " %}", "{%- ", " -%}", "{# ", " #}", "if ", "else", "endif", "for x in ", "endfor", "set x = ",
            "macro m(a) ", "endmacro",
            "call m(1) ", "endcall", "x", "m", "xs", "1", "2.5", "'a'", "\"é\"", "(", ")", "[", "]", "{", "}", ":", ",", ".", "|", "~", "+",
            "-", "*", "/", "//",
            "%", "**", "==", "<", " in ", " is ", " not ", " and ", " or ", "upper", "join", "int", "list", "defined", "loop", "loop.index",
            "namespace(a=1)",
            "range(3)", "-9223372036854775807", "none", "true", "\n", " ", "text", "recursive", "break", "continue", "raw", "endraw",
            "filter upper", "endfilter",
            "caller()", "'%s'", "'{}'.format", "tojson", "slice(2)", "batch(2)", "[::-1]", "[1:]", "\\", "'", "\u{0}", "🎌",
        ]
        let seed: UInt64 = 20_260_704
        var random = SeededRandom(seed: seed)
        let context: JSONObject = ["xs": .array([.int(1), .string("b"), .null]), "x": .string("u")]
        var rendered = 0
        for _ in 0..<20_000 {
            var source = ""
            if random.next() % 2 == 0 { source = "{{ " }
            for _ in 0..<Int(random.next() % 12) + 1 { source += pieces[Int(random.next() % UInt64(pieces.count))] }
            if source.hasPrefix("{{") { source += " }}" }
            if (try? ChatTemplate(source: source).render(context, now: .recorded)) != nil { rendered += 1 }
        }
        #expect(rendered > 500, "seed \(seed)")
    }
}

/// A thread with a stack of a given size.
enum SmallStack {
    struct Failure: Error {}

    private final class Job<Result: Sendable>: @unchecked Sendable {  // written by one thread, read after it has been joined
        let work: @Sendable () -> Result
        var result: Result?
        init(_ work: @escaping @Sendable () -> Result) { self.work = work }
    }

    static func run<Result: Sendable>(stackBytes: Int, _ work: @escaping @Sendable () -> Result) throws -> Result {
        let job = Job(work)
        let body: @Sendable () -> Void = { job.result = job.work() }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        guard pthread_attr_setstacksize(&attributes, stackBytes) == 0 else { throw Failure() }
        var thread = pthread_t()
        let box = Unmanaged.passRetained(Box(body))
        guard
            pthread_create(
                &thread, &attributes,
                { argument in
                    guard let argument else { return nil }
                    Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
                    return nil
                }, box.toOpaque()) == 0
        else { throw Failure() }
        pthread_join(thread, nil)
        guard let result = job.result else { throw Failure() }
        return result
    }

    private final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}
