PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e
# One process for each core, up to four, since each takes about 1.5 GiB; tests/conftest.py says what they share.
PARALLEL := -n logical --maxprocesses 4

.NOTPARALLEL:
.PHONY: setup setup-dev demo test test-slow test-faults check clean

setup: .venv/.installed
setup-dev: .venv/.installed-dev

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[digits]'
	touch $@

.venv/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[dev]'
	touch .venv/.installed $@

demo: setup
	$(BIN)/python benchmarks/demo.py

test: setup-dev
	$(BIN)/python -m pytest -m 'not slow and not faults' $(PARALLEL)

test-slow: setup-dev
	$(BIN)/python -m pytest -m slow

test-faults: setup-dev
	$(BIN)/python -m pytest -m faults tests/faults

check: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

clean:
	rm -rf .venv build results/runs
