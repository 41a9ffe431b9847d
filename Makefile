# Two commands are all that a newcomer needs: make run, and make test.

SHELL := /bin/bash
.DEFAULT_GOAL := build

# Connections of make million: 8.6 KB of memory each.
N ?= 1000000

# Seconds that each fuzz target runs in make check.
FUZZ_SECONDS ?= 30

# What make run adds to the server's flags: a page to look at, that may publish.
DEMO ?= --demo --listen 127.0.0.1:10000-11000

# How long make soak runs.
DURATION ?= 1h

# What --version and c10m_build_info say.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.PHONY: run build test test-quick faults soak check fmt vet staticcheck race fuzz mutants bench floor million five-million results compare baselines peers deps docs clean

run: build ## Build and start the server with its embedded bus and the demo page; DEMO= for without.
	exec bin/10m-server $(DEMO) $(ARGS)

build: ## Build bin/10m-server and bin/10m-client, and what measures beside them.
	go build -ldflags '-X c10m/internal/cli.version=$(VERSION)' -o bin/10m-server .
	go build -ldflags '-X c10m/internal/cli.version=$(VERSION)' -o bin/10m-client ./bench/10m-client
	go build -o bin/floor ./bench/floor

baselines: ## Build what make compare measures the server against.
	go build -o bin/baseline/ ./bench/baseline/evio
	cd bench/compare && go build -o ../../bin/ .
	cd bench/compare && go build -o ../../bin/baseline/ ./peers/epoll ./peers/gorilla ./peers/centrifuge ./peers/bridge github.com/nats-io/nats-server/v2

peers: deps ## Check make compare's programs, which are a module of their own.
	staticcheck=$$(go tool -n staticcheck) && cd bench/compare && go vet ./... && $$staticcheck ./... && go test -shuffle=on ./...

deps: ## Install what the tests need and is not there.
	scripts/install-test-deps

test: deps build ## Run all tests, with faults in their bounded forms: up to 8 minutes on two quiet processors.
	scripts/tests -shuffle=on ./...

# What needs whole servers, browsers, proxies, a Redis in trouble or other programs.
SLOW = c10m c10m/faults c10m/admin/browser c10m/web c10m/conn/realclients c10m/conn/conformance \
	c10m/redisbus/realclients c10m/docs/% c10m/bench/%

test-quick: ## For who changes a line: the rooms' own tests, without whole servers, browsers and faults. 90 seconds.
	scripts/tests -short $(filter-out $(SLOW),$(shell go list ./...))

faults: deps build ## The fault tests at full size; the table goes to bench/results/faults.md.
	C10M_FAULTS=full FAULTS_TABLE=bench/results/faults.md scripts/tests -v -count=1 -timeout 60m ./faults

soak: deps build ## Churn, fan-out, unicast, slow readers, garbage and bus faults together, then what is left, and then for as long whether who is told is told: DURATION=1h, SOAK_SEED=n, TOLD_SEED=n.
	go build -o bin/soak ./bench/soak
	bin/soak --duration $(DURATION) $(ARGS)
	C10M_TOLD=$(DURATION) go test -count=1 -v -timeout 0 -run '^TestToldIsTold' ./faults

# The race detector's tests of channel and bench/scenario are smaller ones; test has them in full.
check: deps build fmt vet staticcheck test race peers fuzz mutants ## All that a change must pass: an hour or more.

fmt:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi

vet:
	go vet ./...

staticcheck:
	go tool staticcheck ./...

race:
	go test -race -shuffle=on ./...
	cd bench/compare && go test -race -shuffle=on ./...

fuzz: ## Run every fuzz target for FUZZ_SECONDS.
	scripts/fuzz $(FUZZ_SECONDS)

mutants: ## Prove that each known one-line bug is caught by a test.
	scripts/mutants

bench: ## Benchmarks with allocations.
	go test -run '^$$' -bench . -benchmem ./...

floor: build ## Deliveries and connects a second beside bare programs, in one run.
	bin/floor
	bin/floor connects --exchange

million: build ## N connections (a million) in one process: one channel, then a channel each. Pages in bench/results.
	scripts/million $(N)

five-million: N = 5000000
five-million: build ## N connections (5,000,000) in one process, the clients' ends in user space. Root and 22.1 GB of memory; N= for fewer.
	scripts/five-million $(N)

results: build ## Everything that bench/RESULTS.md cites, or some of it: NAMES="sends-18000 million". Two hours.
	scripts/results $(NAMES)

compare: build baselines peers ## The server beside its peers, in one run: a table and plots in bench/results.
	scripts/install-compare-deps
	bin/compare $(ARGS)

docs: build ## Write docs/reference from the code.
	mkdir -p docs/reference
	go test -count=1 -run '^TestReference$$' . -write-reference

clean:
	rm -rf bin
