#!/usr/bin/env bash
# Runs the cinema of examples/cinema until Ctrl-C, or with CHECK=1 plays it without a person. Without Centrifugo, runs Causeway with the PHP
# example and then the Python example, sends the usual events in Centrifugo's place, and prints each request with its answer.
set -euo pipefail
cd "$(dirname "$0")/.."
causeway=${CAUSEWAY:-$PWD/target/demo/causeway}
python=${PYTHON:-python3}
centrifugo=${CENTRIFUGO:-}
[ -n "$centrifugo" ] || { [ -x target/bin/centrifugo ] && centrifugo=$PWD/target/bin/centrifugo; } || centrifugo=$(command -v centrifugo || true)
if [ -n "$centrifugo" ]; then
    exec "$python" examples/cinema/demo.py --causeway "$causeway" --centrifugo "$centrifugo" ${CHECK:+--check}
fi
folder=$(mktemp -d)
server=''
stop() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" || true; }
    server=''
}
trap 'stop; rm -rf "$folder"' EXIT

play() { # name, command
    echo
    echo "=== $1: $2"
    cat >"$folder/.rr.yaml" <<YAML
version: '3'
server:
  command: "$2"
centrifuge:
  proxy_address: tcp://127.0.0.1:0
  pool:
    num_workers: 2
logs:
  level: warn
YAML
    : >"$folder/out"
    "$causeway" serve -c "$folder/.rr.yaml" >"$folder/out" &
    server=$!
    until grep -q 'address: ' "$folder/out"; do
        kill -0 $server || exit 1
        sleep 0.05
    done
    address=$(sed -n 's/.*address: //p' "$folder/out")
    ask connect --data '{"user":"ann"}'
    ask connect --data '{"deny":true}'
    ask subscribe --channel news --user ann
    ask subscribe --channel private:1 --user ann
    ask publish --channel news --user ann --data '{"text":"hello"}'
    ask publish --channel readonly --user ann --data '{"text":"hello"}'
    ask rpc --method sum --user ann --data '{"a":1,"b":2}'
    ask rpc --method fail --user ann
    ask rpc --method kick --user ann
    ask refresh --user ann
    ask sub_refresh --channel news --user ann
    stop
}

ask() {
    echo "--> $*"
    "$causeway" call --address "$address" --json "$@" | sed 's/^/    /'
}

play PHP "php $PWD/workers/php/examples/app.php"
play Python "$python $PWD/workers/python/examples/app.py"
echo
echo "There is no Centrifugo, so its part was played by \`causeway call\`. With Go installed, or with \$CENTRIFUGO, \`make demo\` opens a cinema"
echo "whose seats are booked in browsers. With your own application: write a .rr.yaml, then run: $causeway serve"
