# `make demo` and `make test` need Python 3.11 or newer, make and a package index; see `make help`.
.PHONY: help env demo test simulate conformance ray focus bench lint format types layers check lock clean
.DEFAULT_GOAL := help

BIN := .venv/bin
ARGS ?=
UV ?= uv
CODE = $(wildcard src tests bench tools)
TYPED = $(wildcard src tests bench)

help: ## list what can be made
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' Makefile | while IFS='	' read -r name what; do printf 'make %-8s %s\n' "$$name" "$$what"; done
	@echo 'ARGS="…" is passed on to demo, test and bench; PYTHON=… chooses the Python that makes .venv.'

env: ## make .venv from requirements.lock (the rest does it when needed)
	@sh tools/env.sh

demo: env ## run a province on this machine, and real work on it
	@$(BIN)/weir demo $(ARGS)

# A folder of real traces, to test on these too: docs/reference/traces.md.
WEIR_TRACES ?=
test: export WEIR_TRACES := $(WEIR_TRACES)
test: env ## run every test on all cores (at most 8), with coverage
	@$(BIN)/python -m pytest --cov --numprocesses auto --maxprocesses 8 --dist worksteal $(ARGS)

simulate: env ## live through new random histories for WEIR_SIMULATION_SECONDS (180) on all cores
	@$(BIN)/python -m tests.simulation --seconds $${WEIR_SIMULATION_SECONDS:-180} $(ARGS)

conformance: env ## the engines' suite at full size, on every engine that is here, with its reports
	@WEIR_CONFORMANCE=full $(BIN)/python -m pytest -n0 --timeout 1800 -rP -m conformance tests/contract $(ARGS)

ray: env ## make .venv-ray, with a Ray to test its driver on
	@sh tools/ray.sh

focus: env ## make .venv-focus, with PyPI's FOCUS validator, and run it over an export: CSV=focus.csv
	@sh tools/focus.sh
	@$(if $(CSV),$(BIN)/python tools/focus_validator.py $(CSV))

bench: env ## measure, and hold the numbers to the accepted ranges
	@$(BIN)/python -m bench $(ARGS)

lint: env ## ruff: rules and formatting
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/ruff format --quiet --check $(CODE) || { echo 'run `make format`'; exit 1; }

format: env ## ruff: put the formatting right, and what rules it can
	@$(BIN)/ruff check --quiet --fix-only $(CODE)
	@$(BIN)/ruff format --quiet $(CODE)

types: env ## mypy --strict
	@$(BIN)/mypy $(TYPED)

layers: env ## import-linter: who may import whom
	@$(BIN)/lint-imports --no-logo

check: lint types layers ## lint, types and layers

# Hashes of every platform's files, and neither host nor index in the result. UPGRADE=1 takes newer versions.
# The FOCUS validator allows a multimethod that it cannot import.
lock: ## write requirements.lock anew from pyproject.toml, and those for Ray and the FOCUS validator (needs uv)
	@env -u UV_FIND_LINKS $(UV) pip compile pyproject.toml --no-config --quiet --universal --python-version 3.11 \
	  --all-extras --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	  $(if $(UPGRADE),--upgrade) --output-file requirements.lock
	@echo 'ray[default]>=2.60' | env -u UV_FIND_LINKS $(UV) pip compile - --no-config --quiet --universal --python-version 3.11 \
	  --no-annotate --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	  $(if $(UPGRADE),--upgrade) --output-file requirements-ray.lock
	@printf 'focus_validator==1.0.0\nmultimethod==1.10\n' | env -u UV_FIND_LINKS $(UV) pip compile - --no-config --quiet --universal --python-version 3.11 \
	  --no-annotate --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	  $(if $(UPGRADE),--upgrade) --output-file requirements-focus.lock

clean: ## remove .venv, caches and scratch
	@rm -rf .venv .venv.lock .venv-ray .venv-focus .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov dist build
	@find src tests bench tools -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
