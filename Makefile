# Every verb works in a fresh clone: it first makes what it needs (a Python environment, system packages for the tests).
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
BIN := .venv/bin

.PHONY: help setup system demo demo-kubernetes test test-fast cluster cluster-shell cluster-down check fix generate verify bench bench-rabbitmq clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

setup: ## Make or refresh the Python environment in .venv
	@scripts/setup

system: ## Install the servers that the tests need, where missing (apt-get)
	@scripts/install-system-packages

demo: setup ## The main job on this machine: a manifest, a thousand real jobs, runners from 0 to the maximum and back to 0
	@$(BIN)/python -m examples.ast.demo

demo-kubernetes: setup system ## The same on a real Kubernetes, which it starts (needs root; 15-20 minutes the first time); ARGS=--keep to play with it
	@$(BIN)/python -m examples.ast.kubernetes.demo $(ARGS)

test: setup system check ## Everything that must pass before a change gets in
	@scripts/test

test-fast: setup ## Unit and architecture tests only, while you work
	@$(BIN)/pytest -q tests/unit tests/architecture

cluster: setup system ## A real Kubernetes on this machine, to try things (needs root; the first time is long)
	@$(BIN)/python -m tests.cluster up

cluster-shell: setup ## A shell in the network of that cluster, with kubectl
	@$(BIN)/python -m tests.cluster shell

cluster-down: setup ## Its end; nothing is left behind
	@$(BIN)/python -m tests.cluster down

check: setup ## Lint, format, types, import contracts; changes nothing
	@scripts/check

fix: setup ## Apply the formatter and the safe lint fixes
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

generate: setup ## Write again what is made from the code: the CRD, its reference page, the chart's copies and table, the static manifest
	@$(BIN)/python -m workerpool_operator.crd
	@$(BIN)/python -m workerpool_operator.reference
	@$(BIN)/python -m tests.chart.generate

verify: generate ## Generate, then fail when the committed files differ
	@scripts/verify-clean

bench: setup system ## Side-by-side benchmarks against other queues (long; see docs/benchmarks.md)
	@type -P npm >/dev/null || scripts/install-system-packages npm
	@$(BIN)/python -m benchmarks.rabbitmq
	@$(BIN)/python -m benchmarks

bench-rabbitmq: setup system ## The part of it on RabbitMQ alone (about ten minutes)
	@$(BIN)/python -m benchmarks.rabbitmq

clean: ## Remove the environment and the tools' caches
	@rm -rf .venv .venv-tools .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
