# The same on a laptop and in CI. `make help` lists what there is.
#   PYTHON=python3.12   which Python makes the environment
#   GPU=1               TensorFlow for NVIDIA GPUs
#   PORT=5000           where `make ui` listens
#   MINUTES=5           how long each contestant of `make bench` trains
#   PHOTOS=folder       what `make bench` measures with, else data.source

PYTHON ?= python3
PORT ?= 5000
MINUTES ?= 5
KIND = $(if $(GPU),gpu,runtime)
IN_VENV = PATH="$(CURDIR)/.venv/bin:$$PATH" VIRTUAL_ENV="$(CURDIR)/.venv"

.PHONY: help setup repro report ui bench test lint format lock

help: ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: ## Make the environment .venv from the lock
	@PYTHON="$(PYTHON)" sh tools/environment.sh $(KIND)

repro: setup ## Run the pipeline on data.source of params.yaml, and say where the results are
	@$(IN_VENV) dvc repro
	@echo "Report:   $(CURDIR)/reports/report.html and $(CURDIR)/reports/feature_maps.html"
	@echo "Runs:     make ui, then http://127.0.0.1:$(PORT)"
	@echo "Predict:  .venv/bin/convlens predict PHOTO..."

report: ## Open the pages in the browser
	@$(PYTHON) -m webbrowser "file://$(CURDIR)/reports/report.html"
	@$(PYTHON) -m webbrowser "file://$(CURDIR)/reports/feature_maps.html"

ui: setup ## Browse runs and models with MLflow
	@$(IN_VENV) MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
		mlflow ui --host 127.0.0.1 --port $(PORT) \
		--backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/mlflow.db}"

bench: setup ## Measure training and reading beside what one would write instead
	@$(IN_VENV) convlens bench data $(if $(PHOTOS),--photos "$(PHOTOS)")
	@$(IN_VENV) convlens bench train --minutes $(MINUTES) $(if $(PHOTOS),--photos "$(PHOTOS)")

dev:
	@PYTHON="$(PYTHON)" sh tools/environment.sh dev

test: dev ## Run all tests
	@$(IN_VENV) pytest

lint: dev ## Check style, types, import contracts, workflows and YAML files
	@$(IN_VENV) ruff check .
	@$(IN_VENV) ruff format --check .
	@$(IN_VENV) mypy
	@$(IN_VENV) lint-imports
	@$(IN_VENV) check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(IN_VENV) zizmor --offline --quiet .github/workflows
	@if [ -x tools/page/node_modules/.bin/tsc ]; then tools/page/node_modules/.bin/tsc -p tools/page; \
		else echo "lint: the page's types are not checked; npm ci --prefix tools/page installs what does it"; fi

format: dev ## Put the code into the house's format
	@$(IN_VENV) ruff check --fix .
	@$(IN_VENV) ruff format .

lock: dev ## Solve the locks anew from pyproject.toml
	@$(IN_VENV) sh tools/lock.sh
