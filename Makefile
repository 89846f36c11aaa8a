# One word per chore; each sets up what it needs. `make` alone lists them.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format types bench bench-peers differential clean proof soak
.PHONY: types-mypy types-pyright types-ty types-all

help:  ## list the chores
	@awk -F ':.*## ' '/^[a-z%.0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.dev  ## make the environment in .venv, with all tools (PYTHON=… chooses the interpreter)
	@echo "$(VENV) is ready: $$($(BIN)/python --version)"

demo: $(VENV)/.core  ## run an example that needs the core only
	@$(BIN)/python examples/stdlib_census.py

test: $(VENV)/.dev  ## run the tests on every supported Python that is found
	@MAKE="$(MAKE)" VENV="$(VENV)" tests/run_matrix.sh

test-%: $(VENV)/bin/python  ## run the tests on one version, as in: make test-3.12
	@MAKE="$(MAKE)" VENV="$(VENV)" tests/run_matrix.sh $*

proof: $(VENV)/.dev  ## try all that is promised: kills, power cuts, simulations, types, threats (an hour; make proof SCALE=0.1)
	@$(BIN)/python -m tests.proofs.prove --scale $(or $(SCALE),1) $(if $(LOG),--log $(LOG))

soak: $(VENV)/.dev  ## put a mixed load on one process and see that nothing grows: make soak MINUTES=60
	@$(BIN)/python -m tests.proofs.soak --minutes $(or $(MINUTES),5)

lint: $(VENV)/.dev  ## check style and formatting
	@$(BIN)/ruff check; checked=$$?; $(BIN)/ruff format --check && exit $$checked

format: $(VENV)/.dev  ## put the code into the shape that lint asks for
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/.dev  ## check types, with two checkers; ordinary use with a third; and that all that is public has types
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target types-mypy types-pyright types-ty types-all

types-mypy:
	@echo "mypy:"; $(BIN)/mypy

types-pyright:
	@echo "pyright:"; $(BIN)/pyright --pythonpath $(BIN)/python

types-ty:
	@echo "ty:"; $(BIN)/ty check --python $(VENV) tests/typing/ordinary.py

types-all:
	@echo "completeness:"; $(BIN)/python tests/typing/completeness.py

bench: $(VENV)/.core  ## measure millrace
	@$(BIN)/python -m benchmarks

bench-peers: | $(VENV)/bin/python  ## measure other engines beside it
	@$(BIN)/python benchmarks/peers/run.py

differential: | $(VENV)/bin/python  ## play generated flows on millrace and on Prefect, and compare
	@$(BIN)/python tests/differential/run.py

clean:  ## remove environments, caches and built files
	rm -rf .venv .venv-* build dist src/*.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find actors benchmarks examples runtime src tests -name __pycache__ -prune -exec rm -rf {} +

# A stamp in the environment says which dependencies it holds: .core those of the package alone, the
# others those of the dependency group of that name. A newer pyproject.toml makes them all stale.

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there. Name a Python: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "millrace needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 …"; \
		exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

# Dependency groups need pip 25.1; the pip that Python 3.11 brings along is older.
$(VENV)/.core: pyproject.toml | $(VENV)/bin/python
	@echo "Installing millrace into $(VENV)"
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.dev $(VENV)/.test: $(VENV)/.%: $(VENV)/.core pyproject.toml
	@echo "Installing the tools of group '$*' into $(VENV)"
	@$(PIP) install --group $*
	@touch $@
