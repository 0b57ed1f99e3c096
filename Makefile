# The only commands anyone needs. Each sets up what it needs: Python >= 3.11 and make are enough.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: train test check bench bench-peers mutants clean
.DELETE_ON_ERROR:

train: $(READY)  ## Train a bird with the defaults, into a fresh folder in runs/; ARGS="--seed 1" for more
	@$(BIN)/vecflap train $(ARGS) || [ $$? -eq 130 ]  # Ctrl-C saves the run: no error

test: $(READY)  ## Run the tests
	@$(BIN)/python -m pytest $(ARGS)

check: $(READY)  ## Lint and check types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/python bench/report.py --check

bench: $(READY)  ## Measure this machine
	@$(BIN)/python -m pytest bench/ --benchmark-only $(ARGS)

bench-peers:  ## Measure other systems beside this one, in an environment of their own (some GB), in about 10 minutes
	@$(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@.venv-peers/bin/python bench/peers.py --install $(ARGS)

mutants: $(READY)  ## Break the rules and the pictures in every place, one at a time: the tests must notice (1 to 2 hours)
	@$(BIN)/python tests/mutants.py --boundscheck --jobs 2 $(ARGS)

clean:  ## Remove the virtual environment and caches, not the runs
	rm -rf .venv .venv-peers .pytest_cache .ruff_cache .mypy_cache .hypothesis .benchmarks

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vecflap needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	@echo "Setting up .venv: torch (up to some GB, with CUDA) and a few smaller packages, once."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)
