# The tasks of a developer. Tools of .venv are preferred to those on the path.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url

.PHONY: help setup test test-slow lint types format bench requirements audit

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## create .venv with everything that the tests need
	python3 -m venv .venv && pip install -q uv==0.13.9 && uv pip install -q -r requirements-dev.txt

test: ## run the fast tests
	pytest

test-slow: ## run the slow tests
	pytest -m slow

lint: ## report mistakes and wrong formatting
	ruff check . && ruff format --check .

types: ## check the types of the package and the scripts
	mypy

format: ## mend what can be mended automatically
	ruff check --fix . && ruff format .

bench: ## measure one training run and one sweep; needs CENSUS_DATA_DIR
	python -m benchmarks.main && python -m benchmarks.sweep --only floor

requirements: ## compile the pinned requirements; UPGRADE=--upgrade takes newer versions
	$(COMPILE) $(UPGRADE) -o requirements.txt requirements.in
	$(COMPILE) $(UPGRADE) -o requirements-gpu.txt requirements-gpu.in
	$(COMPILE) $(UPGRADE) -o requirements-dev.txt requirements-dev.in

audit: ## list known vulnerabilities of the pinned packages; needs a network
	uvx -q pip-audit==2.10.1 -r requirements.txt --require-hashes --disable-pip --strict --progress-spinner off
