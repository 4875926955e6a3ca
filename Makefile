# `make demo` shows what Causeway does; `make test` runs everything that CI runs. Both set up what they need.

VENV := target/venv
PYTHON := $(CURDIR)/$(VENV)/bin/python

.PHONY: demo test lint setup setup-demo rust python php release

demo: setup-demo
	cargo build --release
	PYTHON=$(PYTHON) scripts/demo.sh

test: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo xtask proto --check
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace
	cargo deny --log-level error check bans licenses sources
	$(MAKE) python php
	PYTHON=$(PYTHON) cargo test --workspace
	scripts/no-process-left.sh

python:
	cd workers/python && $(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m mypy && $(PYTHON) -m pytest -q

php:
	find workers/php/src workers/php/examples workers/php/tests -name '*.php' -print0 | xargs -0 -n 1 php -l > target/php-lint.txt || (cat target/php-lint.txt; false)
	cd workers/php && phpunit

setup:
	scripts/setup.sh test

setup-demo:
	scripts/setup.sh demo
