import FoundationEssentials
import Weights

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Where a configuration comes from: a file, the environment, the command line; the later over the earlier.
public struct ConfigurationSources: Sendable {
    /// One key set on the command line.
    public struct Assignment: Sendable {
        public var key: String
        public var value: TOMLValue
        public var origin: String  // "--port"

        public init(_ key: String, _ value: TOMLValue, origin: String) {
            self.key = key
            self.value = value
            self.origin = origin
        }
    }

    /// The file asked for; nil: the first of `standardFiles` that is there.
    public var file: String?
    public var environment: [String: String]
    public var commandLine: [Assignment]

    public init(file: String? = nil, environment: [String: String] = [:], commandLine: [Assignment] = []) {
        self.file = file
        self.environment = environment
        self.commandLine = commandLine
    }

    /// `lmx/config.toml` in the user's configuration folder, then the documented place.
    public var standardFiles: [String] {
        let home = environment["HOME"] ?? ""
        let folder = environment["XDG_CONFIG_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? home + "/.config"
        return [folder + "/lmx/config.toml", home + "/.config/opta/lmx/config.toml"]
    }

    /// The file that `read` reads; nil where none is there.
    public var fileInUse: String? { file ?? standardFiles.first { access($0, F_OK) == 0 } }

    /// The configuration as the sources have it now. May block.
    ///
    /// The first thing that is wrong is thrown with its place: a line of the file, a name of the environment, an option.
    public func read() throws(ConfigurationError) -> Configuration {
        var configuration = Configuration()
        if let fileInUse { try readFile(fileInUse, into: &configuration) }
        try apply(try environmentAssignments(), to: &configuration)
        try apply(commandLine, to: &configuration)
        if let file = configuration.adminKeyFile { configuration.adminKey = try Configuration.key(inFile: file) }
        if let file = configuration.clientKeyFile { configuration.clientKey = try Configuration.key(inFile: file) }
        try configuration.validate()
        return configuration
    }

    // MARK: File

    private func readFile(_ path: String, into configuration: inout Configuration) throws(ConfigurationError) {
        guard let data = try? Data(contentsOf: URL(filePath: path)) else { throw ConfigurationError("\(path): cannot be read") }
        let table: TOMLTable
        do throws(TOMLError) {
            table = try TOMLReader.read(Array(data))
        } catch {
            throw ConfigurationError("\(path):\(error)")
        }
        var assignments: [Assignment] = []
        try collect(table, "", path, &assignments)
        try apply(assignments, to: &configuration)
        let secrets = assignments.contains { assignment in Setting.all.contains { $0.key == assignment.key && $0.isSecret } }
        var status = stat()
        if secrets, stat(path, &status) == 0, status.st_mode & 0o004 != 0 {
            configuration.remarks.append("\(path): holds a key and can be read by everybody (chmod 600)")
        }
    }

    private func collect(
        _ table: TOMLTable, _ section: String, _ path: String, _ assignments: inout [Assignment]
    ) throws(ConfigurationError) {
        for member in table.members {
            let key = section + member.key
            let origin = "\(path):\(member.line)"
            if Setting.all.contains(where: { $0.key == key }) {
                assignments.append(Assignment(key, member.value, origin: origin))
            } else if Setting.all.contains(where: { $0.key.hasPrefix(key + ".") }) {
                guard case .table(let inner) = member.value else {
                    throw ConfigurationError("\(origin): \(APIError.echo(key)): must be a table, not \(member.value.kind)")
                }
                try collect(inner, key + ".", path, &assignments)
            } else {
                let names = Setting.all.map(\.key)
                // A table that nobody knows: the first key in it may say what was meant.
                var hint = Nearest.hint(key, among: Array(Set(names.map { String($0.prefix { $0 != "." }) })).sorted())
                if case .table = member.value {} else { hint = Nearest.hint(key, among: names) }
                throw ConfigurationError("\(origin): \(APIError.echo(key)): unknown key\(hint)")
            }
        }
    }

    // MARK: Environment

    /// Of the names `LMX_SECTION__KEY` an unknown one is an error. Names without the double underscore are not ours:
    /// orchestrators set `LMX_PORT` and the like for a service called lmx.
    private func environmentAssignments() throws(ConfigurationError) -> [Assignment] {
        var assignments: [Assignment] = []
        for (name, text) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix("LMX_") && name.contains("__") && !text.isEmpty {
            guard let setting = Setting.all.first(where: { $0.environmentName == name }) else {
                throw ConfigurationError(
                    "\(name): unknown key" + Nearest.hint(name, among: Setting.all.compactMap { $0.form == .table ? nil : $0.environmentName }))
            }
            assignments.append(Assignment(setting.key, try Self.value(text, for: setting, name), origin: name))
        }
        for setting in Setting.all where !assignments.contains(where: { $0.key == setting.key }) {
            for name in setting.otherNames {
                guard let text = environment[name], !text.isEmpty else { continue }
                assignments.append(Assignment(setting.key, try Self.value(text, for: setting, name), origin: name))
                break
            }
        }
        return assignments
    }

    private static func value(_ text: String, for setting: Setting, _ name: String) throws(ConfigurationError) -> TOMLValue {
        switch setting.form {
        case .text: return .string(text)
        case .list:
            return .array(
                text.split(separator: ",").map { part in
                    .string(String(part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()))
                })
        case .flag:
            switch text.lowercased() {
            case "true", "1": return .boolean(true)
            case "false", "0": return .boolean(false)
            default: throw ConfigurationError("\(name): \(setting.key): '\(APIError.echo(text))' is neither true nor false")
            }
        case .number:
            guard case .success(let value) = Result(catching: { () throws(TOMLNumber.Problem) in try TOMLNumber.read(text) }) else {
                throw ConfigurationError("\(name): \(setting.key): '\(APIError.echo(text))' is not a number")
            }
            return value
        case .table: throw ConfigurationError("\(name): \(setting.key): stands in a file only (--config FILE)")
        }
    }

    // MARK: All

    /// A key and the file that holds it exclude one another; the later source decides.
    private static let pairs = [("security.admin_key", "security.admin_key_file"), ("security.api_key", "security.api_key_file")]

    private func apply(_ assignments: [Assignment], to configuration: inout Configuration) throws(ConfigurationError) {
        for (key, file) in Self.pairs {
            guard let first = assignments.first(where: { $0.key == key }), assignments.contains(where: { $0.key == file }) else { continue }
            throw ConfigurationError("\(first.origin): \(key): \(file) is set beside it (one of the two is enough)")
        }
        for assignment in assignments {
            guard let setting = Setting.all.first(where: { $0.key == assignment.key }) else {
                throw ConfigurationError("\(assignment.origin): \(assignment.key): unknown key")
            }
            do throws(SettingProblem) {
                try setting.read(&configuration, assignment.value)
            } catch {
                throw ConfigurationError("\(assignment.origin): \(setting.key): \(error.text)")
            }
            switch setting.key {
            case "security.admin_key": configuration.adminKeyFile = nil
            case "security.admin_key_file": configuration.adminKey = nil
            case "security.api_key": configuration.clientKeyFile = nil
            case "security.api_key_file": configuration.clientKey = nil
            default: break
            }
        }
    }
}

extension Configuration {
    /// `~` and `~/…` as the user's home folder.
    static func expanded(_ path: String) -> String {
        guard path == "~" || path.hasPrefix("~/"), let home = getenv("HOME") else { return path }
        return String(cString: home) + path.dropFirst()
    }
}
