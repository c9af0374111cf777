# Everything runs in .venv, made on first use from the lock files in requirements/.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCKED_INSTALL := $(PIP_INSTALL) --require-hashes --no-deps --no-build-isolation
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock"
STACK := .wharf

.DEFAULT_GOAL := help
.PHONY: help demo test check bench lock clean

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/wharf.stamp ## Run a pipeline on the embedded stack, and show what it made
	$(BIN)/wharf demo

test: $(VENV)/wharf.stamp ## Run the tests
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

check: $(VENV)/wharf.stamp ## Lint, check types, the direction of imports and generated documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/test_layers.py tests/test_docs.py \
		tests/test_deploy.py tests/test_deploy_documents.py

bench: $(VENV)/bench.stamp ## Run the benchmarks (pyspark needs a Java runtime; sshd, sftp and rclone where installed)
	$(BIN)/python benchmarks/bigquery_to_avro.py
	$(BIN)/python benchmarks/bigquery_to_sftp.py
	$(BIN)/python benchmarks/files_to_bigquery.py
	$(BIN)/python benchmarks/api_to_bigquery.py
	$(BIN)/python benchmarks/launch_service.py

lock: $(VENV)/wharf.stamp ## Resolve the lock files again after a change of dependencies
	$(COMPILE) pyproject.toml --extra dev --output-file requirements/dev.txt
	$(COMPILE) pyproject.toml --extra bench --constraint requirements/dev.txt --output-file requirements/bench.txt
	$(COMPILE) pyproject.toml --constraint requirements/dev.txt --output-file requirements/worker.txt
	$(COMPILE) --group service --constraint requirements/dev.txt --output-file requirements/service.txt
	echo setuptools | $(COMPILE) - --constraint requirements/dev.txt --output-file requirements/build.txt

clean: ## Remove everything that make made
	@if [ -x $(BIN)/wharf ] && [ -d $(STACK)/local ]; then $(BIN)/wharf local down; fi
	rm -rf $(VENV) $(STACK) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The lock is complete, so nothing is resolved here, and every file's hash is checked. What comes as source is
# built with the locked setuptools, installed first, instead of the newest one (no build isolation).
$(VENV)/lock.stamp: requirements/build.txt requirements/dev.txt | $(BIN)/python
	@echo "installing requirements/dev.txt into $(VENV) (a minute or two)" >&2
	@$(LOCKED_INSTALL) --requirement requirements/build.txt
	@$(LOCKED_INSTALL) --requirement requirements/dev.txt
	@touch $@

$(VENV)/wharf.stamp: $(VENV)/lock.stamp pyproject.toml setup.py
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/bench.stamp: $(VENV)/wharf.stamp requirements/bench.txt
	@$(LOCKED_INSTALL) --requirement requirements/bench.txt
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "Wharf needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
