# What can be done here; `make` alone explains it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.built
WEB := $(wildcard gw/web/*.json gw/web/*.ts gw/web/index.html) $(shell find gw/web/src -type f)
SOURCES := pyproject.toml setup.py deploy/dev/build $(wildcard gw/_native/*.pyx gw/_native/*.pxd gw/_native/*.h) $(WEB)
# Further arguments: make run ARGS='--devices 500', make test ARGS='-k ring'.
ARGS ?=
# Most tests wait for processes that they start, so a few more than there are cores run at a time.
TEST_PROCESSES ?= $(shell echo $$(( $$(nproc) + 1 )))

.PHONY: help
help: ## Explain the targets
	@printf 'gw: a gateway for fleets of devices that speak uCentral\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nARGS passes more on, for example:  make run ARGS="--devices 500"\n'

.PHONY: build
build: $(STAMP) ## Make .venv with gw and its native helpers; quick if nothing changed

$(STAMP): $(SOURCES)
	@deploy/dev/build $(VENV)
	@touch $(STAMP)

.PHONY: run
run: build ## Run a gateway with 20 simulated devices here; Ctrl-C ends it
	@exec $(BIN)/gw dev --data var/data --pki var/pki $(ARGS)

.PHONY: test
test: check ## Check, then run all tests but the long ones
	GW_PURE_PYTHON=1 $(BIN)/python -m pytest -q tests/_native/test_confighash.py tests/_native/test_envelope.py tests/protocol
	$(BIN)/python -m pytest -q bench
	deploy/dev/test-all $(TEST_PROCESSES) $(ARGS)

.PHONY: soak
soak: build ## Run the long tests (SOAK_SECONDS=600, SOAK_FAULTS=10 of each kind)
	$(BIN)/python -m pytest -m soak --timeout 0 $(ARGS)

.PHONY: check
check: build ## Look for faults without running anything: lint, format, types, layers, C warnings, console
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	deploy/dev/check-native $(BIN)/python
	deploy/dev/check-console

.PHONY: bench
bench: build ## Measure: single steps, then what messages and connections cost against their floors
	$(BIN)/python -m pytest bench --benchmark-enable --benchmark-only
	$(BIN)/python -m bench.figures $(ARGS)

.PHONY: clean
clean: ## Remove what build made; data and keys in var/ stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f gw/_native/*.so gw/_native/*.c gw/_native/*.html
	find . -name __pycache__ -not -path './var/*' -prune -exec rm -rf {} +
