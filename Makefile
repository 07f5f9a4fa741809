# Everything a developer does here. Each target works from a fresh clone; nothing needs to be installed by hand
# but Python >= 3.11 and, for the real Elasticsearch, a JDK >= 21.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
# Tests start hundreds of processes, and each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The generator of stubs has an environment of its own: it is older than what the services run with. The type checkers
# have one too: they are large, and only tests need them.
GENERATE_VENV := $(VENV)/generate
CHECKERS_VENV := $(VENV)/checkers
# `make test TESTS=unit` runs one rung of the ladder, `make test TESTS="unit contract"` several.
TESTS ?=
PYTEST_ARGS ?=
# Each has servers of its own; WORKERS=0 runs everything in one process, whose output can be followed with -s.
WORKERS ?= 4
# Ends, when the tests end or are interrupted, every process that they have started.
LEAVE_NOTHING := $(BIN)/python -m devstack.leave_nothing
LOCKS := requirements/bootstrap.lock requirements/dev.lock
COMPILE = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-package tandem-protos --custom-compile-command "make lock"

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(INSTALLED): pyproject.toml protos/pyproject.toml $(LOCKS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --require-hashes -r requirements/bootstrap.lock
	@$(BIN)/uv pip sync -q --compile-bytecode --python $(BIN)/python --require-hashes requirements/bootstrap.lock requirements/dev.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e protos -e .
	@touch $@

.PHONY: install
install: $(INSTALLED) ## the environment .venv, exactly as locked

.PHONY: up
up: ## the whole stack, proved with one order; Ctrl-C stops it
	@started=$$(date +%s%N); $(MAKE) --no-print-directory install && \
	  TANDEM_INSTALL_MS=$$(( ($$(date +%s%N) - started) / 1000000 )) exec $(BIN)/tandem up

.PHONY: test
test: $(GENERATE_VENV)/.installed $(CHECKERS_VENV)/.installed ## correctness, on real servers (TESTS=unit|integration|conformance|contract|migration|acceptance|robustness)
	@$(LEAVE_NOTHING) $(BIN)/python -m pytest -m "not long" -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(if $(TESTS),$(addprefix tests/,$(TESTS)),tests) $(PYTEST_ARGS)

.PHONY: test-long
test-long: $(GENERATE_VENV)/.installed ## the full counts; prints seed and progress
	@$(LEAVE_NOTHING) $(BIN)/python -m pytest -m "long" -s $(if $(TESTS),$(addprefix tests/,$(TESTS)),tests) $(PYTEST_ARGS)

.PHONY: bench
bench: $(INSTALLED) ## all benches, at most 25 minutes each, and one table of their claims (NAMES="relay commands": some)
	@$(BIN)/python -m bench

.PHONY: counts
counts: $(INSTALLED) ## what commands, events and queries cost in statements, bytes and requests (WRITE=1 accepts); see bench/README.md
	@$(BIN)/python -m bench.counts $(if $(filter-out 0,$(WRITE)),--write)

.PHONY: bench-relay
bench-relay: $(INSTALLED) ## the relay's speed against limits, floors and a peer (FULL=1: all variants); see bench/README.md
	@$(BIN)/python -m bench.relay

.PHONY: bench-commands
bench-commands: $(INSTALLED) ## what a command costs beside an empty call and its SQL alone (ROWS=5000000: in a large write model); see bench/README.md
	@$(BIN)/python -m bench.commands

.PHONY: bench-exports
bench-exports: $(INSTALLED) ## what an export costs a PlaceOrder that runs beside it (ORDERS=100000); see bench/README.md
	@RATE=$${RATE:-100} $(BIN)/python -m bench.commands.beside_exports

.PHONY: bench-notary
bench-notary: $(INSTALLED) ## what the notary of the audit log costs a PlaceOrder and the relay; see bench/README.md
	@RATE=$${RATE:-100} $(BIN)/python -m bench.end_to_end.beside_notary

.PHONY: bench-projection
bench-projection: $(INSTALLED) ## events into Elasticsearch beside raw _bulk and PGSync (ORDERS=60000, BEFORE=<commit>); see bench/README.md
	@$(BIN)/python -m bench.reads.projection

.PHONY: bench-rebuild
bench-rebuild: $(INSTALLED) ## a new generation filled from exports beside the projection (ORDERS=100000); see bench/README.md
	@$(BIN)/python -m bench.reads.rebuild

.PHONY: bench-queries
bench-queries: $(INSTALLED) ## what a question costs beside an empty call and Elasticsearch alone; see bench/README.md
	@$(BIN)/python -m bench.reads.queries

.PHONY: bench-end-to-end
bench-end-to-end: $(INSTALLED) ## from a command to the question that shows it, beside the stages alone (BEFORE=<commit>); see bench/README.md
	@$(BIN)/python -m bench.end_to_end

.PHONY: lint
lint: $(INSTALLED) ## ruff and the layer contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

.PHONY: format
format: $(INSTALLED) ## let ruff fix what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: typecheck
typecheck: $(INSTALLED) ## mypy --strict on source and tests
	@$(BIN)/mypy

$(VENV)/%/.installed: requirements/%.lock $(INSTALLED)
	@$(BIN)/uv venv -q --clear $(@D)
	@$(BIN)/uv pip sync -q --compile-bytecode --python $(@D)/bin/python --require-hashes $<
	@touch $@

.PHONY: generate
generate: $(GENERATE_VENV)/.installed ## stubs from protos, reference pages from the code
	@$(BIN)/python protos/generate.py --write
	@$(BIN)/python -m docs.generator.pages --write

.PHONY: verify
verify: $(GENERATE_VENV)/.installed ## committed stubs equal what the protos give; the contract lints and breaks nothing
	@$(BIN)/python protos/generate.py --verify
	@$(BIN)/python -m docs.generator.pages --verify
	@$(BIN)/python -m deploy.validate

.PHONY: lock
lock: $(INSTALLED) ## resolve all dependencies anew (names and hashes only)
	@$(COMPILE) --group bootstrap -o requirements/bootstrap.lock
	@for group in generate checkers; do $(COMPILE) --group $$group -o requirements/$$group.lock || exit 1; done
	@for extra in command relay query audit dev; do $(COMPILE) --extra $$extra pyproject.toml -o requirements/$$extra.lock || exit 1; done

.PHONY: clean
clean: ## drop the local stack's data and every cache; the environment stays
	@if [ -x $(BIN)/tandem ]; then $(BIN)/tandem down >/dev/null 2>&1 || true; fi
	@rm -rf .tandem .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
