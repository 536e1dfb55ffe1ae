# `make app` opens the app, `make test` runs all tests, `make check` what a change must pass first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PORT ?= 8501
# yes: every installed file is checked against its hash in requirements.lock; no: the same versions,
# whatever their files.
LOCK ?= yes
needs = $(if $(filter yes,$(LOCK)),--require-hashes -r $(1).lock,-r $(1).txt)
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet

# Networks in tests are small, and two processes fill two cores: a second thread in each waits more than it
# computes.
test fast: export OMP_NUM_THREADS := 1

.PHONY: app install test check fast lint pictures lock audit clean help

app: $(VENV)/.app  ## install what is needed and open the app on http://localhost:8501
	$(VENV)/bin/streamlit run app.py --server.port $(PORT)

install: $(VENV)/.test  ## install what the app and its tests need

test: $(VENV)/.test  ## run all tests
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal --ignore tests/browser $(PYTEST_ARGS)
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile tests/browser $(PYTEST_ARGS)

check: $(VENV)/.test  ## format, lint, types, layers and the fast tests, at once: about three minutes
	@$(MAKE) --no-print-directory -j 2 lint fast

fast: $(VENV)/.test  ## the fast tests
	$(VENV)/bin/python -m pytest -n 2 -q -m "not slow" $(PYTEST_ARGS)

lint: $(VENV)/.test  ## format, lint, types and layers
	$(VENV)/bin/ruff format --check --quiet .
	$(VENV)/bin/ruff check --quiet .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

pictures: $(VENV)/.test  ## take the documentation's pictures of the running app (needs Chromium)
	$(VENV)/bin/python -m tools.pictures

lock: $(VENV)/.tools  ## write requirements.lock and requirements-dev.lock anew from the .txt files
	@for name in requirements requirements-dev; do \
	  { echo '# Every file that may be installed, by its hash, for all systems and Python 3.11 to 3.13: written by `make lock`.' && \
	    $(VENV)/tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    $$name.txt; } > $$name.lock.new && mv $$name.lock.new $$name.lock || { rm -f $$name.lock.new; exit 1; }; done

audit: $(VENV)/.tools  ## look up known vulnerabilities of what is locked (needs the internet)
	$(VENV)/tools/bin/pip-audit --disable-pip --require-hashes -r requirements.lock

clean:  ## remove the virtual environment
	rm -rf $(VENV)

help:
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/'

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 was not found: install it, or name it with make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else f"Python 3.11 to 3.13 is needed, {sys.version.split()[0]} was found: name another with make PYTHON=...")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "The virtual environment could not be made: on Debian and Ubuntu install python3-venv, then try again" >&2; exit 1; }

$(VENV)/.app: requirements.txt requirements.lock constraints.txt | $(VENV)/bin/python
	@echo "Installing the pinned requirements into $(VENV) (once; PyTorch is large: a few minutes)"
	$(PIP) $(call needs,requirements)
	@touch $@

$(VENV)/.test: requirements-dev.txt requirements-dev.lock $(VENV)/.app
	$(PIP) $(call needs,requirements-dev)
	@touch $@

$(VENV)/.tools: | $(VENV)/bin/python
	@$(PYTHON) -m venv $(VENV)/tools
	$(VENV)/tools/bin/python -m pip --disable-pip-version-check install --quiet uv==0.13.9 pip-audit==2.10.1
	@touch $@
