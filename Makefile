# Thin names for the real commands. `make run` and `make test` are all one needs.

MODEL  := models/SmolLM2-135M-Instruct.Q4_1.gguf
BUILD  := swift build -c release
LMX    := .build/release/lmx
HOST   ?= 127.0.0.1
PORT   ?= 1234

.PHONY: run test build setup model bench lint clean

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

## bench: compare with llama.cpp on this machine and write docs/benchmarks.md (builds the peer from its Python package)
bench: build model
	tools/bench/compare

lint:
	tools/ci/lint

clean:
	rm -rf .build
