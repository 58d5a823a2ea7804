# clickgate. `make help` lists the targets; `make run` and `make test` set up what
# they need by themselves.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN     := bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
# VCS stamping is off because the version says the same and a build is then equal
# in every checkout.
GOBUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-X main.version=$(VERSION)"

DEMO     := --demo
ARGS     :=
BENCH    := .
COUNT    := 1
FUZZTIME := 10s
LINES    := 1000000
SEED     := 0

.PHONY: help
help: ## List the targets.
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Start every stage in one process with demo data; DEMO= leaves the data out, ARGS='...' adds flags.
	$(BIN)/clickgate standalone $(DEMO) $(ARGS)

.PHONY: build
build: ## Build every command into bin/.
	@mkdir -p $(BIN)
	$(GOBUILD) -o $(BIN)/ ./cmd/...

.PHONY: test
test: services check ## Run all tests with the race detector and real servers; TIMEOUT=10m, V=1.
	@tools/gotest

.PHONY: services
services: ## Install the real servers that tests use; quiet when they are there.
	@tools/services/install

.PHONY: check
check: ## Check formatting and run go vet.
	@unformatted=$$(find . -name '*.go' -not -path './.services/*' -not -path './$(BIN)/*' -print0 | xargs -0 gofmt -l); \
	if [[ -n $$unformatted ]]; then \
		printf 'not formatted; run gofmt -w on:\n%s\n' "$$unformatted"; exit 1; \
	fi
	@go vet ./...
	@go -C tools vet ./...

.PHONY: lint
lint: check $(BIN)/.tools ## check, staticcheck, golangci-lint, and shellcheck where there is one.
	$(BIN)/staticcheck ./...
	$(BIN)/golangci-lint run ./...
	@if command -v shellcheck >/dev/null; then \
		shellcheck -x tools/gotest tools/fuzz tools/vuln tools/bench-edge tools/bench-overload tools/services/{install,with,*.sh} .ci/run; \
	else \
		echo "shellcheck not found (Debian package shellcheck); shell scripts not checked"; \
	fi

.PHONY: vuln
vuln: $(BIN)/.tools ## Look for known vulnerabilities in what the program calls.
	@tools/vuln

.PHONY: bench
bench: ## Run the benchmarks; BENCH=regexp, COUNT=n (compare two runs with bin/benchstat).
	go test -run='^$$' -bench='$(BENCH)' -count=$(COUNT) -benchmem ./...

.PHONY: bench-edge
bench-edge: build ## Measure a gateway beside bare servers, each in a process of its own; ROUNDS=5, FOR=2s, CONNECTIONS=64.
	@BIN=$(BIN) tools/bench-edge

.PHONY: bench-ingest
bench-ingest: ## Measure what an aggregator stores beside plain COPY and plain INSERT, in turns, and print the table.
	@printf '| store | batch | way | rows/s | to the plain way |\n|---|---:|---|---:|---:|\n'
	@for p in sqlite postgres; do \
		case $$p in sqlite) run= dir=./aggregate/sqlite;; *) run=tools/services/with dir=./timescale;; esac; \
		$$run go test -run='^$$' -bench='^BenchmarkIngest$$' -benchtime=1x $$dir | sed -n "s/^ *| /| $$p | /p" || exit 1; \
	done

.PHONY: bench-logs
bench-logs: ## Read a million made lines of every log format; LINES=n.
	CLICKGATE_BENCH_LOG_LINES=$(LINES) go test -count=1 -timeout=30m -run=ManyLines -v ./gateway/rawlog

.PHONY: bench-overload
bench-overload: ## Play the overload tests at full length and print their table, then overload real gateways, then admission's benchmarks.
	go test -run='^Test(OverloadTable|OverloadIsBlocking|Processor|Step|Stability|Drift|ReplayFlood|NoPaidRefusalBesideLower)$$' -count=1 -v ./gateway/admit -args -overload.full | grep -v '^===\|^ *--- PASS'
	@BIN=$(BIN) tools/bench-overload
	go test -run='^$$' -bench=. -benchmem ./gateway/admit

# The harness is a test program: it holds a broker and the seeded mistakes, which no
# program that is shipped can have. Exit status 4: too little happened (docs/reliability.md).
CRASH = cd cmd/internal/crash && SERVICES=postgres ../../../tools/services/with ../../../$(BIN)/crash.test -test.v -test.timeout=30m \
	-crash.seed=$(SEED) -crash.dir=../../../$(BIN)/crash

$(BIN)/crash.test: FORCE
	@mkdir -p $(BIN)
	go test -c -o $@ ./cmd/internal/crash

.PHONY: FORCE
FORCE:

.PHONY: crash
crash: build $(BIN)/crash.test ## Kill everything under load for about five minutes and check every click; SEED=n repeats a schedule.
	@$(CRASH) -test.run='^TestForm$$' -crash.form=long -crash.ownserver -crash.program="$(CURDIR)/$(BIN)/clickgate" -crash.json="$(CURDIR)/$(BIN)/crash.json"

.PHONY: crash-cluster
crash-cluster: build $(BIN)/crash.test ## The same on three real Kafka brokers, ten minutes of load.
	@$(CRASH) -test.run='^TestForm$$' -crash.form=cluster -crash.ownserver -crash.program="$(CURDIR)/$(BIN)/clickgate" -crash.json="$(CURDIR)/$(BIN)/crash-cluster.json"

.PHONY: crash-mutants
crash-mutants: $(BIN)/crash.test ## Run the harness on seeded mistakes, each of which it must catch.
	@$(CRASH) -test.run='^TestAllMistakes$$' -crash.mutants=all

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (default 10s) each.
	@tools/fuzz $(FUZZTIME)

.PHONY: generate
generate: $(BIN)/.tools ## Generate code from click.proto, and docs/metrics.md.
	@command -v protoc >/dev/null || { echo "protoc not found; install it (Debian package protobuf-compiler)"; exit 1; }
	PATH="$(CURDIR)/$(BIN):$$PATH" protoc --go_out=. --go_opt=paths=source_relative gateway/click/clickpb/click.proto
	go test ./cmd/internal/operations -run '^TestMetricsPage$$' -update

.PHONY: upgrade-fixtures
upgrade-fixtures: services ## Freeze what VERSION=1.2.3 leaves behind, for later versions to start on; never twice.
	@SERVICES=postgres tools/services/with go test -count=1 -run='^TestPresent$$' ./cmd/internal/upgrade -args -upgrade.version=$(VERSION)

.PHONY: clean
clean: ## Remove what was built and installed in this folder; data folders stay.
	rm -rf $(BIN) .services

# The tools, with the versions that tools/go.mod pins. The first build takes some
# minutes.
$(BIN)/.tools: tools/go.mod tools/go.sum
	@mkdir -p $(BIN)
	GOBIN="$(CURDIR)/$(BIN)" CGO_ENABLED=0 go -C tools install -trimpath tool
	@touch $@
