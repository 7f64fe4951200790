import Foundation
import TestSupport
import Testing
import Weights

/// The commands that the documentation shows, run as they stand against the real binary.
@Suite struct DocumentedExampleTests {
    static let curl = ["/usr/bin/curl", "/bin/curl", "/usr/local/bin/curl"].first { FileManager.default.isExecutableFile(atPath: $0) }
    static let pages = ["README.md", "docs/api.md", "docs/operations.md", "docs/configuration.md", "docs/deployment.md"]

    /// Every `curl` command in the shell blocks of a page, lines that end in a backslash joined.
    static func commands(in page: String) -> [String] {
        guard let text = try? String(contentsOfFile: Corpus.packageFolder + "/" + page, encoding: .utf8) else { return [] }
        let blocks = text.components(separatedBy: "```sh\n").dropFirst().compactMap { $0.components(separatedBy: "\n```").first }
        let lines = blocks.flatMap { $0.replacing("\\\n", with: " ").split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) } }
        return lines.filter { $0.hasPrefix("curl ") && !$0.contains("HOST") && !$0.contains("KEY") }
    }

    @Test(.enabled(if: curl != nil, "curl is not present"))
    func everyExampleWorksAsItIsWritten() throws {
        let server = try RunningServer([Corpus.testdata + "/tiny/llama/hf"])
        defer { server.stop() }
        let commands = Self.pages.flatMap(Self.commands)
        #expect(commands.count > 15)
        // What frees the model comes last.
        for command in commands.filter({ !$0.contains("unload") }) + commands.filter({ $0.contains("unload") }) {
            let here = command.replacing(":1234", with: ":\(server.client.port)")
            let isEndless = here.contains("/admin/events")
            let (status, output) = try Self.shell(here.replacing("curl ", with: "curl -sS --fail-with-body --max-time \(isEndless ? 2 : 60) "))
            #expect(status == (isEndless ? 28 : 0), "\(command): \(status) \(output.prefix(300))")  // 28: the time was up
            #expect(!output.isEmpty, "\(command)")
            let isText = isEndless || command.contains(#""stream": true"#) || command.hasSuffix("metrics")
            if isText {
                #expect(output.contains(command.hasSuffix("metrics") ? "lmx_requests_total" : "data: {"), "\(command)")
            } else {
                #expect((try? JSONValue.parse(output)) != nil, "\(command): \(output.prefix(300))")
            }
        }
    }

    private static func shell(_ command: String) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", command]
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }

    // MARK: The openai package

    /// `LMX_PYTHON`, or a python3 of the system, if it has the package.
    static let python: String? = {
        let named = ProcessInfo.processInfo.environment["LMX_PYTHON"] ?? "python3"
        guard let answer = try? shell("'\(named)' -c 'import openai'"), answer.status == 0 else {
            print("python with openai: not present (LMX_PYTHON), its test is skipped")
            return nil
        }
        return named
    }()

    @Test(.enabled(if: python != nil, "python with openai is not present"), arguments: ["llama/hf", "qwen3/gguf/F32.gguf"])
    func theOpenAIPackageFindsEverythingAsItExpects(_ model: String) throws {
        let server = try RunningServer([Corpus.testdata + "/tiny/" + model])
        defer { server.stop() }
        let id = URL(fileURLWithPath: model).deletingPathExtension().lastPathComponent
        let script = Corpus.packageFolder + "/tools/oracle/openai_check.py"
        let (status, output) = try Self.shell("'\(Self.python ?? "")' '\(script)' http://127.0.0.1:\(server.client.port)/v1 '\(id)'")
        #expect(status == 0, "\(output)")
    }
}
