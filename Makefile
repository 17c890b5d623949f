# Needs make and a Python with venv (3.10 or later). All tools are installed into $(VENV) from the
# dependency groups of pyproject.toml. Two interpreters side by side:
#     make test PYTHON=python3.10 VENV=.venv-3.10

PYTHON ?= python3
VENV ?= .venv
# The number of test processes, and further arguments for pytest. Most tests wait more than they
# compute, so two processes share a CPU.
JOBS ?= $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')
PYTEST_ARGS ?=
# Fuzzing: the targets (all by default), seconds for each, how many at the same time, the seed of the
# random numbers (the time by default), and an input in base64 that is checked alone.
FUZZ_TARGETS ?=
FUZZ_SECONDS ?= 600
FUZZ_JOBS ?= 1
FUZZ_SEED ?=
FUZZ_INPUT ?=
# The folder of public test cases for `make corpora`.
DATA ?=
# The lowest coverage in percent, lines and branches, with which `make coverage` passes.
COVERAGE_MIN ?= 96

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTHON_VERSION = $$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
BUILT_FROM := pyproject.toml $(wildcard README.rst LICENSE) \
	_restkit_pytest.py $(shell find restkit -name '*.py' -o -name py.typed)
# Combinations of `make faults`, their seed, and one of them, as SEED:NUMBER, to repeat.
FAULTS ?= 20000
SEED ?= 15
CASE ?=
# Seconds of `make soak`.
SOAK_SECONDS ?= 600
# Packages which only some tests need, each in a group, a marker and an environment of its own.
PEERS := gevent httpbin moto niquests
# The tests of connections and calls. With niquests they all run again: it installs urllib3-future,
# which replaces urllib3 under the same name.
CORE := $(addprefix tests/,connections network client test_timeouts.py)
# Folders of tests which also pass on portable code, without what POSIX has.
PORTABLE := io transfer payload body connections network message zip forms server/test_static_files.py

.DEFAULT_GOAL := help
# Two installations into one environment must not run at the same time.
.NOTPARALLEL:

.PHONY: help
help:
	@echo 'make demo           show the main features, against a server of its own'
	@echo 'make test           run the tests on the installed package'
	@echo 'make test-slow      run the tests of more than ten seconds'
	@echo 'make test-smoke     run a small part of the tests, in seconds'
	@echo 'make test-lowest    run the tests of dependencies with their lowest versions'
	@echo 'make test-portable  run the tests of the client without what Windows lacks'
	@echo 'make test-peers     run the tests that need $(PEERS); or make test-moto ...'
	@echo 'make fuzz           compare with other programs on random inputs: FUZZ_SECONDS for each target'
	@echo 'make corpora        run the public test cases in DATA, a folder beside the checkout'
	@echo 'make faults         run 20,000 combinations of faults; or FAULTS=, SEED=, CASE='
	@echo 'make soak           run mixed work through faults for ten minutes; or SOAK_SECONDS='
	@echo 'make coverage       run the tests and print the coverage of lines and branches'
	@echo 'make lint           check rules and formatting with ruff'
	@echo 'make types          check types with mypy, strict, for Linux, Windows and macOS'
	@echo 'make pyright        check types with pyright'
	@echo 'make docs           build the documentation in docs/_build/html'
	@echo 'make bench          compare with requests, httpx, urllib3 and pycurl'
	@echo 'make dist           build and check sdist and wheel in dist/'
	@echo 'make clean          remove everything that these targets made'

# Groups need pip 25.1; venv brings the pip of its Python, which is older before 3.14.
$(VENV)/venv.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is required: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

# Install the wheel, not a link to the checkout: a file that the wheel lacks, such as py.typed or a
# package, fails here and not for users. Sources are prerequisites, so that no old version is tested.
$(VENV)/package.stamp: $(VENV)/venv.stamp $(BUILT_FROM)
	$(PIP) install .
	@touch $@

$(VENV)/server.stamp: $(VENV)/venv.stamp pyproject.toml
	$(PIP) install '.[server]'
	@touch $@

# One stamp for each dependency group. A change of pyproject.toml renews all.
$(VENV)/%.stamp: $(VENV)/venv.stamp pyproject.toml
	$(PIP) install --group $*
	@touch $@

.PHONY: demo
demo: $(VENV)/server.stamp $(VENV)/package.stamp
	$(BIN)/python examples/demo.py

# Run the program pytest, not `python -m pytest`, which puts the checkout before the installed package.
.PHONY: test
test: $(VENV)/test.stamp $(VENV)/package.stamp
	$(BIN)/pytest -n $(JOBS) $(PYTEST_ARGS)

.PHONY: test-slow
test-slow: $(VENV)/test.stamp $(VENV)/package.stamp
	$(BIN)/pytest -n $(JOBS) -m 'slow and not peer' $(PYTEST_ARGS)

.PHONY: test-smoke
test-smoke: $(VENV)/test.stamp $(VENV)/package.stamp
	$(BIN)/pytest -n $(JOBS) -m 'smoke and not slow and not peer' $(PYTEST_ARGS)

# With the lowest urllib3, certifi and optional packages that pyproject.toml allows.
.PHONY: test-lowest
test-lowest:
	$(MAKE) $(VENV)-lowest/test.stamp $(VENV)-lowest/package.stamp VENV=$(VENV)-lowest
	$(VENV)-lowest/bin/python tests/support/lowest.py
	$(VENV)-lowest/bin/pytest -n $(JOBS) -m 'lowest and not slow and not peer' $(PYTEST_ARGS)

# restkit cannot see poll, sendfile, pread, fork, Unix sockets and so on: tests/support/portable.py.
.PHONY: test-portable
test-portable: $(VENV)/test.stamp $(VENV)/package.stamp
	RESTKIT_PORTABLE=1 $(BIN)/pytest -n $(JOBS) $(PORTABLE:%=tests/%) $(PYTEST_ARGS)

.PHONY: test-peers
test-peers: $(PEERS:%=test-%)

.PHONY: $(PEERS:%=test-%)
test-niquests: SELECTION = -m 'peer(name="niquests") or not (slow or peer)' $(CORE)
$(PEERS:%=test-%): test-%:
	$(MAKE) $(VENV)-$*/test-$*.stamp $(VENV)-$*/package.stamp VENV=$(VENV)-$*
	$(VENV)-$*/bin/pytest -n $(JOBS) $(or $(SELECTION),-m 'peer(name="$*")') $(PYTEST_ARGS)

# Targets are in fuzz/targets. FUZZ_TARGETS=urls FUZZ_INPUT=... checks one input again.
.PHONY: fuzz
fuzz: $(VENV)/fuzz.stamp $(VENV)/package.stamp
	$(BIN)/python -m fuzz $(FUZZ_TARGETS) --seconds $(FUZZ_SECONDS) --jobs $(FUZZ_JOBS) \
		$(if $(FUZZ_SEED),--seed $(FUZZ_SEED)) $(if $(FUZZ_INPUT),--input '$(FUZZ_INPUT)')

# DATA is a folder with the data sets that tests/corpora names. They are no part of the tree.
.PHONY: corpora
corpora: $(VENV)/test.stamp $(VENV)/package.stamp
	@test -d '$(DATA)' || { echo 'DATA must be the folder of the public test cases; got "$(DATA)"' >&2; exit 1; }
	RESTKIT_CORPORA='$(abspath $(DATA))' $(BIN)/pytest -m corpora tests/corpora $(PYTEST_ARGS)

.PHONY: faults
faults: $(VENV)/test.stamp $(VENV)/package.stamp
	RESTKIT_FAULTS=$(FAULTS) RESTKIT_FAULTS_SEED=$(SEED) RESTKIT_FAULTS_CASE=$(CASE) \
		$(BIN)/pytest -n $(if $(CASE),0,$(JOBS)) tests/faults $(PYTEST_ARGS)

# The folder tests is not on the path of a program, and the checkout must not be on it. The arenas of
# glibc, by default eight for each CPU, keep freed memory, which would look like growth.
.PHONY: soak
soak: $(VENV)/test.stamp $(VENV)/package.stamp
	MALLOC_ARENA_MAX=2 PYTHONPATH=tests $(BIN)/python tests/soak/run.py $(SOAK_SECONDS)

.PHONY: coverage
coverage: $(VENV)/coverage.stamp $(VENV)/package.stamp
	$(BIN)/pytest -n $(JOBS) --cov=restkit --cov-report=term --cov-fail-under=$(COVERAGE_MIN) $(PYTEST_ARGS)

.PHONY: lint
lint: $(VENV)/lint.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: $(VENV)/types.stamp $(VENV)/package.stamp
	$(BIN)/mypy --python-version $(PYTHON_VERSION)
	$(BIN)/mypy --python-version $(PYTHON_VERSION) --platform win32 restkit _restkit_pytest.py
	$(BIN)/mypy --python-version $(PYTHON_VERSION) --platform darwin restkit _restkit_pytest.py

.PHONY: pyright
pyright: $(VENV)/pyright.stamp $(VENV)/package.stamp
	$(BIN)/pyright --pythonpath $(BIN)/python --pythonversion $(PYTHON_VERSION)

.PHONY: docs
docs: $(VENV)/docs.stamp $(VENV)/package.stamp
	$(BIN)/sphinx-build -E -n -W --keep-going -b html docs docs/_build/html

.PHONY: bench
bench: $(VENV)/bench.stamp $(VENV)/package.stamp
	$(BIN)/python -m benchmarks

.PHONY: dist
dist: $(VENV)/dist.stamp
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*

.PHONY: clean
clean:
	rm -rf $(VENV) $(VENV)-lowest $(PEERS:%=$(VENV)-%) dist build docs/_build .coverage .fuzz \
		.mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
