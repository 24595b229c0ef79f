# Each target installs what it needs into .venv, once. `make help` lists them.

PYTHON ?= python3
WORKERS ?= 2
SELECT ?= not slurm and not browser and not long and not exhaustive
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet -c constraints.txt
# tests/conftest.py orders the files, the slowest first, and keeps those of SLURM on one worker.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help sweep test test-all test-gpu gpu-kit check format docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

sweep: $(VENV)/installed ## Run the main job: three DPO trainings of the miniature, and their report
	$(BIN)/python launch.py -m method=dpo beta=0.1,0.2,0.3

test: $(VENV)/installed-dev ## Run the tests; leaves out those of SLURM and Chromium, long and exhaustive ones (SELECT, WORKERS)
	$(PYTEST) -m "$(SELECT)"

test-all: $(VENV)/installed-dev ## Run all tests, also exhaustive ones, with random hypothesis seeds
	$(PYTEST) --hypothesis-profile=all

# Installs nothing: without .venv, PYTHON names an interpreter that has PyTorch for CUDA and what the project needs.
test-gpu: ## Run the tests of a GPU, on the first one that is visible (PYTHON, if there is no .venv)
	MMDPO_TESTS_NEED_GPU=1 CUDA_VISIBLE_DEVICES=$${CUDA_VISIBLE_DEVICES:-0} CUBLAS_WORKSPACE_CONFIG=:4096:8 \
		$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m pytest -m gpu tests/gpu

gpu-kit: $(VENV)/installed-dev ## Gather wheels for a GPU machine without network in build/gpu-kit/ (KIT="--python 3.12")
	$(BIN)/python -m tests.gpu.kit build/gpu-kit $(KIT)

check: $(VENV)/installed-dev ## Check style, types and the walls between folders
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/installed-dev ## Build the documentation into build/site/
	$(BIN)/mkdocs build --strict

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mmdpo needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing mmdpo into $(VENV), once; this takes some minutes"
	$(PIP) -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing mmdpo with the test and development tools into $(VENV), once; this takes some minutes"
	$(PIP) -e '.[dev]'
	touch $(VENV)/installed $@

clean: ## Remove outputs and caches of tools
	rm -rf outputs build .mypy_cache .pytest_cache .ruff_cache
