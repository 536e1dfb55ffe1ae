# Two commands do everything: `make app` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PORT ?= 8501
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet

.PHONY: app test pictures clean help

app: $(VENV)/.app  ## install what is needed and open the app on http://localhost:8501
	$(VENV)/bin/streamlit run app.py --server.port $(PORT)

test: $(VENV)/.test  ## run the default test suite
	$(VENV)/bin/python -m pytest -n 2 -m "not browser" $(PYTEST_ARGS)
	$(VENV)/bin/python -m pytest -m browser $(PYTEST_ARGS)

pictures: $(VENV)/.test  ## take README's pictures of the running app (needs Chromium)
	$(VENV)/bin/python -m docs.pictures

clean:  ## remove the virtual environment
	rm -rf $(VENV)

help:
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/'

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 was not found: install it, or name it with make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else f"Python 3.11 to 3.13 is needed, {sys.version.split()[0]} was found: name another with make PYTHON=...")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "The virtual environment could not be made: on Debian and Ubuntu install python3-venv, then try again" >&2; exit 1; }

$(VENV)/.app: requirements.txt constraints.txt | $(VENV)/bin/python
	@echo "Installing the pinned requirements into $(VENV) (once; PyTorch is large: a few minutes)"
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.test: requirements-dev.txt $(VENV)/.app
	$(PIP) -r requirements-dev.txt
	@touch $@
