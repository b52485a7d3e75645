# Every target sets up what it needs: Python 3.11+, make and the package registries are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
HISTORIES ?= 10000
SEED   ?= 1

# What `make bench` may be told; benchmarks/README.md says what each means.
SCENARIO    ?= race
N           ?= 200000
LATENCY     ?= 50
CONCURRENCY ?= 32
REPEAT      ?= 3
DATABASE    ?= postgresql
CONTENDERS  ?=
SIZES       ?= 100000,5000000
PROFILES    ?= full
JSON        ?= build/bench-$(SCENARIO).json
BENCH       := benchmarks/.venv

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak bench check format clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/installed ## Install syncjob and its tools into .venv

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "syncjob needs Python 3.11 or newer; say: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup ## See the job work: 23 000 made-up followers into a SQLite file
	@$(BIN)/python examples/demo.py

test: setup ## Run all tests, on SQLite and on a real PostgreSQL
	$(BIN)/python -m pytest --numprocesses auto --quiet

soak: setup ## Play HISTORIES=10000 random accounts against the job, on both databases
	$(BIN)/python tests/soak.py --histories $(HISTORIES) --seed $(SEED)

bench: $(BENCH)/installed ## Measure syncjob beside its peers: N=200000 LATENCY=50 CONCURRENCY=32
	@$(BENCH)/bin/python -m benchmarks --scenario $(SCENARIO) --followers $(N) --latency $(LATENCY) \
		--concurrency $(CONCURRENCY) --repeat $(REPEAT) --database $(DATABASE) \
		--contenders '$(CONTENDERS)' --sizes $(SIZES) --profiles $(PROFILES) --json $(JSON)

# syncjob as a user has it: not editable, and anew whenever a source has changed.
$(BENCH)/installed: $(BENCH)/peers pyproject.toml $(shell find syncjob migrations -name '*.py')
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check .
	@touch $@

$(BENCH)/peers: benchmarks/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

check: setup ## Lint, formatting, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

clean: ## Remove everything that was made here
	rm -rf $(VENV) $(BENCH) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
