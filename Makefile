# Set-up, the default run and the tests; every target installs what it needs by itself.
PYTHON ?= python3
CORES ?= 2
CONFIG ?= config.yaml
PROFILE ?= workflow/profiles/default
VENV := .venv
BIN := $(VENV)/bin
PIP = $(BIN)/pip install --quiet --disable-pip-version-check
INSTALLED := $(VENV)/.installed
# With the tools that only tests and lint need.
EQUIPPED := $(VENV)/.equipped
SNAKEMAKE = $(BIN)/snakemake --workflow-profile workflow/profiles/default --cores $(CORES)

COMPILE = $(BIN)/pip-compile --quiet --strip-extras --no-header --allow-unsafe \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
# A name may have blanks, so that the shell must see it as one word.
CONFIGURED = $(BIN)/python workflow/scripts/configured.py "$$CONFIG"

export PYTHONHASHSEED := 0
export CONFIG

.PHONY: help install config-found run chemistry recover test test-cluster test-slow test-kills lint schema lock embedded-data benchmark clean distclean

help:  ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(INSTALLED)  ## make .venv and install the locked versions into it

$(INSTALLED): requirements.lock requirements-torch.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "arielflow needs Python >= 3.11; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python's venv is missing; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --no-deps -r requirements.lock
	$(PIP) -r requirements-torch.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(EQUIPPED): $(INSTALLED) requirements-test.lock
	$(PIP) --require-hashes --no-deps -r requirements-test.lock
	@touch $@

# Before an installation of minutes.
config-found:
	@[ -f "$$CONFIG" ] || { set -f; for file in $$CONFIG; do [ -f "$$file" ] \
	  || { echo "arielflow: CONFIG: $$file: no such file; check the path" >&2; exit 1; }; done; }

run: config-found $(INSTALLED)  ## run the workflow (CONFIG=config.yaml CORES=2) and say where the results are
	@$(CONFIGURED) $(SNAKEMAKE)
	@$(BIN)/python workflow/scripts/show_summary.py "$$CONFIG"

recover: config-found $(INSTALLED)  ## pick up a killed run: end its leftover jobs, unlock, rerun (PROFILE=… CONFIG=…)
	@$(CONFIGURED) $(BIN)/arielflow recover --workflow-profile "$(PROFILE)" \
	  $(if $(findstring default,$(PROFILE)),--cores $(CORES))

chemistry: $(INSTALLED)  ## compress a reaction network (docs/chemistry.md)
	@$(SNAKEMAKE) --configfile config/chemistry.yaml -- chemistry

test: $(EQUIPPED) lint  ## lint, then every test that is not slow
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder \
	  -m "not slow and not kills"

test-cluster: $(EQUIPPED)  ## every test that needs Slurm, started and stopped by the tests (root, Debian)
	$(BIN)/python -m pytest -m cluster

test-slow: $(EQUIPPED)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

test-kills: $(EQUIPPED)  ## a chain of killed, stopped and filled-up runs (a quarter of an hour)
	$(BIN)/python -m pytest -m kills

lint: $(EQUIPPED)  ## ruff, mypy, codespell, snakefmt and snakemake's own linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

schema: $(INSTALLED)  ## write the configuration's schema and docs/settings.md anew from src/arielflow/settings
	$(BIN)/python workflow/scripts/settings_pages.py

lock: $(EQUIPPED)  ## write the locks anew from pyproject.toml, with hashes
	$(PIP) pip-tools
	$(COMPILE) --upgrade --extra cluster -o requirements.lock pyproject.toml
	$(COMPILE) --upgrade --extra test -c requirements.lock -o requirements-test.lock pyproject.toml
	$(BIN)/python .ci/hash_lock.py requirements.lock requirements-test.lock

embedded-data: $(INSTALLED)  ## remake the nested-sampling truth under data/embedded (about an hour)
	$(BIN)/arielflow embedded-truth --workers $(CORES)

benchmark: $(INSTALLED)  ## measure and print the tables under benchmarks/
	$(BIN)/pip install --quiet -e '.[benchmark]'
	$(SNAKEMAKE) results/default/surrogate/report.json
	$(BIN)/python benchmarks/nested_samplers.py
	$(BIN)/python benchmarks/forward_model.py
	$(BIN)/python benchmarks/fast_retrieval.py

clean:  ## remove results and caches, keep .venv
	rm -rf results/* .snakemake .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## remove .venv as well
	rm -rf $(VENV)
