# Every target makes .venv and installs what it needs on its own, and does nothing twice: the stamp files inside .venv
# are older than pyproject.toml or constraints.txt only when those changed.
#
#   make train                                   train with manifests/default.yaml
#   make train ARGS="--set training.steps=50"    the same, with options of trainer.py
#   make test ARGS="-k manifest"                 with options of pytest
#   make install PYTHON=/usr/bin/python3.12      with an interpreter of your choice

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet --constraint constraints.txt
ARGS :=
# The first of these that is new enough makes .venv.
PYTHON := python3 python3.14 python3.13 python3.12 python3.11

.DEFAULT_GOAL := help
.PHONY: help install train test lint format docs

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12
	@echo 'Options go in ARGS: make train ARGS="--set training.steps=50"'

install: $(VENV)/.runtime ## make .venv with everything that training needs

train: $(VENV)/.runtime ## train the default manifest
	@$(BIN)/python trainer.py $(ARGS)

test: $(VENV)/.dev ## run the tests
	@$(BIN)/python -m pytest -q $(ARGS)

lint: $(VENV)/.dev ## check style, types and which room imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## rewrite the sources in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.runtime ## write docs/manifest.md from the schema
	$(BIN)/hydra schema --markdown > $(VENV)/manifest.md
	mv $(VENV)/manifest.md docs/manifest.md

# setuptools comes first, at its pinned version, and builds without isolation: an isolated build would fetch another one.
# The compat mode puts this folder on the path; the other one installs an import hook that every start of Python pays for.
$(VENV)/.runtime: $(BIN)/python pyproject.toml constraints.txt
	@echo 'installing Hydra and its packages into $(VENV): a minute, or several where torch brings its CUDA libraries'
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

# The development set contains the runtime set, so both stamps are made.
$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	@echo 'installing Hydra, its packages and the development tools into $(VENV): a minute or several'
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation --config-settings editable_mode=compat --editable '.[dev]'
	@touch $(VENV)/.runtime $@

$(BIN)/python:
	@for name in $(PYTHON); do \
		if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "$$name -m venv $(VENV)"; \
			$$name -m venv --clear $(VENV) && exit 0; \
			rm -rf $(VENV); exit 1; \
		fi; \
	done; \
	echo 'Hydra needs Python 3.11 or newer, and none of these is: $(PYTHON)'; \
	echo 'Install one, or name yours: make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python3.12'; \
	exit 1
