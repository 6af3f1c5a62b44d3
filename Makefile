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
# Tests start processes by the hundred, and compiling torch and transformers anew takes each of them seconds.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := $(PY) -m pytest
# Suites that start real processes get a second try for what failed: a busy machine can miss a deadline. Both
# outcomes are printed, and a test that fails twice, or an error before any test, fails the target.
define test_processes
$(PYTEST) $(1) || { echo "once more, only what failed:"; $(PYTEST) $(1) --last-failed --last-failed-no-failures=none; }
endef
WORKERS ?= 2
# Tests on an API server wait more than they compute.
API_WORKERS ?= 3
CLUSTER ?= demo

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(VENV)/bin/uv pip install --quiet --python $(PY) --compile-bytecode --no-build --require-hashes \
	  -r requirements/dev.txt
	$(VENV)/bin/uv pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: venv
venv: $(VENV)/.ready ## make the virtual environment from the hashed requirements

.PHONY: requirements
requirements: ## resolve requirements/*.txt anew from pyproject.toml (hashes, no locations)
	UV="$(VENV)/bin/uv" ./requirements/compile.sh

.PHONY: lint
lint: venv ## ruff, mypy --strict, import-linter, drift of generated files
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) -m lora_contract.crd --check
	$(PY) -m lora_contract.reasons --check

.PHONY: format
format: venv ## let ruff write the code's format and its safe fixes
	$(VENV)/bin/ruff check --fix-only --quiet .
	$(VENV)/bin/ruff format .

.PHONY: generate crds
generate: venv ## generate the CRDs and docs/reasons.md from the contract
	$(PY) -m lora_contract.crd
	$(PY) -m lora_contract.reasons
crds: generate

.PHONY: docs-templates
docs-templates: venv ## write docs/templates.md: what becomes of conversations with published chat templates
	PYTHONPATH=operator:trainer_image:tests $(PY) -m support.template_table

.PHONY: docs-faults
docs-faults: venv ## write docs/row-faults.md: what is said of rows with each known fault
	PYTHONPATH=operator:trainer_image:tests $(PY) -m support.known_faults

.PHONY: docs-cli
docs-cli: venv ## write docs/kubectl-lora.md anew: what each command of the plugin prints
	PYTHONPATH=operator:trainer_image:tests $(PY) -m support.cli_page

.PHONY: docs-metrics
docs-metrics: venv ## write the tables of docs/metrics.md anew from the operator's metrics
	PYTHONPATH=operator:tests $(PY) -m support.metrics_page

.PHONY: docs-models
docs-models: venv ## write the tables of docs/models.md anew from the families that the tests train
	PYTHONPATH=operator:trainer_image:tests $(PY) -m support.models_page

.PHONY: docs
docs: venv ## build the documentation's site into build/site; every link and anchor is checked
	$(VENV)/bin/uv venv --quiet --allow-existing --python $(PY) build/docs-venv
	$(VENV)/bin/uv pip install --quiet --python build/docs-venv/bin/python --no-build --require-hashes -r requirements/docs.txt
	NO_MKDOCS_2_WARNING=1 build/docs-venv/bin/mkdocs build --strict

.PHONY: gitops
gitops: venv ## write the files for Argo CD anew from health.lua and what the operator writes, and docs/gitops.md's table
	PYTHONPATH=operator:trainer_image:cluster:tests $(PY) -m support.gitops_files

.PHONY: wheel
wheel: venv ## build the wheel of all programs into dist/; `pipx install` takes it with its extra [cli]
	$(PY) -m hatchling build -t wheel

.PHONY: krew
krew: venv ## make the plugin's archives for Krew and its manifest in dist/krew: URL=https://... where they will be
	PYTHONPATH=.:operator $(PY) -m release.krew --url "$(URL)"

.PHONY: test-unit
test-unit: venv ## pure logic and tiny models: no cluster, no S3; minutes on two cores
	$(PYTEST) tests/unit -n $(WORKERS)

.PHONY: test-api
test-api: venv ## the chart with a real Helm, Prometheus' rules and Flux' CEL; CRD and operator on a real API server
	$(PY) -m lora_cluster build
	$(PY) -m lora_cluster build judge prometheus
	$(PYTEST) tests/chart -n $(WORKERS)
	$(call test_processes,tests/api -n $(API_WORKERS) --dist=loadfile -m "not flux")

.PHONY: test-flux
test-flux: venv ## a real Flux applies runs from a Git repository, waits for them and prunes them; not part of `test`
	$(PY) -m lora_cluster build
	$(PYTEST) tests/api -n 0 -m flux

.PHONY: test-trainer
test-trainer: venv ## prepare and train as processes, killed and resumed, against a real S3
	$(call test_processes,tests/trainer -n $(WORKERS) --dist=worksteal -m "not groups and not learning")

.PHONY: test-learning
test-learning: venv ## adapters that learn reasoning and tool calls, minutes each; not part of `test`
	$(PYTEST) tests/trainer -n 1 -m learning
	$(PY) -m lora_cluster build
	$(PY) -m lora_demo images
	$(PYTEST) tests/e2e -n 0 -m learning

.PHONY: test-groups
test-groups: venv ## several processes and pods of one run, stopped and killed in every way, at each step; not part of `test`
	$(call test_processes,tests/trainer -n 1 -m groups)

.PHONY: test-chaos
test-chaos: venv ## the operator killed at each of its writes, an API server that is away or lies; not part of `test`
	$(PY) -m lora_cluster build
	rm -f build/chaos.json
	$(PYTEST) tests/chaos -n 0; status=$$?; PYTHONPATH=tests $(PY) -m support.chaos.page && exit $$status

.PHONY: test-attacks
test-attacks: venv ## hostile tenants, models, datasets and words, each ends within bounds; not part of `test`
	$(PY) -m lora_cluster build
	$(call test_processes,tests/attacks -n $(API_WORKERS) --dist=loadfile)

.PHONY: test-gpu
test-gpu: venv ## arithmetic, memory and whole runs on the CUDA device of this machine; not part of `test`
	$(PYTEST) tests/gpu -rA

.PHONY: test-e2e
test-e2e: venv ## the whole way on a real node with the real image
	$(PY) -m lora_cluster build
	$(PY) -m lora_demo images
	$(call test_processes,tests/e2e -m "not learning")

.PHONY: test-queues
test-queues: venv ## queues of a real Kueue: waiting, preemption, suspension; not part of `test`
	$(PY) -m lora_cluster build --kueue
	$(PY) -m lora_demo images
	$(PYTEST) tests/queues

.PHONY: test-failures
test-failures: venv ## failures made by a real kubelet, scheduler and admission; not part of `test`
	$(PY) -m lora_cluster build
	$(PY) -m lora_demo images
	$(PYTEST) tests/failures

.PHONY: test
test: lint test-unit test-api test-trainer test-e2e ## everything, cheapest first

.PHONY: pin-bases
pin-bases: ## pin the base of the images to what its tag is now (needs skopeo and the registry); builds stay repeatable
	@tag=$$(sed -n 's/^ARG BASE_IMAGE=\(.*\)@sha256:.*/\1/p' Dockerfile.operator) \
	  && digest=$$(skopeo inspect --no-tags --format '{{.Digest}}' "docker://$$tag") \
	  && sed -i "s|^ARG BASE_IMAGE=.*|ARG BASE_IMAGE=$$tag@$$digest|" Dockerfile.operator Dockerfile.trainer \
	  && echo "$$tag@$$digest"

.PHONY: images
images: venv ## build the operator's and the trainer's image
	$(PY) -m lora_demo images

.PHONY: demo
demo: venv ## from nothing to a published adapter (CLUSTER=current REGISTRY=...: on the current kubectl context)
	$(PY) -m lora_demo up --cluster $(CLUSTER) $(if $(REGISTRY),--registry $(REGISTRY))

.PHONY: demo-queue
demo-queue: venv ## two teams share one GPU: an urgent run preempts another, both finish
	$(PY) -m lora_demo queue --cluster demo-queue

.PHONY: demo-down
demo-down: venv ## remove everything that the demo started
	$(PY) -m lora_demo down --cluster $(CLUSTER)

.PHONY: bench
bench: venv ## operator figures on a real API server, one JSON line each; see also bench-trainer, bench-prepare
	$(PY) -m lora_cluster build
	$(PY) -m benchmarks.operator

.PHONY: bench-trainer
bench-trainer: venv ## the trainer beside the well-known recipe and TRL, about 25 minutes on two idle cores
	PYTHONPATH=.:cluster $(PY) -m benchmarks.trainer --page docs/trainer-speed.md

.PHONY: bench-trainer-gpu
bench-trainer-gpu: venv ## the trainer beside recipe and TRL on this machine's CUDA device: a Llama of 8B parameters, random weights
	PYTHONPATH=.:cluster $(PY) -m benchmarks.trainer --gpu --shape llama-8b --batch 32 --held-out 8

.PHONY: bench-published
bench-published: venv ## 8B, 70B and a mixture of 30B on this machine's CUDA device, in the settings of published figures
	PYTHONPATH=.:cluster $(PY) -m benchmarks.trainer.published

.PHONY: bench-trainer-dpo
bench-trainer-dpo: venv ## preference pairs beside TRL's DPOTrainer, about 15 minutes on two idle cores
	PYTHONPATH=.:cluster $(PY) -m benchmarks.trainer.preferences

.PHONY: bench-prepare
bench-prepare: venv ## rows a second and peak memory of prepare: plain chat, tools, reasoning that is unrolled
	$(PY) -m benchmarks.prepare
