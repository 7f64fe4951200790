# Thin names for the real commands. `make run` and `make test` are all one needs.

MODEL  := models/SmolLM2-135M-Instruct.Q4_1.gguf
BUILD  := swift build -c release
LMX    := .build/release/lmx
HOST   ?= 127.0.0.1
PORT   ?= 1234

PREFIX ?= /usr/local

.PHONY: run test build install setup model bench soak races lint clean

## run: set up, build, fetch the default model, serve it on 127.0.0.1:1234
run: build model
	$(LMX) serve $(MODEL) --host $(HOST) --port $(PORT)

## test: everything that needs no large download, plus the real model where it is present
test: setup
	tools/ci/test

build: setup
	$(BUILD) --product lmx

## install: the binary with Swift's library inside, the systemd unit and its configuration (DESTDIR and PREFIX are honoured)
install: setup
	$(BUILD) --product lmx --static-swift-stdlib
	install -D -m 755 $(LMX) $(DESTDIR)$(PREFIX)/bin/lmx
	install -d $(DESTDIR)/etc/systemd/system
	sed 's#/usr/local/bin/lmx#$(PREFIX)/bin/lmx#' deploy/lmx.service > $(DESTDIR)/etc/systemd/system/lmx.service
	test -e $(DESTDIR)/etc/lmx/config.toml || install -D -m 644 deploy/config.toml $(DESTDIR)/etc/lmx/config.toml

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

## races: 1,000 random loads, unloads, answers and cancellations for each of SEEDS under the thread sanitizer
SEEDS ?= 1 2 3
races:
	swift build -c release --sanitize thread --scratch-path .build/thread --product races
	TSAN_OPTIONS=halt_on_error=0:exitcode=66 .build/thread/release/races testdata/tiny 1000 $(SEEDS)

lint:
	tools/ci/lint

clean:
	rm -rf .build
