# Every target sets up what it needs: Python 3.11+, make and the package registries are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
EVERY     ?=
HISTORIES ?= 10000
SEED   ?= 1
ANSWERS   ?= 100000

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
TLS         ?=
JSON        ?= build/bench-$(SCENARIO).json
BENCH       := benchmarks/.venv

LOWEST := build/lowest
AUDIT  := build/audit
# What `make lowest` runs: what touches each dependency, and no more.
LOWEST_TESTS := $(patsubst %,tests/%.py,wechat/test_transport wechat/test_http \
	wechat/test_hostile_server wechat/test_model database/test_staging database/test_schema \
	cli/test_cli job/test_first_sync)

.DEFAULT_GOAL := help
.PHONY: help setup demo test lowest soak kill-matrix fuzz fault-matrix stop-table bench check audit pages format clean

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

test: setup ## Run all tests, on SQLite, PostgreSQL and, where it is installed, PgBouncer (EVERY=1: each case on each)
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal --quiet $(if $(filter 1,$(EVERY)),--every-database)

lowest: $(LOWEST)/installed ## Run the main tests on the lowest versions that pyproject.toml allows
	$(LOWEST)/bin/python -m pytest --numprocesses auto --quiet $(LOWEST_TESTS)

$(LOWEST)/installed: pyproject.toml tests/dependencies.py | $(VENV)/installed
	$(PYTHON) -m venv $(LOWEST)
	$(BIN)/python tests/dependencies.py lowest > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(LOWEST)/constraints.txt --editable '.[dev]'
	@touch $@

soak: setup ## Play HISTORIES=10000 random accounts against the job, on both databases
	$(BIN)/python tests/histories/soak.py --histories $(HISTORIES) --seed $(SEED)

kill-matrix: setup ## Kill runs before and after each call and each commit, on both databases
	$(BIN)/python tests/kills/kill_matrix.py

fuzz: setup ## Read ANSWERS=100000 broken answers of each endpoint
	$(BIN)/python tests/wechat/fuzz.py --answers $(ANSWERS) --seed $(SEED)

fault-matrix: setup ## Play each fault at each endpoint, once, in a burst and for ever
	SYNCJOB_FAULTS=all $(BIN)/python -m pytest --numprocesses auto --quiet --every-database tests/job/test_fault_matrix.py \
		--junitxml build/fault-matrix.xml
	@grep -oE 'name="searched" value="[0-9]+"' build/fault-matrix.xml | tr -dc '0-9\n' \
		| awk '{ sum += $$1 } END { print sum " bytes searched for canaries in " NR " runs" }'

stop-table: setup ## Send SIGTERM in every state, on both databases; print the seconds to the end
	$(BIN)/python -m pytest --numprocesses auto --quiet tests/job/test_stopping.py --junitxml build/stopping.xml
	@$(BIN)/python tests/job/stop_table.py build/stopping.xml

bench: $(BENCH)/installed ## Measure syncjob beside its peers: N=200000 LATENCY=50 CONCURRENCY=32
	@$(BENCH)/bin/python -m benchmarks --scenario $(SCENARIO) --followers $(N) --latency $(LATENCY) \
		--concurrency $(CONCURRENCY) --repeat $(REPEAT) --database $(DATABASE) \
		--contenders '$(CONTENDERS)' --sizes $(SIZES) --profiles $(PROFILES) $(if $(filter 1,$(TLS)),--tls) --json $(JSON)

# syncjob as a user has it: not editable, and anew whenever a source has changed.
$(BENCH)/installed: $(BENCH)/peers pyproject.toml $(shell find syncjob migrations -name '*.py')
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check .
	@touch $@

$(BENCH)/peers: benchmarks/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

check: setup ## Lint, formatting, types, import layers, deploy/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python docs/generate.py --check
	$(BIN)/hadolint --failure-threshold style deploy/Containerfile
	$(BIN)/kubernetes-validate --quiet --strict deploy/kubernetes.yaml
	@if command -v systemd-analyze > /dev/null; then \
		systemd-analyze security --offline=true --no-pager --threshold=30 deploy/*.service > /dev/null \
		&& echo 'systemd-analyze: the units are exposed less than 3.0 of 10'; \
	else echo 'systemd-analyze is not here: the units were not checked by it'; fi
	@if command -v promtool > /dev/null; then \
		promtool check rules deploy/syncjob.rules.yml > /dev/null \
		&& promtool test rules tests/docs/alerts.test.yml > /dev/null \
		&& echo 'promtool: the alerts are valid, and fire when they should'; \
	else echo 'promtool is not here: the alerts were not checked by it'; fi

audit: setup $(AUDIT)/bin/pip-audit ## Look the runtime dependencies up in PyPI's advisories
	@$(BIN)/python tests/dependencies.py installed > $(AUDIT)/dependencies.txt
	@$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off \
		--requirement $(AUDIT)/dependencies.txt \
		|| { echo 'make audit: a dependency has an advisory, or PyPI could not be asked; see above' >&2; exit 1; }

$(AUDIT)/bin/pip-audit:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit

pages: setup ## Write into the pages what the code knows: settings, errcodes, metrics, columns
	@$(BIN)/python docs/generate.py

format: setup ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

clean: ## Remove everything that was made here
	rm -rf $(VENV) $(BENCH) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
