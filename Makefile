# Needs Python >= 3.11 and Rust; everything else is installed into a virtual environment of its own.
# `make` lists what there is.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.tina-azr-installed
BUILD_INPUTS := pyproject.toml $(wildcard Cargo.toml Cargo.lock) \
	$(shell find crates rust -type f -not -path '*/target/*' -not -path 'crates/sandbox/fuzz/*' -not -name '*.md' 2>/dev/null)
FUZZ := crates/sandbox/fuzz
FUZZ_TARGETS ?= $(sort $(notdir $(basename $(wildcard $(FUZZ)/fuzz_targets/*.rs))))
FUZZ_SECONDS ?= 60
FUZZ_FLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help train test venv native lint lint-python lint-rust lint-fuzz test-rust test-python fuzz format configs

help: ## list the targets
	@echo "Targets:"
	@awk 'match($$0, /^[a-z-]+:.*## /) { split($$0, name, ":"); printf "  %-13s %s\n", name[1], substr($$0, RLENGTH + 1) }' $(MAKEFILE_LIST)
	@echo "Variables:"
	@echo "  ARGS=...      arguments for tina-azr train, or for pytest in test-python"
	@echo "  FUZZ_SECONDS=... for each fuzz target (now $(FUZZ_SECONDS)); FUZZ_TARGETS=... which (now $(FUZZ_TARGETS))"
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

# Needs a C++ compiler, for libFuzzer: not a part of `lint`. With the other crates' target folder most is there already.
lint-fuzz: ## rustfmt and clippy of the fuzz targets
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml --check
	cargo clippy --manifest-path $(FUZZ)/Cargo.toml --target-dir target --lib --bins --release --locked -- -D warnings

# Without a sanitizer: what is tried has no unsafe code, and so a stable toolchain does. Without comparisons, which cost most of the speed:
# dictionaries name what they would find. Optimised little: most of a short run is building.
# A stack of 8 MiB is what threads of Python have, and an eighth of the sandbox's own.
fuzz: export CARGO_PROFILE_RELEASE_OPT_LEVEL := 1
fuzz: ## FUZZ_SECONDS of each fuzz target; a fault fails, and its input stays in crates/sandbox/fuzz/artifacts
	@cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2; exit 1; }
	cargo fuzz build --fuzz-dir $(FUZZ) --target-dir target/fuzz --sanitizer none --no-trace-compares
	@ulimit -Ss 8192; for target in $(FUZZ_TARGETS); do \
		mkdir -p $(FUZZ)/corpus/$$target $(FUZZ)/artifacts/$$target; \
		words=$(FUZZ)/dictionaries/$$target.dict said=target/fuzz/$$target.log; \
		target/fuzz/*/release/$$target $(FUZZ)/corpus/$$target $(FUZZ)/seeds/$$target -artifact_prefix=$(FUZZ)/artifacts/$$target/ \
			$$(test ! -f $$words || echo -dict=$$words) -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=4096 \
			-print_funcs=0 -print_final_stats=1 $(FUZZ_FLAGS) >$$said 2>&1 || { tail -n 60 $$said; exit 1; }; \
		awk -v target=$$target '/number_of_exec/ { n = $$2 } /average_exec/ { printf "%s: %d runs, %d a second\n", target, n, $$2 }' $$said; \
	done

format: $(INSTALLED) ## rewrite sources as the formatters want them
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .
	cargo fmt --all
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml

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
	@echo "Installing into $(VENV): torch and the like are downloaded unless they are there, then the sandbox is built (Rust, wasmtime)."
	@echo "pip says nothing while it builds: that is minutes, the first time, out of some 8 on two idle cores."
	$(BIN)/python -m pip install --editable '.[dev]'
	@touch $@
