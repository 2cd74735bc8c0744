# Every target sets up what it needs: on a fresh machine `make demo` or `make test` is the first command.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
TOOLS  := .tools

.PHONY: demo test fuzz check format dashboard openapi screenshots lock bench clean

demo: $(VENV)/.ready            ## the main job, on this machine, without an account
	$(BIN)/order-relay demo

test: $(VENV)/.ready $(TOOLS)/.ready $(TOOLS)/.chromium  ## every test
	$(BIN)/pytest --numprocesses 2 --dist loadgroup $(ARGS)

fuzz: $(VENV)/.fuzz             ## every kind of storefront against whatever there can be: ARGS="shopify --seconds 600 --seed 7"
	$(BIN)/python -m tests.fuzzing $(ARGS)

check: $(VENV)/.ready $(TOOLS)/.ready  ## lint, types, imports, container files, alerts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml
	$(TOOLS)/bin/promtool check config deploy/prometheus.yml

bench: $(VENV)/.ready           ## how fast it is on this machine, as ratios in one run
	$(BIN)/order-relay bench

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dashboard: $(VENV)/.ready       ## write Grafana's dashboard anew from deploy/grafana/dashboard.py
	$(BIN)/python deploy/grafana/dashboard.py

openapi: $(VENV)/.ready         ## write the private API's document anew from relay/api/routes.py
	$(BIN)/python -c 'from relay.api import openapi; print(openapi.encoded().decode(), end="")' > docs/reference/openapi.json

screenshots: $(VENV)/.ready $(TOOLS)/.chromium  ## take the pictures of the console in docs/images anew; look at them
	$(BIN)/python -m tests.screenshots

lock: $(VENV)/.ready            ## resolve pyproject.toml anew into the four locked, hashed lists
	$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet uv
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --upgrade --extra tracing pyproject.toml -o deploy/requirements.txt
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --upgrade --extra tracing --group dev -c deploy/requirements.txt pyproject.toml \
	  -o deploy/requirements-dev.txt
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --upgrade --group pyproject.toml:fuzz -o deploy/requirements-fuzz.txt
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	  | $(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --upgrade -c deploy/requirements-dev.txt - -o deploy/requirements-build.txt

$(VENV)/.ready: deploy/requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r deploy/requirements-dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Where there is no wheel (atheris has them for Linux), cases are made from the seed alone.
$(VENV)/.fuzz: $(VENV)/.ready deploy/requirements-fuzz.txt
	$(BIN)/pip install --quiet --require-hashes --only-binary :all: -r deploy/requirements-fuzz.txt \
	  || echo "atheris cannot be installed here: the search is not guided by coverage"
	touch $@

$(TOOLS)/.ready: .ci/prometheus  ## what is no Python: Prometheus
	.ci/prometheus $(TOOLS)
	touch $@

$(TOOLS)/.chromium: .ci/chromium  ## and a browser
	.ci/chromium $(TOOLS)
	touch $@

clean:
	rm -rf $(VENV) $(TOOLS) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz
