import Engine
import Testing

struct MemoryGuardTests {
    @Test func theKernelsFigureIsRead() throws {
        let text = "MemTotal:       24689540 kB\nMemFree:          1024 kB\nMemAvailable:   24061612 kB\n"
        #expect(MemoryGauge.line(text, "MemAvailable") == 24_061_612 * 1024)
        #expect(MemoryGauge.line(text, "MemFree") == 1 << 20)
        #expect(MemoryGauge.line(text, "Mem") == nil)
        #expect(MemoryGauge.line("MemTotal: 99999999999999999999 kB", "MemTotal") == nil)
        #expect(MemoryGauge.line("MemTotal: 9999999999999999 kB", "MemTotal") == nil)
        let memory = try #require(MemoryGauge().read())
        #expect(memory.totalBytes > 1 << 20 && memory.availableBytes <= memory.totalBytes)
        let room = try #require(MemoryGuard().room())
        #expect(room <= memory.room(below: 90))
    }

    @Test func whatDoesNotFitIsRefusedWithBothNumbers() throws {
        try MemoryGuard.require(100, available: 100)
        try MemoryGuard.require(.max, available: nil)
        #expect(throws: EngineError.insufficientMemory(neededBytes: 101, availableBytes: 100)) {
            try MemoryGuard.require(101, available: 100)
        }
    }

    @Test func theCacheIsSizedToTheRequestsAndCutToTheMemory() throws {
        func pages(_ context: Int, _ parallel: Int, _ available: Int?) throws -> Int {
            try MemoryGuard.cachePages(contextLength: context, parallel: parallel, pageTokens: 32, bytesPerPage: 1000, available: available)
        }
        #expect(try pages(1000, 4, nil) == 128)
        #expect(try pages(1000, 4, 256_000) == 128)
        #expect(try pages(1000, 4, 200_000) == 100, "half of what is there")
        #expect(try pages(1000, 4, 40_000) == 32, "all that one context needs")
        #expect(try pages(1000, 4, 20_000) == 20, "less than one context, but some")
        #expect(throws: EngineError.insufficientMemory(neededBytes: 16_000, availableBytes: 15_999)) { try pages(1000, 4, 15_999) }
        #expect(try pages(10, 1, 1000) == 1)
    }
}

struct StatisticsTests {
    @Test func countsFollowWhatEngineDoes() async throws {
        let engine = InferenceEngine()
        try await engine.load(fake: "fake", stepMicroseconds: 100)
        for _ in 0..<5 { _ = try await engine.generate(.fake(prompt: "abc", maximumTokens: 10)).collected() }
        let status = engine.status()
        for statistics in [status.statistics, status.models[0].statistics] {
            #expect(statistics.requests == 5 && statistics.promptTokens == 15 && statistics.completionTokens == 50)
            #expect(statistics.tokensPerSecond.count == 5)
            #expect(statistics.tokensPerSecond.average > 0 && statistics.tokensPerSecond.p50 <= statistics.tokensPerSecond.p99)
            #expect(statistics.timeToFirstToken.average > 0 && statistics.totalTime.average >= statistics.timeToFirstToken.average)
            #expect(statistics.errorRate == 0)
        }
        #expect(status.throughput > 0 && status.requestsPerMinute == 5)
        #expect(status.models[0].lastUsedAt ?? 0 >= status.models[0].model.loadedAt)
        _ = try await engine.unload("fake")
        #expect(engine.status().statistics.requests == 5, "totals outlive the model")
    }

    @Test func anUnusedEngineReportsZeros() {
        let statistics = InferenceEngine().status().statistics
        #expect(statistics.requests == 0 && statistics.errorRate == 0)
        #expect(statistics.tokensPerSecond == statistics.totalTime && statistics.tokensPerSecond.p99 == 0)
    }
}
