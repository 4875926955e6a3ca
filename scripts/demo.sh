#!/usr/bin/env bash
# Runs Causeway with the PHP example and then the Python example, sends the usual events, and prints each request with its answer.
set -euo pipefail
cd "$(dirname "$0")/.."
causeway=$PWD/target/demo/causeway
python=${PYTHON:-python3}
centrifugo=${CENTRIFUGO:-}
[ -n "$centrifugo" ] || { [ -x target/bin/centrifugo ] && centrifugo=$PWD/target/bin/centrifugo; } || centrifugo=$(command -v centrifugo || true)
folder=$(mktemp -d)
server='' front=''
stop() {
    for pid in $front $server; do
        kill "$pid" 2>/dev/null && wait "$pid" || true
    done
    server='' front=''
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
    [ -n "$centrifugo" ] && through_centrifugo
    stop
}

ask() {
    echo "--> $*"
    "$causeway" call --address "$address" --json "$@" | sed 's/^/    /'
}

# A real Centrifugo in front: its HTTP stream transport needs no more than curl.
through_centrifugo() {
    port=$((20000 + RANDOM % 20000))
    proxy="{\"endpoint\":\"grpc://$address\",\"timeout\":\"3s\",\"enabled\":true}"
    cat >"$folder/centrifugo.json" <<JSON
{"http_server":{"address":"127.0.0.1","port":"$port"},"client":{"allowed_origins":["*"],"proxy":{"connect":$proxy}},"http_stream":{"enabled":true}}
JSON
    "$centrifugo" -c "$folder/centrifugo.json" >"$folder/centrifugo.log" 2>&1 &
    front=$!
    for _ in $(seq 100); do
        curl -s -o /dev/null "http://127.0.0.1:$port/" && break
        sleep 0.05
    done
    echo "--> a client of $("$centrifugo" version 2>/dev/null | head -1) connects"
    curl -s --max-time 1 -X POST "http://127.0.0.1:$port/connection/http_stream" -d '{"id":1,"connect":{"data":{"user":"ann"}}}' |
        sed -n '1s/^/    /p' || true
}

play PHP "php $PWD/workers/php/examples/app.php"
play Python "$python $PWD/workers/python/examples/app.py"
echo
echo "Now with your own application: write a .rr.yaml, then run: $causeway serve"
