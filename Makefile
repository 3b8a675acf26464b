# `make` lists the targets. scripts/setup installs the distribution's packages; Python packages go into .venv.
SHELL := /bin/bash
.DELETE_ON_ERROR:

BIN := .venv/bin
INSTALLED := .venv/installed
READY := .venv/ready
CODE := plugin tests bench scripts/check-words
# The files whose prose is checked. Empty: every file of the project.
WORDS :=

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# .venv/installed: pyvol only, for the demo. .venv/ready: pyvol with the development tools.
$(INSTALLED): pyproject.toml scripts/venv
	@scripts/venv .venv -e .
	@touch $@

$(READY): pyproject.toml scripts/venv
	@scripts/venv .venv -e '.[dev]'
	@touch $(INSTALLED) $@

.PHONY: demo
demo: $(INSTALLED) ## show the life of a volume, step by step, with a private Docker; cleans up
	@scripts/demo

.PHONY: test
test: lint ## run everything: the checks, then all tests, real engines included (about twenty minutes on two cores)
	@scripts/test all

.PHONY: test-fast
test-fast: $(READY) ## run the unit and contract tests, without Docker; they mount, so this needs root or asks sudo
	@scripts/test fast

.PHONY: test-pythons
test-pythons: $(READY) ## run the fast tests on Debian 13 and forky, with Python 3.13 and 3.14
	@scripts/test pythons

.PHONY: test-engines
test-engines: $(READY) ## run the engine tests on Docker 20.10, 26 and 28
	@PYVOL_ENGINES=20.10,26,28 scripts/test engine

.PHONY: lint
lint: $(READY) ## check format, lint, types, import directions and words
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy $(CODE)
	PYTHONPATH=plugin $(BIN)/lint-imports --no-cache
	@$(MAKE) --no-print-directory words

.PHONY: words
words: $(READY) ## check the prose against scripts/words.txt, and the length of its lines
	$(BIN)/python scripts/check-words $(WORDS)

.PHONY: check
check: lint test-fast ## run before every commit: lint and test-fast

.PHONY: format
format: $(READY) ## format the code and apply ruff's fixes
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

.PHONY: bench
bench: $(READY) ## run the benchmarks, through Docker and over the socket, with other plugins for comparison
	@scripts/setup engine guest nfs bench
	@scripts/as-root $(BIN)/python -m bench

.PHONY: install
install: ## install /opt/pyvol, the pyvol command and the systemd units; needs root or asks sudo
	@scripts/install

.PHONY: uninstall
uninstall: ## remove what `make install` installed; the volumes stay
	@scripts/uninstall

.PHONY: plugin
plugin: ## build the managed plugin with your Docker; then run `docker plugin enable pyvol`
	@scripts/plugin create $(NAME)

.PHONY: plugin-push
plugin-push: ## build the managed plugin and push it to REPO=user/pyvol:TAG
	@scripts/plugin push $(REPO)

.PHONY: requirements
requirements: ## update the pins of the image's packages
	@scripts/requirements

.PHONY: clean
clean: ## remove all files that make made in this directory
	rm -rf .venv .cache build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -rf plugin/*.egg-info
