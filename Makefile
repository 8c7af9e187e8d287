# The two commands of the README are `make demo` and `make test`. Each prepares what it needs; everything made
# lies in .venv, .venv-label-studio and build/. The same words are used in CI and in CONTRIBUTING.md.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first Python that runs, is 3.11 or 3.12 and can make environments; make PYTHON=… names another.
ifeq ($(strip $(PYTHON)),)
PYTHON := $(shell for p in python3.11 python3.12 python3 /usr/bin/python3; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	>/dev/null 2>&1 && { command -v "$$p"; break; }; done)
endif
export PYTHON

BIN := .venv/bin
CLIP ?=
PYTEST_ARGS ?=

.PHONY: help demo demo-check loop-check test check bench docs clean environments ours

help: ## say what can be typed here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

demo: environments ## start everything; CLIP=<folder of frames or video file> brings your own
	@exec $(BIN)/maskloop up $(if $(CLIP),--clip "$(CLIP)")

demo-check: environments ## do the annotator's work in a real browser and measure it
	@$(BIN)/python -m pipelines.demo_check

loop-check: environments ## go through the loop once: correct, train, promote, refuse, go back
	@$(BIN)/python -m pipelines.loop_check

test: environments ## all tests
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: ours ## lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: environments ## start-up, warm restart and stop, in seconds
	@$(BIN)/python -m pipelines.bench

docs: ours ## check that the documentation names every command, setting and file as it is
	@$(BIN)/python -m pytest -q tests/unit/test_docs.py

clean: ## remove environments and caches; keeps build/demo, where annotations live
	@rm -rf .venv .venv-label-studio .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	@if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name demo -exec rm -rf {} +; fi
	@find backends pipelines tests labelstudio_config -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -d build/demo ]; then echo "Kept build/demo (Label Studio's data and your annotations); remove it by hand to start anew."; fi

environments: ours
	@tools/environment label-studio

ours:
	@tools/environment ours
