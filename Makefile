# The commands of a checkout. `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage test-slow fuzz check format bench lock wheels clean
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
ARGS ?=
# How many processes run the tests: as many as there are processors.
JOBS ?= auto
# How long `make fuzz` takes.
SECONDS ?= 600

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## Debian packages where it may, .venv from the pinned requirements
	@tools/setup.sh

demo: setup ## a control plane and a small fleet on this machine, attacked and recovered (ARGS=--once ends by itself)
	@$(BIN)/holdfast-sim demo $(ARGS)

test: ## everything but the soaks
	@tools/setup.sh test
	@$(BIN)/pytest -m "not slow" -n $(JOBS) --dist loadfile -q $(ARGS)

coverage: ## the tests again, and which lines they never reach
	@tools/setup.sh test
	@$(BIN)/pytest -m "not slow" -n $(JOBS) --dist loadfile -q --cov --cov-report=term --cov-report=html $(ARGS)
	@echo "line by line: htmlcov/index.html"

test-slow: ## the soaks, long fuzzing and emulated machines
	@tools/setup.sh slow
	@tools/fuzzer.sh
	@$(BIN)/pytest -m slow --timeout 14400 $(ARGS)

fuzz: ## every parser of evidence, guided by coverage (SECONDS=600 in all; ARGS="--only ima,cbor")
	@tools/setup.sh test
	@tools/fuzzer.sh
	@PYTHONPATH=tests $(BIN)/python -m fuzz.run --seconds $(SECONDS) $(ARGS)

check: setup ## format, lint, types, contracts and the fast tests, in under a minute
	@tools/check.sh

format: setup ## write the files as the formatter wants them
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

bench: ## the figures, each beside its peer's
	@tools/setup.sh bench
	@$(BIN)/python -m benchmarks $(ARGS)

lock: setup ## pin requirements/*.in anew, with hashes and without index URLs
	@tools/lock.sh $(ARGS)

wheels: setup ## build the wheels into dist/
	@tools/wheels.sh

clean: ## remove what was built or measured; .venv and downloads stay
	@rm -rf build dist htmlcov .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .demo
	@find packages tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
