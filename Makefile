# Every target starts from the locked virtual environment; see docs/running.md.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SOURCE ?=
# A path as it was typed, whatever signs are in it: the recipe reads it from the environment.
override SOURCE := $(value SOURCE)
export SOURCE
PEOPLE ?=
SEED   ?=
PROVIDER   ?=
PATIENTS   ?=
TOKEN_FILE ?=
KEY_FILE   ?=
CLIENT_ID  ?=
override PROVIDER   := $(value PROVIDER)
override PATIENTS   := $(value PATIENTS)
override TOKEN_FILE := $(value TOKEN_FILE)
override KEY_FILE   := $(value KEY_FILE)
override CLIENT_ID  := $(value CLIENT_ID)
export PROVIDER PATIENTS TOKEN_FILE KEY_FILE CLIENT_ID
STAMP  := $(VENV)/.installed

# A moved checkout, or a Python that is gone, leaves an environment whose commands do not start: it is built anew.
ifneq ($(shell grep -qsF "$(CURDIR)/$(VENV)/bin/" $(BIN)/charthouse && $(BIN)/python -c "" 2>/dev/null && echo whole),whole)
$(shell rm -f $(STAMP))
endif

.PHONY: help install nightly test airflow check lock docs bench clean
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(STAMP)  ## build .venv from the lock

$(STAMP): requirements.txt pyproject.toml .ci/install
	@PYTHON="$(PYTHON)" VENV="$(VENV)" bash .ci/install
	@touch $(STAMP)

nightly: $(STAMP)  ## one real night (SOURCE=DIR: your own FHIR files; PROVIDER=URL [PATIENTS=ID,ID|@FILE|all] [TOKEN_FILE=FILE | KEY_FILE=FILE CLIENT_ID=ID]: your own FHIR server; else PEOPLE=25 SEED=1 made-up people: other numbers are another folder)
	$(if $(and $(SOURCE),$(PEOPLE)$(SEED)),$(error SOURCE brings its own people: PEOPLE and SEED are for made-up ones))
	$(if $(and $(value PROVIDER),$(value SOURCE)$(PEOPLE)$(SEED)),$(error PROVIDER brings its own patients: SOURCE, PEOPLE and SEED are for the sandbox))
	$(if $(value PROVIDER),,$(if $(value PATIENTS)$(value TOKEN_FILE)$(value KEY_FILE),$(error PATIENTS, TOKEN_FILE and KEY_FILE go with PROVIDER=URL)))
	@$(BIN)/charthouse nightly $${SOURCE:+--source "$$SOURCE"} $(if $(PEOPLE),--people $(PEOPLE)) $(if $(SEED),--seed $(SEED)) \
	  $${PROVIDER:+--provider "$$PROVIDER"} $${PATIENTS:+--patients "$$PATIENTS"} $${TOKEN_FILE:+--token-file "$$TOKEN_FILE"} \
	  $${KEY_FILE:+--key-file "$$KEY_FILE"} $${CLIENT_ID:+--client-id "$$CLIENT_ID"}

test: check  ## lint, types, import arrows, then every test
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

airflow: $(STAMP)  ## Airflow with its web page, the sandbox beside it, and a printed login
	@$(BIN)/charthouse airflow

check: $(STAMP)  ## lint, format, types, generated files, schema changes and import arrows only
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/python -m transforms.tables --check
	@$(BIN)/lint-imports --no-cache --no-logo 2>/dev/null || $(BIN)/lint-imports --no-cache

lock: $(STAMP)  ## recompile requirements.txt from pyproject.toml
	@$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev --no-header --quiet pyproject.toml -o requirements.txt

bench: $(STAMP)  ## the benchmarks, as ratios
	@$(BIN)/python -m benchmarks.night

clean:  ## remove var/, all run-time files (asks nothing: the sandbox can make them again)
	rm -rf var
