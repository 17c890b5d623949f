# Needs make and a Python with venv (3.10 or later), nothing else: every tool is installed into
# $(VENV). Two interpreters side by side: make test PYTHON=python3.10 VENV=.venv-3.10

PYTHON ?= python3
VENV ?= .venv
# How many processes test at once, and what else pytest is told.
JOBS ?= auto
PYTEST_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
BUILT_FROM := pyproject.toml $(wildcard README.rst LICENSE) \
	_restkit_pytest.py $(shell find restkit -name '*.py' -o -name py.typed)

.DEFAULT_GOAL := help

.PHONY: help
help:
	@echo 'make demo    see what it does, against a server of its own'
	@echo 'make test    the tests, on the package as its users get it'
	@echo 'make test-slow     those of more than ten seconds'
	@echo 'make test-lowest   the same with the lowest versions of its requirements'
	@echo 'make lint    ruff: rules and formatting'
	@echo 'make types   mypy, strict'
	@echo 'make docs    the documentation, into docs/_build/html'
	@echo 'make bench   side by side with requests, httpx, urllib3 and pycurl'
	@echo 'make dist    sdist and wheel, into dist/'
	@echo 'make clean   remove everything that these made'

$(VENV)/venv.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later, please: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The wheel is installed, not a link to the checkout: a file that the wheel lacks, py.typed or a
# package left out, fails here instead of at its users'. Sources are part of the prerequisites, so
# what is tested is never yesterday's.
$(VENV)/package.stamp: $(VENV)/venv.stamp $(BUILT_FROM)
	$(PIP) install .
	@touch $@

# One stamp for each extra; a change of pyproject.toml makes all of them anew.
$(VENV)/%.stamp: $(VENV)/venv.stamp pyproject.toml
	$(PIP) install '.[$*]'
	@touch $@

.PHONY: demo
demo: $(VENV)/server.stamp $(VENV)/package.stamp
	$(BIN)/python examples/demo.py

# The program pytest, not `python -m pytest`: that one puts the checkout before the installed package.
.PHONY: test
test: $(VENV)/test.stamp $(VENV)/package.stamp
	$(BIN)/pytest -n $(JOBS) $(PYTEST_ARGS)

.PHONY: test-slow
test-slow: $(VENV)/test.stamp $(VENV)/package.stamp
	$(BIN)/pytest -n $(JOBS) -m slow $(PYTEST_ARGS)

# With the oldest urllib3, certifi and coding packages that pyproject.toml allows.
.PHONY: test-lowest
test-lowest:
	$(MAKE) $(VENV)-lowest/test.stamp $(VENV)-lowest/package.stamp VENV=$(VENV)-lowest
	$(VENV)-lowest/bin/python tests/support/lowest.py
	$(VENV)-lowest/bin/pytest -n $(JOBS) $(PYTEST_ARGS)

.PHONY: lint
lint: $(VENV)/lint.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: $(VENV)/types.stamp
	$(BIN)/mypy --python-version $$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

.PHONY: docs
docs: $(VENV)/docs.stamp $(VENV)/package.stamp
	$(BIN)/sphinx-build -E -n -W --keep-going -b html docs docs/_build/html

.PHONY: bench
bench: $(VENV)/bench.stamp $(VENV)/package.stamp
	$(BIN)/python -m benchmarks

.PHONY: dist
dist: $(VENV)/dev.stamp
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

.PHONY: clean
clean:
	rm -rf $(VENV) $(VENV)-lowest .tox dist build docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
