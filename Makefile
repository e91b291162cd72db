# Thin: everything real is in the program, the tests and tools/. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SYSTEM ?= 1
# Tests wait for servers and disks half of their time: twice as many processes as cores keep the cores busy.
WORKERS ?= $(shell echo $$(( $$(nproc 2>/dev/null || echo 2) * 2 )))
# Neighbours stay in one process, which makes what they share once; compiled files are kept for the programs that tests run.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(WORKERS) --dist worksteal

.PHONY: help demo test test-fast mutation check fix bench serve migration lock clean system

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .installed ## set up what is needed and play the whole story on this machine
	$(BIN)/etymon demo

test: .installed-dev system ## set up (system packages too, where it may) and run all tests
	$(PYTEST) $(TESTS)

test-fast: .installed-dev ## only the tests without outside programs
	$(PYTEST) -q tests/unit

mutation: .installed-dev ## take checks of docs/conformance away and see whether the tests notice: 30, or SAMPLE=n, SEED=s
	$(BIN)/python tools/mutate --sample $(or $(SAMPLE),30) $(if $(SEED),--seed $(SEED)) $(MUTATE)

check: .installed-dev ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: .installed-dev ## format and repair what can be repaired
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .installed-dev ## benchmarks as JSON lines
	PYTHONPATH=tests $(BIN)/python -m bench

serve: .installed ## a running demo site to look at; stop it with Ctrl-C
	$(BIN)/etymon demo --keep

system: ## the system packages that the tests need; SYSTEM=0 leaves them alone
	@SYSTEM=$(SYSTEM) tools/system-packages

lock: ## write the hashed lock files anew
	tools/lock

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .installed .installed-dev .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

.installed: requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.installed-dev: requirements-dev.lock .installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
