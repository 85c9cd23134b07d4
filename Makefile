# Needs Python >= 3.11 and Rust; everything else is installed into a virtual environment of its own.
# `make` lists what there is.

PYTHON ?= python3
VENV ?= .venv
LINT_VENV ?= .venv-lint
PEER_VENVS ?= .venv-peers
ARGS ?=
JOBS ?= auto

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.tina-azr-installed
BUILD_INPUTS := pyproject.toml $(wildcard Cargo.toml Cargo.lock) \
	$(shell find crates rust -type f -not -path '*/target/*' -not -path 'crates/sandbox/fuzz/*' -not -name '*.md' 2>/dev/null)
LINT := $(LINT_VENV)/bin/python
LINT_INSTALLED := $(LINT_VENV)/.installed
# Tests start in the order of `testpaths`, so the short ones come last and no process waits long for another.
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --maxprocesses 8 --no-loadscope-reorder
PEERS ?= $(sort $(notdir $(patsubst %/requirements.txt,%,$(wildcard tests/peers/*/requirements.txt))))
PRESETS := python/tina_azr/config/preset_files
FUZZ := crates/sandbox/fuzz
FUZZ_TARGETS ?= $(sort $(notdir $(basename $(wildcard $(FUZZ)/fuzz_targets/*.rs))))
FUZZ_SECONDS ?= 60
FUZZ_FLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help train check test venv native lint lint-python ruff types rustfmt lint-rust lint-fuzz test-rust test-python peers fuzz format configs

help: ## list the targets
	@echo "Targets:"
	@awk 'match($$0, /^[a-z-]+:.*## /) { split($$0, name, ":"); printf "  %-13s %s\n", name[1], substr($$0, RLENGTH + 1) }' $(MAKEFILE_LIST)
	@echo "Variables:"
	@echo "  ARGS=...      arguments for tina-azr train, or for pytest in test-python"
	@echo "  FUZZ_SECONDS=... for each fuzz target (now $(FUZZ_SECONDS)); FUZZ_TARGETS=... which (now $(FUZZ_TARGETS))"
	@echo "  JOBS=...      processes that pytest runs tests in (now $(JOBS): one a core, at most 8); 0 runs them in one, for a debugger"
	@echo "  PEERS=...     products that \`make peers\` tests against (now $(PEERS))"
	@echo "  PYTHON=...    interpreter that the environment is made with; if it has torch, that torch is used"
	@echo "  VENV=...      environment to install into (now $(VENV)); an existing one is used as it is"

train: $(INSTALLED) ## install if needed, then train the embedded model by self-play: 15 minutes on two cores
	$(BIN)/tina-azr train $(ARGS)

check: ruff types ## under two minutes on a built tree and two free cores: ruff, mypy in strict mode, tests that are not slow
	$(PYTEST) -m "not slow" $(ARGS)

test: lint test-rust test-python ## install if needed, then every check: what CI runs

venv: $(BIN)/python ## make the virtual environment, with pip and nothing else in it

native: $(INSTALLED) ## build and install, if pyproject.toml or a Rust source has changed

lint: ruff rustfmt types lint-rust ## formatting, lints and types, Python and Rust

# Nothing is built: torch and the other large packages are absent, and mypy takes their types for Any. `make types` checks the rest.
lint-python: ruff ## ruff, and mypy without the types of torch: needs no build
	$(LINT) -m mypy --config-file .ci/mypy-without-torch.ini

ruff: $(LINT_INSTALLED) ## ruff: lint and format
	$(LINT) -m ruff check .
	$(LINT) -m ruff format --check .

types: $(INSTALLED) ## mypy in strict mode, with the types of all installed packages
	$(BIN)/python -m mypy

rustfmt: ## rustfmt: needs no build
	cargo fmt --all --check

lint-rust: $(INSTALLED) rustfmt ## rustfmt and clippy
	PATH="$(abspath $(BIN)):$$PATH" PYO3_PYTHON="$(abspath $(BIN))/python" \
		cargo clippy --workspace --all-targets --release --locked -- -D warnings

# Release: the profile that the install has built wasmtime with, which is most of the work.
test-rust: $(INSTALLED) ## cargo test
	PATH="$(abspath $(BIN)):$$PATH" PYO3_PYTHON="$(abspath $(BIN))/python" cargo test --workspace --release --locked

test-python: $(INSTALLED) ## pytest, in JOBS processes
	$(PYTEST) $(ARGS)

# The server comes from $(VENV); the product that it is tested against has an environment of its own, as two products may need two torches.
peers: $(PEERS:%=peer-%) ## tests against other products (tests/peers), PEERS=name for one: not part of `test`

peer-%: $(PEER_VENVS)/%/.installed $(INSTALLED)
	TINA_AZR="$(abspath $(BIN))/tina-azr" $(PEER_VENVS)/$*/bin/python -m pytest -c tests/peers/pytest.ini tests/peers/$* $(ARGS)

.PRECIOUS: $(PEER_VENVS)/%/.installed
$(PEER_VENVS)/%/.installed: tests/peers/%/requirements.txt
	$(require-python)
	$(PYTHON) -m venv --clear $(PEER_VENVS)/$*
	$(PEER_VENVS)/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $< pytest pytest-timeout
	@touch $@

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

format: $(LINT_INSTALLED) ## rewrite sources as the formatters want them
	$(LINT) -m ruff check --fix .
	$(LINT) -m ruff format .
	cargo fmt --all
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml

configs: $(INSTALLED) ## write configs/tiny_self_play.yaml after a setting has changed, and copy configs/ to the presets of the package
	{ sed '/^$$/q' configs/tiny_self_play.yaml; $(BIN)/tina-azr config show --comments; } > configs/.new
	mv configs/.new configs/tiny_self_play.yaml
	for file in configs/*.yaml; do cp $$file $(PRESETS)/$$(basename $$file | tr _ -); done

define require-python
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "$(PYTHON) is missing or older than 3.11: give another with PYTHON=/path/to/python3" >&2; exit 1; }
endef

# `--group` needs pip 25.1, and the pip that Python 3.11 and 3.12 bring is older.
$(LINT_INSTALLED): pyproject.toml
	$(require-python)
	@echo "Installing ruff, mypy and a few packages with types into $(LINT_VENV): once, half a minute."
	@$(PYTHON) -m venv $(LINT_VENV)
	@$(LINT) -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(LINT) -m pip install --quiet --group lint
	@touch $@

# The Linux wheel of torch brings CUDA libraries, 5 GB: where the interpreter has a torch already, the environment sees it.
$(BIN)/python:
	$(require-python)
	$(PYTHON) -m venv $$($(PYTHON) -c 'import importlib.util as u; print("--system-site-packages" if u.find_spec("torch") else "")') $(VENV)

# Editable: Python sources are used where they are, so only the build inputs ask for a new install.
$(INSTALLED): $(BUILD_INPUTS) | $(BIN)/python
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust (rustup.rs, or the system's package)" >&2; exit 1; }
	@echo "Installing into $(VENV): torch and the like are downloaded unless they are there, then the sandbox is built (Rust, wasmtime)."
	@echo "pip says nothing while it builds: that is minutes, the first time, out of some 8 on two idle cores."
	$(BIN)/python -m pip install --editable '.[dev]'
	@touch $@
