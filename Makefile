# The verbs of the project. Each sets itself up from nothing but python3 (3.11 or newer) and make; CI calls them and nothing else.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
# Optional parts that the tests use.
TESTED := $(addprefix --extra ,aws compress gcp measure postgres serve trace)
# What the image (Dockerfile) is made of: the parts that serve and hatchling, which builds; and what only planning needs, left out.
SERVED := $(addprefix --extra ,aws gcp postgres serve trace)
PLANNING := $(addprefix --no-emit-package ,highspy llvmlite numba vl-convert-python)

.PHONY: demo serve test check bench docs fix lock clean

demo: $(READY)  ## plan the chatbot example into out/chatgenius/
	$(BIN)/tightrope plan examples/chatgenius/workload.yaml --out out/chatgenius

serve: .venv/ready-dev  ## serve all-MiniLM-L6-v2 on port 8000
	$(BIN)/python examples/minilm/fetch.py
	$(BIN)/tightrope serve examples/minilm/serve.yaml

# FAST=1: the rooms whose tests plan nothing and start no server.
ifdef FAST
CHOSEN := $(addprefix tests/,base contracts demand offers policy render)
endif

test: .venv/ready-dev  ## the whole test suite, or with FAST=1 what takes less than a minute; the ten slowest tests are listed
	$(BIN)/python -m pytest -n auto --dist loadfile --durations=10 $(CHOSEN)

check: .venv/ready-dev  ## style, types, layers, unique class names, freshness of the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check
	$(BIN)/lint-imports
	$(BIN)/python .ci/unique_classes.py
	$(BIN)/python -m docs.generate --check

bench: .venv/ready-dev  ## every benchmark, as ratios against a peer of the same run
	$(BIN)/python -m benchmarks

docs: .venv/ready-dev  ## rewrite the generated pages of docs/ and README.md
	$(BIN)/python -m docs.generate

fix: .venv/ready-dev  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/ready-dev  ## renew the pins
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header -c requirements.lock $(TESTED) --group dev -o requirements-dev.lock pyproject.toml
	echo 'hatchling>=1.27,<2' | $(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --no-annotate -c requirements-dev.lock $(SERVED) $(PLANNING) -o requirements-serve.lock pyproject.toml -

clean:  ## remove what the verbs made
	rm -rf .venv out build dist

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "python3 3.11 or newer is needed; set PYTHON=…")'
	$(PYTHON) -m venv .venv

$(READY): requirements.lock pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

.venv/ready-dev: requirements-dev.lock $(READY)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
