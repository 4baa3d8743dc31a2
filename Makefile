# Everything is installed into .venv/ inside the clone: one environment per tool, because their
# pins disagree. Needs Python 3.11 or newer, make and git.
PYTHON ?= python3
UV     := .venv/setup/bin/uv
READY  := .venv/dev/.ready .venv/local/.ready .venv/sam/.ready .venv/tabular/.ready
CLIENTS := cli sdk2 sdk3 mlflow
export PATH := $(CURDIR)/.venv/dev/bin:$(CURDIR)/.venv/sam/bin:$(CURDIR)/.venv/setup/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0
# Compiled once, not at every start of every process.
export PYTHONDONTWRITEBYTECODE :=
# A company's own certificates count, as they do for pip.
export UV_SYSTEM_CERTS := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test check conformance lint build up down docs clean

help:  ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup  ## Play the whole journey on this machine, on real data
	headrace demo

test: setup .venv/checkov/.ready  ## Run every test
	python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder tests

check: lint test  ## Lint, type-check and test: what continuous integration wants

conformance: setup $(CLIENTS:%=.venv/conformance-%/.ready)  ## Play boto3, the AWS CLI, the SageMaker SDKs and MLflow against it
	python -m pytest tests/conformance --table docs/conformance.md

setup: $(READY) .venv/data.ready  ## Install everything into the clone

up: setup  ## Start the local AWS and deploy to it
	headrace up

down:  ## Stop the local AWS (its state is kept)
	headrace down

build: setup  # the layers, for AWS
	sam build

docs: setup  ## Generate the reference pages from the code
	python tools/docs.py

lint: setup .venv/checkov/.ready
	ruff check .
	ruff format --check .
	mypy layers/core/headrace layers/profiling/headrace_profiling cli/headrace_cli local functions
	mypy containers/tabular/headrace_tabular

clean:  ## Remove what was installed, built or stored in the clone
	rm -rf .venv .aws-sam .headrace .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Environments. A stamp file says that an environment matches its requirements.
$(UV): requirements/setup.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Headrace needs Python 3.11 or newer; say which: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv/setup
	.venv/setup/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

define environment
.venv/$(1)/.ready: $(2) $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv/$(1)
	$(UV) pip sync --quiet --compile-bytecode --require-hashes --python .venv/$(1)/bin/python $(2)
	$(3)
	@touch $$@
endef
EDITABLE := --editable layers/core --editable layers/profiling --editable cli
$(eval $(call environment,dev,requirements/dev.txt,$(UV) pip install --quiet --no-deps --no-build-isolation --python .venv/dev/bin/python $(EDITABLE)))
$(eval $(call environment,local,requirements/local.txt))
$(eval $(call environment,sam,requirements/sam.txt))
$(eval $(call environment,checkov,requirements/checkov.txt))
$(eval $(call environment,tabular,containers/tabular/requirements.txt))
$(foreach client,$(CLIENTS),$(eval $(call environment,conformance-$(client),requirements/conformance-$(client).txt)))

# The example data of models/credit-risk, by pinned hash.
.venv/data.ready: tools/data.py .venv/dev/.ready
	python tools/data.py fetch
	@touch $@
