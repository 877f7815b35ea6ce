# What people type. `make demo` and `make test` need nothing but Python 3.11, make and a network.

VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
TESTS  ?=

.PHONY: help setup develop peers test lint format types demo bench docs lock clean
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

setup: $(VENV)/.setup ## what the command needs: .venv with everything pinned by hash
develop: $(VENV)/.develop ## what tests, linters and docs need as well

$(VENV)/.setup: requirements/build.txt requirements/runtime.txt pyproject.toml tools/environment.py
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed: set PYTHON=…'; exit 1; }
	@$(PYTHON) tools/environment.py $(VENV) --project requirements/build.txt requirements/runtime.txt
	@touch $@

$(VENV)/.develop: requirements/dev.txt $(VENV)/.setup
	@$(PYTHON) tools/environment.py $(VENV) requirements/dev.txt
	@touch $@

peers: ## fetch the programs that the tests run against, into .peers
	@$(PYTHON) tools/peers.py

test: develop peers lint types ## everything that must hold; TESTS='tests/oci -k redirect' for a part of the tests
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(TESTS)

lint: develop ## style, format, declared dependencies
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet || { $(BIN)/ruff format --check; echo '`make format` does it'; exit 1; }
	@$(BIN)/deptry --no-ansi src

types: develop ## mypy --strict
	@$(BIN)/mypy

format: develop ## format, and fix what can be fixed
	@$(BIN)/ruff check --fix --exit-zero
	@$(BIN)/ruff format

demo: setup ## sign an image, verify it, and see a forgery refused
	@$(BIN)/sealgate demo

bench: develop peers ## measure side by side with cosign, and the webhook
	@$(BIN)/python bench/run.py
	@$(BIN)/python bench/admission.py

docs: develop ## write the generated pages of docs/
	@$(BIN)/python tools/reference.py
	@$(BIN)/python tools/bypasses.py
	@$(BIN)/python tests/matrix/declared.py
	@$(BIN)/python tests/matrix/keyless.py
	@$(BIN)/python tests/matrix/keyless_images.py

lock: ## renew requirements/ (uv must be on PATH); releases of the last week are left out
	@sh tools/lock.sh

clean: ## remove what was fetched and made
	rm -rf $(VENV) .peers .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
