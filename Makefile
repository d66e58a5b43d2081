# Everything installs into the project's own environment; a fresh machine needs Python 3.11+, git and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# The tests start hundreds of processes: without compiled modules each of them compiles all of ours and the libraries'.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test soak mutants simulate fuzz conformance bench bench-peers lint types contracts constraints clean
help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt .ci/install
	@echo "installing Waypost and its tools into $(VENV) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Waypost needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@.ci/install $(VENV)
	@touch $@

demo: $(STAMP) ## the whole story on this machine, with real parts
	@$(BIN)/waypost demo

test: $(STAMP) ## the tests, four at a time (many wait for a real process); what a missing tool forbids is skipped loudly
	@$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

soak: $(STAMP) ## the long tests that `make test` leaves out, and their figures; FORBID_SKIPS= lets them be skipped
	@FORBID_SKIPS=$${FORBID_SKIPS-1} $(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m soak

mutants: $(STAMP) ## every safeguard taken out, one at a time: a harness has to notice
	@$(BIN)/python tests/durability/mutants.py

simulate: $(STAMP) ## seeded schedules of faults on a virtual clock; SEEDS=1000 FROM=0
	@$(BIN)/python tests/simulation/run.py --seeds $(or $(SEEDS),1000) --from $(or $(FROM),0) --jobs 2

fuzz: $(STAMP) ## hostile input at every edge; INPUTS=20000 SEED=1
	@$(BIN)/python -m tests.fuzz.campaign --inputs $(or $(INPUTS),20000) --seed $(or $(SEED),1)

conformance: $(STAMP) ## MCP's own conformance suite against the gateway, with a Node from the Python package index
	@$(BIN)/python -m tests.conformance.conform

bench: $(STAMP) ## what it costs, as ratios within one run, in one table; WRITE=1 keeps it as BENCHMARKS.md
	@$(BIN)/python tests/bench/together.py $(if $(WRITE),--write)

PEERS := fastmcp mcp-proxy contextforge
$(VENV)/peers/%/.installed: tests/bench/peers/%.txt $(STAMP)
	@echo "installing the peer $* into an environment of its own …"
	@$(PYTHON) -m venv $(VENV)/peers/$* && $(VENV)/peers/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

bench-peers: $(STAMP) $(PEERS:%=$(VENV)/peers/%/.installed) ## the same work beside its peers, in one table
	@$(BIN)/python tests/bench/peers/compare.py

lint: $(STAMP) ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP) ## mypy --strict
	@$(BIN)/mypy

contracts: $(STAMP) ## who may import whom
	@$(BIN)/lint-imports

constraints: $(STAMP) ## resolve the pinned versions again, for x86-64 and aarch64
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links pyproject.toml -o constraints.txt --upgrade

clean: ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
