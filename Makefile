# Every target makes what it needs: a virtual environment in .venv with the extras of its kind.
# .venv is rebuilt when pyproject.toml changes; a stamp file records each set of extras in it.

PYTHON ?= python3
VENV ?= .venv
# Further arguments, as in `make test ARGS="-k adam"`.
ARGS ?=
# Processes that run tests side by side.
JOBS ?= auto

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --maxprocesses=8 --dist=worksteal
# By default tests compile the quick way, see tests/conftest.py. OPTIMISED has LLVM optimise, as it
# pays off where a test computes for long; SHIPPED is what users run.
OPTIMISED := XLA_FLAGS="$$XLA_FLAGS --xla_backend_optimization_level=3"
SHIPPED := XLA_FLAGS="$$XLA_FLAGS --xla_backend_optimization_level=3 --xla_cpu_use_fusion_emitters=true"
# It looks for the libraries where the first python of PATH has them.
PYRIGHT := PATH="$(abspath $(BIN)):$$PATH" $(BIN)/basedpyright

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow test-peers lint format docs site examples bench wheel clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.stamp-examples  ## run the main job, examples/demo.py
	$(BIN)/python examples/demo.py $(ARGS)

test: $(VENV)/.stamp-test  ## run the default test suite
	$(PYTEST) -m "not slow and not peers and not docs" $(ARGS)

test-slow: $(VENV)/.stamp-test  ## run the tests marked slow, but for the examples
	$(OPTIMISED) $(PYTEST) -m "slow and not peers" --ignore=tests/examples $(ARGS)

test-peers: $(VENV)/.stamp-peers  ## run the comparisons with torch and optax
	$(OPTIMISED) $(PYTEST) -m peers $(ARGS)

lint: $(VENV)/.stamp-lint  ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYRIGHT)
	$(PYRIGHT) --verifytypes gradtx --ignoreexternal

format: $(VENV)/.stamp-lint  ## repair style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: site $(VENV)/.stamp-test  ## build the documentation; run its snippets and doctests
	$(SHIPPED) $(PYTEST) tests/test_docs.py -m "not slow and not peers" $(ARGS)

site: $(VENV)/.stamp-docs
	$(BIN)/python docs/_api.py
	$(BIN)/zensical build --clean --strict

# The tests run the scripts away from your files, and read what they print.
examples: $(VENV)/.stamp-test  ## run every example on a small problem
	$(PYTEST) tests/examples -m slow $(ARGS)

bench: $(VENV)/.stamp-peers  ## print the table of times and memory against optax and torch
	$(BIN)/python benchmarks/run.py $(ARGS)
	$(BIN)/python benchmarks/wrappers.py
	$(BIN)/python benchmarks/metrics.py --layers 2 --rounds 3

wheel: $(VENV)/.stamp-lint  ## build the wheel and check that it holds gradtx only
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist
	$(BIN)/python -c "import glob, zipfile; \
	  names = zipfile.ZipFile(*glob.glob('dist/*.whl')).namelist(); \
	  alien = [n for n in names if n.split('/')[0].split('-')[0] != 'gradtx']; \
	  assert not alien and 'gradtx/py.typed' in names, alien"

clean:  ## remove everything that make has made
	rm -rf $(VENV) build dist site docs/api demo_report .pytest_cache .ruff_cache .hypothesis .cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A bare system Python may lack ensurepip; then pip comes from outside.
$(VENV)/.stamp-venv: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "gradtx needs Python 3.11 or newer, but '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m venv --clear --without-pip $(VENV) \
	  && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	touch $@

$(VENV)/.stamp-examples: EXTRAS = examples
$(VENV)/.stamp-test: EXTRAS = testing,examples
$(VENV)/.stamp-peers: EXTRAS = testing,examples,peers
$(VENV)/.stamp-lint: EXTRAS = dev,testing,plot
$(VENV)/.stamp-docs: EXTRAS = docs

$(VENV)/.stamp-examples $(VENV)/.stamp-test $(VENV)/.stamp-peers $(VENV)/.stamp-lint \
$(VENV)/.stamp-docs: $(VENV)/.stamp-venv
	$(PIP) --editable '.[$(EXTRAS)]'
	touch $@
