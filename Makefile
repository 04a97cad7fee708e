# Two commands matter: `make forecast` (from nothing to export windows) and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: forecast test check fmt bench clean
forecast: .venv/.installed
	$(BIN)/overspill run

test: .venv/.installed
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.installed
	$(BIN)/python benchmarks/commands.py
	$(BIN)/python benchmarks/dashboard.py
	$(BIN)/python benchmarks/windows.py
	$(BIN)/python benchmarks/forecasters.py

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("overspill needs Python 3.11 or newer, found " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	@echo "installing pinned packages into .venv; the first time this takes some minutes"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
