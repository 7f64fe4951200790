import Engine
import TestSupport
import Testing
import Weights

/// What is measured, and what is granted by it.
struct MemoryGaugeTests {
    /// A `/proc` and `/sys` of our own.
    private static func machine(_ files: [String: String], _ body: (MemoryGauge, TemporaryFolder) async throws -> Void) async throws {
        let folder = TemporaryFolder()
        for (path, text) in files { folder.write(text, to: path) }
        var gauge = MemoryGauge()
        gauge.root = folder.path
        try await body(gauge, folder)
    }

    private static func meminfo(total: Int, available: Int) -> String {
        "MemTotal: \(total >> 10) kB\nMemFree: 12 kB\nMemAvailable: \(available >> 10) kB\n"
    }

    @Test func theMachineIsMeasuredWhereNoGroupIsLimited() async throws {
        try await Self.machine(["proc/meminfo": Self.meminfo(total: 64 << 20, available: 16 << 20)]) { gauge, _ in
            #expect(gauge.read() == MemoryReading(totalBytes: 64 << 20, usedBytes: 48 << 20))
        }
        try await Self.machine([:]) { gauge, _ in #expect(gauge.read() == nil) }
    }

    @Test func theTightestGroupOnTheWayToTheRootCounts() async throws {
        let folder = "sys/fs/cgroup/system.slice"
        try await Self.machine([
            "proc/meminfo": Self.meminfo(total: 64 << 20, available: 60 << 20), "proc/self/cgroup": "0::/system.slice/lmx.service\n",
            "\(folder)/lmx.service/memory.max": "max\n", "\(folder)/lmx.service/memory.current": "\(9 << 20)\n",
            "\(folder)/memory.max": "\(32 << 20)\n", "\(folder)/memory.current": "\(20 << 20)\n",
            "\(folder)/memory.stat": "anon 5\ninactive_file \(8 << 20)\n",
        ]) { gauge, _ in
            #expect(gauge.read() == MemoryReading(totalBytes: 32 << 20, usedBytes: 12 << 20), "files can be dropped")
        }
    }

    @Test func groupsOfTheFirstVersionCountToo() async throws {
        let folder = "sys/fs/cgroup/memory/box"
        try await Self.machine([
            "proc/meminfo": Self.meminfo(total: 64 << 20, available: 60 << 20), "proc/self/cgroup": "4:memory,x:/box\n2:cpu:/other\n0::/\n",
            "\(folder)/memory.limit_in_bytes": "\(16 << 20)\n", "\(folder)/memory.usage_in_bytes": "\(10 << 20)\n",
            "\(folder)/memory.stat": "total_inactive_file \(1 << 20)\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
        ]) { gauge, _ in #expect(gauge.read() == MemoryReading(totalBytes: 16 << 20, usedBytes: 9 << 20)) }
    }

    @Test func aConfiguredTotalIsABudgetForThisProcess() async throws {
        try await Self.machine([
            "proc/meminfo": Self.meminfo(total: 64 << 20, available: 60 << 20), "proc/self/status": "RssAnon:\t 3072 kB\nRssFile:\t 9000 kB\n",
        ]) { gauge, folder in
            var gauge = gauge
            gauge.configuredBytes = 10 << 20
            #expect(gauge.read() == MemoryReading(totalBytes: 10 << 20, usedBytes: 3 << 20))
            folder.write(Self.meminfo(total: 64 << 20, available: 2 << 20), to: "proc/meminfo")
            #expect(gauge.read() == MemoryReading(totalBytes: 10 << 20, usedBytes: 8 << 20), "the machine has no more to give")
            gauge.configuredBytes = 100 << 20
            #expect(gauge.read()?.totalBytes == 64 << 20)
        }
    }

    @Test func roomEndsAtTheLimit() {
        let reading = MemoryReading(totalBytes: 1000, usedBytes: 850)
        #expect(reading.room(below: 90) == 50 && reading.room(below: 85) == 0 && reading.room(below: 80) == 0)
        #expect(reading.room(below: .infinity) == 150 && reading.room(below: -1) == 0)
    }

    /// A request takes no memory that is no longer there: it waits while others run, and is refused when none does.
    @Test func aRequestWaitsOrIsRefusedWhenMemoryHasGoneSinceTheLoad() async throws {
        let page = 10 << 20  // bytes, of 32 tokens
        try await Self.machine(["proc/meminfo": Self.meminfo(total: 4 << 30, available: 4 << 30)]) { gauge, folder in
            var options = EngineOptions()
            options.memory = gauge
            let engine = InferenceEngine(options: options)
            let control = FakeModel.Control()
            try await engine.load(fake: "fake", context: 512, stepMicroseconds: 1000, control: control, bytesPerPage: page)
            var long = GenerationRequest.fake(maximumTokens: 400)
            long.speculates = false  // guesses would make it short
            let first = try engine.generate(long)
            var events = first.makeAsyncIterator()
            _ = try await events.next()
            // The tenth above the limit is to stay free, and no page more.
            folder.write(Self.meminfo(total: 4 << 30, available: 412 << 20), to: "proc/meminfo")
            try await Task.sleep(for: .milliseconds(60))
            let second = try engine.generate(.fake(prompt: "b", maximumTokens: 20))
            try await Task.sleep(for: .milliseconds(30))
            #expect(control.openSlots == 1, "the second waits")
            first.cancel()
            await #expect(throws: EngineError.memoryShort(neededBytes: page, availableBytes: 2_516_582)) {
                try await second.collected()
            }
            folder.write(Self.meminfo(total: 4 << 30, available: 3 << 30), to: "proc/meminfo")
            try await Task.sleep(for: .milliseconds(60))
            #expect(try await engine.generate(.fake(prompt: "c", maximumTokens: 20)).collected().usage.completionTokens == 20)
        }
    }
}
