# Thin names for the real commands. `make run` and `make test` are all one needs.

MODEL  := models/SmolLM2-135M-Instruct.Q4_1.gguf
BUILD  := swift build -c release
LMX    := .build/release/lmx
HOST   ?= 127.0.0.1
PORT   ?= 1234

.PHONY: run test build setup model bench soak lint clean

## run: set up, build, fetch the default model, serve it on 127.0.0.1:1234
run: build model
	$(LMX) serve $(MODEL) --host $(HOST) --port $(PORT)

## test: everything that needs no large download, plus the real model where it is present
test: setup
	tools/ci/test

build: setup
	$(BUILD) --product lmx

setup:
	@tools/setup

model: $(MODEL)
$(MODEL):
	tools/fetch-model $(MODEL)

## bench: measure against the peers and the machine's limits, write docs/benchmarks.md (the first run builds the peer and the models)
bench: build model
	tools/bench/compare

## soak: a server under mixed load for SOAK_MINUTES (10)
soak: build model
	tools/bench/soak

lint:
	tools/ci/lint

clean:
	rm -rf .build
