# `make` lists what there is. Nothing here needs root, a GPU or an MPI library.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# mpich: MPI from a wheel. On a cluster with an MPI of its own: `make MPI=system quickstart`, from the first call on.
MPI    ?= mpich
JOBS   ?= 2
extras  = $(if $(filter mpich,$(MPI)),mpich)
comma  := ,

.DEFAULT_GOAL := help
.PHONY: help quickstart test check docs clean
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: $(VENV)/.installed-run ## install what a run needs into .venv, then run the small example
	$(BIN)/starnet-hpc quickstart

# Two at a time, files whole: those on Slurm mostly wait. One process, for a debugger: make test JOBS=0 ARGS=...
test: $(VENV)/.installed-dev ## run all tests (some: make test ARGS="tests/kernels -k rotation")
	$(BIN)/python -m pytest -ra --durations=15 -n $(JOBS) --no-loadscope-reorder $(ARGS)

check: $(VENV)/.installed-dev ## style, types, architecture
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed-dev ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

clean: ## remove caches and build outputs (.venv and runs/ stay)
	rm -rf build dist docs/_build docs/configuration.md *.egg-info quickstart-run
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -path ./$(VENV) -prune -o -path ./runs -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is the last thing that venv makes, so that a half-made environment is made again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "starnet_hpc needs Python 3.11 or newer; '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one (make PYTHON=python3.12 ...), or load one first (module load python)." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

# Stamps: installed again when pyproject.toml or constraints.txt change. The package itself is editable.
$(VENV)/.installed-run: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".$(if $(extras),[$(extras)])"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev$(addprefix $(comma),$(extras))]"
	@touch $(VENV)/.installed-run $@
