#!/usr/bin/env bash
# Fails if a process of the tests is still running: a worker, a server or a guard.
set -euo pipefail
cd "$(dirname "$0")/.."
for _ in $(seq 50); do
    left=$(pgrep -af "$PWD/(tests/workers|workers/(php|python)/examples|examples/cinema|target/(debug|release|demo)/causeway)|causeway-guard" || true)
    [ -z "$left" ] && exit 0
    # The guard of a killed server exits a moment after it.
    sleep 0.1
done
echo "these processes outlived the tests:" >&2
echo "$left" >&2
exit 1
