import Testing
import Weights

@Suite struct MetadataTests {
    private func gguf(_ values: [String: Metadata.Value]) -> Metadata {
        Metadata(dialect: .gguf, place: "m.gguf", architecture: "llama", values: values)
    }
    private func huggingFace(_ values: [String: Metadata.Value]) -> Metadata {
        Metadata(dialect: .huggingFace, place: "config.json", architecture: "llama", values: values)
    }

    @Test func aKeyIsFoundInBothDialects() throws {
        #expect(try gguf(["llama.block_count": .int(30)]).requireInt(.blockCount) == 30)
        #expect(try huggingFace(["num_hidden_layers": .int(30)]).requireInt(.blockCount) == 30)
        #expect(try gguf(["llama.rope.freq_base": .float(1e5)]).findFloat(.ropeBase) == 1e5)
        #expect(try gguf([:]).findFloat(.ropeBase) == nil)
    }

    @Test func newAndOldSpellingsOfRoPEAreOneThing() throws {
        let old = huggingFace(["rope_theta": .float(1e6), "rope_local_base_freq": .int(10_000), "rope_scaling.rope_type": .text("linear"), "rope_scaling.factor": .float(8)])
        let new = huggingFace([
            "rope_parameters.full_attention.rope_theta": .float(1e6), "rope_parameters.full_attention.rope_type": .text("linear"),
            "rope_parameters.full_attention.factor": .int(8), "rope_parameters.sliding_attention.rope_theta": .float(1e4),
            "rope_parameters.sliding_attention.rope_type": .text("default"),
        ])
        for metadata in [old, new] {
            #expect(try metadata.findFloat(.ropeBase) == 1e6)
            #expect(try metadata.findFloat(.ropeBaseSliding) == 1e4)
            #expect(try metadata.findText(.ropeScalingType) == "linear")
            #expect(try metadata.findFloat(.ropeScalingFactor) == 8)
        }
    }

    @Test func aMissingKeyNamesFileAndSpellings() {
        let error = #expect(throws: ModelError.self) { try huggingFace([:]).requireInt(.blockCount) }
        #expect(error?.description == "config.json: has no num_hidden_layers (or n_layer, n_layers)")
        #expect(error?.code == "missing")
        let other = #expect(throws: ModelError.self) { try gguf([:]).requireInt(.blockCount) }
        #expect(other?.description == "m.gguf: has no llama.block_count")
    }

    @Test func aValueOfAnotherTypeIsMalformed() {
        for value: Metadata.Value in [.text("30"), .float(1.5), .float(.nan), .float(1e300), .ints([30]), .bool(true)] {
            let error = #expect(throws: ModelError.self) { try gguf(["llama.block_count": value]).requireInt(.blockCount) }
            #expect(error?.kind == .malformed && error?.problem.contains("llama.block_count") == true)
        }
        #expect(throws: ModelError.self) { try gguf(["llama.rope.freq_base": .float(.infinity)]).findFloat(.ropeBase) }
        #expect(throws: ModelError.self) { try gguf(["general.name": .int(1)]).findText(.name) }
        #expect(throws: ModelError.self) { try huggingFace(["attention_bias": .int(1)]).findBool(.attentionBias) }
    }

    @Test func rangesHaveEdges() throws {
        #expect(try gguf(["llama.block_count": .int(4096)]).requireInt(.blockCount, in: Limits.layers) == 4096)
        for outside in [0, -1, 4097, .max, .min] {
            let error = #expect(throws: ModelError.self) {
                try gguf(["llama.block_count": .int(outside)]).requireInt(.blockCount, in: Limits.layers)
            }
            #expect(error?.kind == .outOfRange)
        }
    }

    @Test func onePerLayerOrOneForAll() throws {
        let metadata = gguf(["llama.attention.head_count_kv": .ints([1, 2, 3]), "llama.feed_forward_length": .int(9)])
        #expect(try metadata.requireInts(.headCountKV, perLayer: 3) == [1, 2, 3])
        #expect(try metadata.requireInts(.feedForwardLength, perLayer: 2) == [9, 9])
        #expect(throws: ModelError.self) { try metadata.requireInts(.headCountKV, perLayer: 2) }
        #expect(throws: ModelError.self) { try metadata.requireInts(.headCountKV, perLayer: 3, in: 2...3) }
    }

    @Test func slidingLayersFromWhicheverWayTheyAreSaid() throws {
        let expected = [true, true, false, true, true, false]
        let types = expected.map { $0 ? "sliding_attention" : "full_attention" }
        #expect(try huggingFace(["layer_types": .texts(types)]).slidingLayers(count: 6) == expected)
        #expect(try huggingFace(["sliding_window_pattern": .int(3)]).slidingLayers(count: 6) == expected)
        #expect(try gguf(["llama.attention.sliding_window_pattern": .bools(expected)]).slidingLayers(count: 6) == expected)
        #expect(try gguf(["llama.attention.sliding_window_pattern": .ints([1, 1, 0, 1, 1, 0])]).slidingLayers(count: 6) == expected)
        #expect(try gguf([:]).slidingLayers(count: 6) == nil)
        #expect(throws: ModelError.self) { try gguf(["llama.attention.sliding_window_pattern": .int(0)]).slidingLayers(count: 6) }
        #expect(throws: ModelError.self) { try huggingFace(["layer_types": .texts(types)]).slidingLayers(count: 5) }
        #expect(throws: ModelError.self) { try huggingFace(["sliding_window_pattern": .text("3")]).slidingLayers(count: 5) }
    }
}
