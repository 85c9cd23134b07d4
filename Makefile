# Needs Python >= 3.11 and Rust; everything else is installed into a virtual environment of its own.
# `make` lists what there is.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.tina-azr-installed
BUILD_INPUTS := pyproject.toml $(wildcard Cargo.toml Cargo.lock) \
	$(shell find crates rust -type f -not -path '*/target/*' -not -name '*.md' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help train test venv native lint lint-python lint-rust test-rust test-python format configs

help: ## list the targets
	@echo "Targets:"
	@awk 'match($$0, /^[a-z-]+:.*## /) { split($$0, name, ":"); printf "  %-13s %s\n", name[1], substr($$0, RLENGTH + 1) }' $(MAKEFILE_LIST)
	@echo "Variables:"
	@echo "  ARGS=...      arguments for tina-azr train, or for pytest in test-python"
	@echo "  PYTHON=...    interpreter that the environment is made with; if it has torch, that torch is used"
	@echo "  VENV=...      environment to install into (now $(VENV)); an existing one is used as it is"

train: $(INSTALLED) ## install if needed, then train the embedded model by self-play: 15 minutes on two cores
	$(BIN)/tina-azr train $(ARGS)

test: lint test-rust test-python ## install if needed, then every check: what CI runs

venv: $(BIN)/python ## make the virtual environment, with pip and nothing else in it

native: $(INSTALLED) ## build and install, if pyproject.toml or a Rust source has changed

lint: lint-python lint-rust ## formatting, lints and types, Python and Rust

lint-python: $(INSTALLED) ## ruff and mypy
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

lint-rust: $(INSTALLED) ## rustfmt and clippy
	cargo fmt --all --check
	PATH="$(abspath $(BIN)):$$PATH" PYO3_PYTHON="$(abspath $(BIN))/python" \
		cargo clippy --workspace --all-targets --release --locked -- -D warnings

# Release: the profile that the install has built wasmtime with, which is most of the work.
test-rust: $(INSTALLED) ## cargo test
	PATH="$(abspath $(BIN)):$$PATH" PYO3_PYTHON="$(abspath $(BIN))/python" cargo test --workspace --release --locked

test-python: $(INSTALLED) ## pytest
	$(BIN)/python -m pytest $(ARGS)

format: $(INSTALLED) ## rewrite sources as the formatters want them
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .
	cargo fmt --all

configs: $(INSTALLED) ## write configs/tiny_self_play.yaml anew, after a setting has changed
	{ sed '/^$$/q' configs/tiny_self_play.yaml; $(BIN)/tina-azr config show --comments; } > configs/.new
	mv configs/.new configs/tiny_self_play.yaml

# The Linux wheel of torch brings CUDA libraries, 5 GB: where the interpreter has a torch already, the environment sees it.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is missing or older than 3.11: give another with PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $$($(PYTHON) -c 'import importlib.util as u; print("--system-site-packages" if u.find_spec("torch") else "")') $(VENV)

# Editable: Python sources are used where they are, so only the build inputs ask for a new install.
$(INSTALLED): $(BUILD_INPUTS) | $(BIN)/python
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust (rustup.rs, or the system's package)" >&2; exit 1; }
	$(BIN)/python -m pip install --editable '.[dev]'
	@touch $@
