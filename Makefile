# Two commands on a fresh machine: `make sweep` runs the main job, `make test` passes the tests.
# Each makes .venv and installs what it needs, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: sweep test check clean

sweep: $(VENV)/installed
	$(BIN)/python launch.py -m method=dpo beta=0.1,0.2,0.3

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mmdpo needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing mmdpo into $(VENV), once; this takes some minutes"
	$(PIP) -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "installing what the tests need, once"
	$(PIP) -e '.[dev]'
	touch $@

clean:
	rm -rf outputs .mypy_cache .pytest_cache .ruff_cache
