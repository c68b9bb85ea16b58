# One way in: every target sets up first, and setting up happens once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo study test test-slow check bench lock clean

setup: $(READY)

# uv is fetched into the project's own folder, so that Python with pip is all a machine must have.
.uv/bin/uv:
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .uv uv

$(READY): requirements.lock pyproject.toml | .uv/bin/uv
	test -x $(BIN)/python || .uv/bin/uv venv --quiet --python "$$(command -v $(PYTHON))" $(VENV)
	.uv/bin/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps --require-hashes -r requirements.lock
	.uv/bin/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

demo: setup
	$(BIN)/mmcs demo

# Whatever is set on the command line goes on: make study trainer=gpu study.seeds=[0,1]
study: setup
	$(BIN)/mmcs study $(filter-out PYTHON=%,$(MAKEOVERRIDES))

test: setup
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow"

test-slow: setup
	$(BIN)/pytest -m slow

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m benchmarks.run $(if $(ONLY),--only $(ONLY))

# Pinned with hashes, without addresses: the same packages from whichever index serves them.
lock: .uv/bin/uv
	.uv/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --no-emit-find-links --quiet --output-file requirements.lock

clean:
	rm -rf $(VENV) .uv
