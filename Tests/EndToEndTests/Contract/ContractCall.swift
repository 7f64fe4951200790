import Foundation
import TestSupport
import Testing
import Weights

/// One call as a client sends it, and what that client reads of the answer.
struct ContractCall: Sendable {
    var request: String  // "GET /healthz"
    var body: String?
    var status: Int
    /// Paths into the answer, each with what must be there: see ``Expectation``.
    var fields: [Expectation]

    init(_ request: String, body: String? = nil, status: Int = 200, _ fields: Expectation...) {
        self.request = request
        self.body = body
        self.status = status
        self.fields = fields
    }

    func with(_ more: [Expectation]) -> ContractCall {
        var call = self
        call.fields += more
        return call
    }
}

/// What a client finds at one place of a JSON answer.
///
///     "loaded[].memory_gb: number"    in every element of a list that has some
///     "models{}.loaded: boolean"      in every value of an object that has some
///     "[].repo_id: string"            the answer itself is the list
///     "reason: string?"               or null; `any` is anything, null as well, but there
///     "status = ok"                   this text, number, true, false or null
struct Expectation: Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    let description: String
    private let path: [String]
    private let kind: String
    private let isValue: Bool

    init(stringLiteral text: String) {
        description = text
        isValue = text.contains(" = ")
        let sides = text.split(separator: isValue ? " = " : ": ", maxSplits: 1)
        path = sides[0].replacing("[]", with: ".[]").replacing("{}", with: ".{}").split(separator: ".").map { String($0) }
        kind = String(sides[1])
    }

    /// Why `answer` does not meet this; nil when it does.
    func complaint(about answer: JSONValue) -> String? { complaint(about: answer, path[...]) }

    private func complaint(about value: JSONValue, _ rest: ArraySlice<String>) -> String? {
        guard let step = rest.first else { return isMet(by: value) ? nil : "\(description): found \(value.serialized().prefix(80))" }
        let children: [JSONValue]
        switch (step, value) {
        case ("[]", .array(let list)): children = list
        case ("{}", .object(let object)): children = object.map(\.value)
        case (let name, .object(let object)): children = object[name].map { [$0] } ?? []
        default: children = []
        }
        if children.isEmpty { return "\(description): nothing at '\(step)' of \(value.serialized().prefix(120))" }
        return children.lazy.compactMap { complaint(about: $0, rest.dropFirst()) }.first
    }

    private func isMet(by value: JSONValue) -> Bool {
        if isValue {
            switch value {
            case .string(let text): return text == kind
            case .null: return kind == "null"
            default: return value.serialized() == kind
            }
        }
        if kind.hasSuffix("?"), value == .null { return true }
        switch (kind.replacing("?", with: ""), value) {
        case ("any", _), ("string", .string), ("number", .int), ("number", .float), ("boolean", .bool), ("list", .array), ("object", .object):
            return true
        default: return false
        }
    }
}

/// The binary with tiny models in a folder of its own, as a client of the contract meets it.
final class ContractServer {
    let server: RunningServer
    let folder: TemporaryFolder
    var client: LoopbackClient { server.client }

    /// - Parameter headers: what this client sends with every request.
    init(_ arguments: [String] = [], models: [String] = ["Q4_1.gguf", "Q8_0.gguf"], headers: [String: String] = [:]) throws {
        folder = TemporaryFolder()
        for name in models {
            try FileManager.default.copyItem(atPath: Corpus.testdata + "/tiny/llama/gguf/" + name, toPath: folder.path + "/" + name)
        }
        self.headers = headers
        // Heartbeats that a test need not wait for.
        let settings = TemporaryFolder().write("[server]\nheartbeat = 0.5\n".utf8, to: "config.toml")
        server = try RunningServer(["--config", settings, "--models-dir", folder.path] + arguments, waitsForModel: false)
    }

    private let headers: [String: String]

    @discardableResult
    func send(_ call: ContractCall) throws -> LoopbackClient.Answer {
        let (method, path) = (String(call.request.prefix { $0 != " " }), String(call.request.drop { $0 != " " }.dropFirst()))
        var fields = headers
        if call.body != nil { fields["Content-Type"] = "application/json" }
        let answer = try client.send(method, path, body: call.body.map { Array($0.utf8) }, headers: fields)
        #expect(answer.status == call.status, "\(call.request): \(answer.text.prefix(300))")
        if !call.fields.isEmpty {
            let document = try JSONValue.parse(answer.body)
            let complaints = call.fields.compactMap { $0.complaint(about: document) }
            #expect(complaints.isEmpty, "\(call.request): \(complaints.joined(separator: "; "))")
        }
        return answer
    }

    func send(_ calls: [ContractCall]) throws { for call in calls { try send(call) } }
}
