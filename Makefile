# Every check and every daily task is one target. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
CACHE ?= $(HOME)/.cache/lora-operator
export UV_CACHE_DIR := $(CACHE)/uv
export UV_LINK_MODE := hardlink
export HF_HUB_OFFLINE := 1
export HF_HUB_DISABLE_TELEMETRY := 1
PYTEST := $(PY) -m pytest
WORKERS ?= 2
CLUSTER ?= demo

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(VENV)/bin/uv pip sync --quiet --python $(PY) --require-hashes requirements/dev.txt
	$(VENV)/bin/uv pip install --quiet --python $(PY) --no-deps --editable .
	@touch $@

.PHONY: venv
venv: $(VENV)/.ready ## make the virtual environment from the hashed requirements

.PHONY: requirements
requirements: ## resolve requirements/*.txt anew from pyproject.toml (hashes, no locations)
	UV="$(VENV)/bin/uv" ./requirements/compile.sh
