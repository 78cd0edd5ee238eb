# The book's commands; `make` alone lists them.
PYTHON ?= python3
PRESET ?= classroom
CHAPTERS ?=

BIN := .venv/bin
PIP = $(BIN)/python -m pip install --disable-pip-version-check --quiet

# What is installed is known by the contents of these files: a newer time alone (an update of the
# checkout, an unpacked archive) installs nothing, so that it needs no network either.
contents = $(shell cat $(1) | cksum | tr ' ' '-')
INSTALLED := .venv/installed-$(call contents,requirements.txt pyproject.toml)
INSTALLED_TESTS := .venv/installed-tests-$(call contents,requirements.txt pyproject.toml tests/requirements.txt)
INSTALLED_LAB := .venv/installed-lab-$(call contents,requirements.txt pyproject.toml book/requirements.txt)

# Output appears as it is made, in a log file too.
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help book pdf lab test bench lock clean distclean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1 \t/p' Makefile | expand -t 20
	@echo
	@echo '  PRESET=smoke|classroom|paper|fashion   how much to compute (default: $(PRESET))'
	@echo '  CHAPTERS="01_model 02_attacks" only these chapters (default: all)'
	@echo '  PYTHON=python3.12              the interpreter that .venv is made with'

book: $(INSTALLED) ## run the chapters, render the site to _build/html
	$(BIN)/python -m lib build --preset $(PRESET) $(CHAPTERS)

pdf: book $(INSTALLED_TESTS) ## print the book to _build/book.pdf (needs a Chromium)
	$(BIN)/python -m lib pdf --preset $(PRESET)

lab: $(INSTALLED_LAB) ## open copies of the chapters in JupyterLab, in _build/lab
	$(BIN)/python -m lib lab

test: $(INSTALLED_TESTS) ## check everything: lint, types, sources, units, every chapter, the site
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	TF_NUM_INTRAOP_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=40

bench: $(INSTALLED_TESTS) ## time what the book says about speed, on an idle machine
	$(BIN)/python -m lib bench

lock: ## pin the direct dependencies of pyproject.toml, and theirs (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --no-header --quiet \
		--output-file requirements.txt
	uv pip compile pyproject.toml --extra dev --constraint requirements.txt \
		--universal --python-version 3.11 --no-header --quiet \
		--output-file tests/requirements.txt
	uv pip compile pyproject.toml --extra lab --constraint requirements.txt \
		--universal --python-version 3.11 --no-header --quiet \
		--output-file book/requirements.txt
	printf '# The package itself: lib.\n-e .\n' >> requirements.txt

clean: ## remove what is built; keep .venv and cached results
	find _build -mindepth 1 -maxdepth 1 ! -name cache -exec rm -rf {} +

distclean: ## remove everything that is not in the repository
	rm -rf _build .venv

.venv/bin/python:
	$(PYTHON) -m venv .venv

# The files name all that is needed, so that nothing has to be resolved.
$(INSTALLED): | .venv/bin/python
	grep -v '^-e' requirements.txt > .venv/pinned.txt
	$(PIP) --no-deps -r .venv/pinned.txt
	$(PIP) --no-build-isolation --no-deps -e .
	rm -f .venv/installed-*
	touch $@

$(INSTALLED_LAB): | $(INSTALLED)
	$(PIP) -r book/requirements.txt
	touch $@

$(INSTALLED_TESTS): | $(INSTALLED)
	$(PIP) --no-deps -r tests/requirements.txt
	touch $@
