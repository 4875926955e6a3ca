# `make demo` shows what Causeway does; `make test` runs everything that CI runs; `make bench` measures, `make docs` builds the book. Each sets up
# what it needs.

VENV := target/venv
PYTHON := $(CURDIR)/$(VENV)/bin/python

.PHONY: demo test bench docs python php setup setup-bench setup-demo setup-docs

demo: setup-demo
	cargo build --profile demo
	PYTHON=$(PYTHON) scripts/demo.sh

test: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo xtask proto --check
	cargo xtask docs --check
	mdbook build
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace
	cargo deny --log-level error check bans licenses sources
	$(MAKE) python php
	PYTHON=$(PYTHON) cargo test --workspace -- --skip neighbours::
	PYTHON=$(PYTHON) cargo test --test it -- neighbours:: --test-threads 1
	scripts/no-process-left.sh

# SHORT=1: every row for a moment, in a debug build, as `make test` does it; BENCH holds more arguments, see tools/bench/README.md.
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

python:
	cd workers/python && $(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m mypy && $(PYTHON) -m pytest -q

php:
	find workers/php/src workers/php/examples workers/php/tests -name '*.php' -print0 | xargs -0 -n 1 php -l > target/php-lint.txt || (cat target/php-lint.txt; false)
	cd workers/php && phpunit

setup:
	scripts/setup.sh test

setup-bench:
	scripts/setup.sh bench

setup-demo:
	scripts/setup.sh demo

setup-docs:
	scripts/setup.sh docs
