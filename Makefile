# testudo: `make demo` runs the main job, `make test` the tests. Both need only Python 3.11+ and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test check format bench docs lock clean

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)
	$(BIN)/testudo study quickstart

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps torchattacks==3.5.1
	$(BIN)/python -m benchmarks

# the site is the repository's own pages in the repository's own tree: a link leads there where it does in a checkout
PAGES := README.md CONTRIBUTING.md CHANGELOG.md CITATION.cff LICENSE docs recipes benchmarks

docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.lock
	mkdir -p build/pages
	for page in $(PAGES); do ln -sfn ../../$$page build/pages/$$page; done
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "site/index.html"

# after a change of dependencies: what a fresh environment resolves to, torch without its local version tag
lock:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet ".[dev]" hatchling editables
	$(BIN)/python -m pip uninstall --quiet --yes testudo
	$(BIN)/python -m pip freeze | sed 's/+cpu//' > requirements.lock

clean:
	rm -rf $(VENV) build site
