# `make` lists what there is. Needs of the distribution are installed by scripts/setup, Python's into .venv.
SHELL := /bin/bash
.DELETE_ON_ERROR:

BIN := .venv/bin
INSTALLED := .venv/installed
READY := .venv/ready
CODE := plugin tests bench

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# pyvol alone, for the demo; with the tools, for everything else.
$(INSTALLED): pyproject.toml scripts/venv
	@scripts/venv .venv -e .
	@touch $@

$(READY): pyproject.toml scripts/venv
	@scripts/venv .venv -e '.[dev]'
	@touch $(INSTALLED) $@

.PHONY: demo
demo: $(INSTALLED) ## a private Docker, pyvol, and the life of a volume, step by step; cleans up behind itself
	@scripts/demo

.PHONY: test
test: lint ## everything: the checks, then every tier of tests, real engines included (some twenty minutes on two cores)
	@scripts/test all

.PHONY: test-fast
test-fast: $(READY) ## the unit and contract tests: no Docker; as root, for they mount, or asks sudo
	@scripts/test fast

.PHONY: test-engines
test-engines: $(READY) ## the engine tests on Docker 20.10, 26 and 28
	@PYVOL_ENGINES=20.10,26,28 scripts/test engine

.PHONY: lint
lint: $(READY) ## format, lint, types, import directions
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy $(CODE)
	PYTHONPATH=plugin $(BIN)/lint-imports --no-cache

.PHONY: check
check: lint test-fast ## what to run before a commit: format, lint, types, import directions, fast tests

.PHONY: format
format: $(READY) ## bring the code into shape
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

.PHONY: bench
bench: $(READY) ## measure: through Docker and over the socket, against the floors and the peers
	@scripts/setup engine guest nfs bench
	@scripts/as-root $(BIN)/python -m bench

.PHONY: install
install: ## install for real: /opt/pyvol, the pyvol command, the systemd units (run as root, or asks sudo)
	@scripts/install

.PHONY: uninstall
uninstall: ## take that away again; the volumes stay
	@scripts/uninstall

.PHONY: plugin
plugin: ## the managed plugin, made with your Docker: `docker plugin enable pyvol` is next
	@scripts/plugin create $(NAME)

.PHONY: plugin-push
plugin-push: ## make the managed plugin and push it, REPO=user/pyvol:TAG
	@scripts/plugin push $(REPO)

.PHONY: requirements
requirements: ## pin anew what goes into the image, with hashes
	@scripts/requirements

.PHONY: clean
clean: ## remove what make made in this directory
	rm -rf .venv .cache build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -rf plugin/*.egg-info
