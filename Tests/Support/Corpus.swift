#if canImport(Glibc)
    internal import Glibc
#endif

/// Where large test material lies, and whether it is there.
public enum Corpus {
    /// The test corpus (environment variable `LMX_TEST_DATA`), nil where it is not set.
    public static var folder: String? { variable("LMX_TEST_DATA") }

    /// The folder of real models (`LMX_TEST_MODELS`, else `models` in the package), nil where it does not exist.
    public static var models: String? {
        let path = variable("LMX_TEST_MODELS") ?? packageFolder + "/models"
        return access(path, R_OK) == 0 ? path : nil
    }

    /// The package's own `testdata` folder.
    public static var testdata: String { packageFolder + "/testdata" }

    /// The folder that holds Package.swift.
    public static let packageFolder: String = {
        var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        parts.removeLast(3)
        return parts.joined(separator: "/")
    }()

    private static func variable(_ name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }
}
