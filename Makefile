# Two commands on a fresh machine: `make demo` and `make test`. Both set up .venv themselves.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
OUTPUT ?= demo-output

.PHONY: help demo test lab lint format peers bench notebooks clean
.DEFAULT_GOAL := help

help:  ## say what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with: make PYTHON=/path/to/python3 ..."; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Python lacks its venv module; on Debian: apt-get install python3-venv"; exit 1; }

.venv/.installed: .venv/pyvenv.cfg pyproject.toml
	@echo "Setting up .venv: this takes a minute or two, once."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e .
	@touch $@

.venv/.installed-dev: .venv/pyvenv.cfg pyproject.toml
	@echo "Setting up .venv with what tests and checks need: this takes a minute or two, once."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[dev]'
	@touch $@ .venv/.installed

demo: .venv/.installed  ## run the main job end to end; leaves $(OUTPUT)/
	$(BIN)/workbench demo --output $(OUTPUT)

test: .venv/.installed-dev  ## run all tests
	$(BIN)/python -m pytest

lab: .venv/.installed  ## open JupyterLab on the notebooks
	$(BIN)/workbench lab

lint: .venv/.installed-dev  ## style, types and the arrows of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: .venv/.installed-dev  ## lay out the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

notebooks: .venv/.installed-dev  ## write the notebooks from their text forms
	$(BIN)/python tests/notebooks/pairs.py

DCMJS := tests/peers/dcmjs

peers:  ## install Orthanc, DCMTK, odil, dcmjs-dimse and Chromium (Debian or Ubuntu, as root)
	@command -v apt-get >/dev/null || { echo "make peers knows Debian and Ubuntu; elsewhere install orthanc, its DICOMweb plug-in, dcmtk, chromium and node; then: cd $(DCMJS) && npm ci --ignore-scripts"; exit 1; }
	@test "$$(id -u)" = 0 || { echo "make peers needs root: sudo make peers"; exit 1; }
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends \
		dcmtk orthanc orthanc-dicomweb orthanc-gdcm chromium fonts-dejavu-core nodejs iproute2 python3-odil
	command -v npm >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends npm
	cd $(DCMJS) && npm ci --ignore-scripts --no-audit --no-fund
	@chown -R --reference=$(DCMJS) $(DCMJS)/node_modules  # with sudo, it is not root's

bench: .venv/.installed-dev  ## measure beside DCMTK, Orthanc and plain pynetdicom
	$(BIN)/python -m benchmarks.run

clean:  ## remove what was made (not .venv)
	rm -rf $(OUTPUT) test-artifacts build dist benchmarks/results .pytest_cache .mypy_cache .ruff_cache .hypothesis
