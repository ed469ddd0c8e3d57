# Every target sets up what it needs in .venv; nothing but Python 3.11 (or later) has to be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FILE ?=
# Tests that are as good beside others: they share the cores. Those left measure rates, or fill the machine themselves.
PURE := tests/alto tests/decade tests/fuzz tests/ledbat tests/ppsp tests/reload
SIMULATED := $(wildcard tests/interop/test_*simul*.py) $(addprefix tests/interop/test_,experiments.py nat_checks.py ppsp_swarms.py)
SOCKETS := $(sort $(SIMULATED) $(foreach part,alto conformance decade reload tracker,$(wildcard tests/interop/test_$(part)_*.py)))

.PHONY: help demo demo-decade test lint bench fuzz conformance conformance-md experiments soak clean
help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

# One stamp an extra, so that the demo does not wait for the developers' tools.
$(VENV)/.demo: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit("ietf-p2p needs Python 3.11 or later, this is %d.%d" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit("ietf-p2p needs Python 3.11 or later, this is %d.%d" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.bench: pyproject.toml $(VENV)/.dev
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

demo: $(VENV)/.demo  ## stream a real file through a swarm: a tracker, a source, four peers (FILE=path takes yours)
	$(BIN)/python -m interop demo $(if $(FILE),--file "$(FILE)")

demo-decade: $(VENV)/.demo  ## a real file to clients of PPSPP and BitTorrent, by storage servers (FILE=path takes yours)
	$(BIN)/python -m interop decade demo $(if $(FILE),--file "$(FILE)")

test: $(VENV)/.dev  ## every test; installs the Debian packages that they need, if it may
	.ci/packages
	$(BIN)/python -m pytest -n auto --dist loadfile $(PURE)
	$(BIN)/python -m pytest -n auto --dist loadfile $(SOCKETS)
	$(BIN)/python -m pytest tests/interop $(SOCKETS:%=--ignore %)

lint: $(VENV)/.dev  ## format, lint, strict types, import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

conformance: $(VENV)/.dev  ## run the conformance vectors
	$(BIN)/python -m interop conformance

conformance-md: $(VENV)/.dev  ## write each package's CONFORMANCE.md anew
	$(BIN)/python -m interop.conformance.report

bench: $(VENV)/.bench  ## benchmarks: ratios against the ceiling in one run
	$(BIN)/python tests/benchmarks/run.py

experiments: $(VENV)/.dev  ## run every experiment and write the tables into ledbat/README.md and reload/README.md
	$(BIN)/python -m interop.experiments

fuzz: $(VENV)/.dev  ## property tests with the soak profile
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest --timeout 0 tests/fuzz tests/interop/test_alto_fuzzed.py

soak: $(VENV)/.dev  ## as root: 200 power cuts of a real file system under DECADE's store
	DECADE_POWER_CUTS=200 $(BIN)/python -m pytest --timeout 0 tests/interop/test_decade_store_powercut.py

clean:  ## remove what the targets made
	rm -rf $(VENV) .cache demo-out bench-out simulate-out build dist
