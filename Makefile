# `make demo` opens a cinema whose seats are booked in browsers, `make test` runs everything that CI runs, `make bench` measures, `make docs`
# builds the book. Each installs what it needs.

VENV := target/venv
PYTHON := $(CURDIR)/$(VENV)/bin/python
NEXTEST := $(VENV)/bin/cargo-nextest nextest run --profile ci

.PHONY: demo test bench docs python php setup-demo setup-test setup-bench setup-docs

# CHECK=1: without a person, for CI.
demo: setup-demo
	cargo build --profile demo
	PYTHON=$(PYTHON) CHECK=$(CHECK) scripts/demo.sh

# With as many random cases as each test says, not with the few of .cargo/config.toml.
test: export BOLERO_RANDOM_ITERATIONS :=
test: export PROPTEST_CASES := 256
test: setup-test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo xtask proto --check
	cargo xtask docs --check
	mdbook build
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace
	cargo deny --log-level error check bans licenses sources
	$(MAKE) python php
	PYTHON=$(PYTHON) $(NEXTEST) --package causeway --package causeway-bench
	$(NEXTEST) --package interleavings --package causeway-fleet
	scripts/no-process-left.sh

# SHORT=1: every row briefly, in a debug build, as its test does. BENCH has more arguments, see tools/bench/README.md.
bench: setup-bench
ifdef SHORT
	PYTHON=$(PYTHON) cargo run --package causeway-bench -- --short $(BENCH)
else
	cargo build --release
	cargo build --release --package causeway-bench
	PYTHON=$(PYTHON) target/release/causeway-bench --causeway target/release/causeway $(BENCH)
endif

# The book, in target/book/index.html.
docs: setup-docs
	cargo xtask docs
	mdbook build

CINEMA := ../../examples/cinema
python:
	cd workers/python && $(PYTHON) -m ruff check . $(CINEMA)
	cd workers/python && $(PYTHON) -m ruff format --check . $(CINEMA)
	cd workers/python && $(PYTHON) -m mypy && MYPYPATH=src $(PYTHON) -m mypy $(CINEMA)/*.py && $(PYTHON) -m pytest -q

php:
	find workers/php/src workers/php/examples workers/php/tests examples -name '*.php' -print0 | xargs -0 -n 1 php -l > target/php-lint.txt || (cat target/php-lint.txt; false)
	! command -v composer >/dev/null || composer validate --strict --quiet --working-dir=workers/php
	! test -x workers/php/vendor/bin/phpstan || (cd workers/php && vendor/bin/phpstan analyse --no-progress)
	cd workers/php && phpunit

setup-demo setup-test setup-bench setup-docs:
	scripts/setup.sh $(@:setup-%=%)
