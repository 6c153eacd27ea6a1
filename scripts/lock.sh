#!/usr/bin/env bash
# Resolve pyproject.toml into hashed pins without host names. The sets of single services follow all-cpu, so that a
# package has one version everywhere.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() { # compile OUTPUT ARGUMENTS...
  local output=requirements/$1
  shift
  .venv/bin/uv pip compile pyproject.toml --quiet --generate-hashes --no-emit-index-url --no-header \
    --python-version 3.11 --output-file "$output" "$@"
  echo "lock: $output"
}

compile all-cpu.txt --extra all-cpu --extra dev "$@"
for service in gateway ranker embedder vectorsearch-cpu trainer; do
  compile "$service.txt" --extra "$service" --constraints requirements/all-cpu.txt
done
compile vectorsearch-cuda.txt --extra vectorsearch-gpu --constraints requirements/all-cpu.txt

# What builds the wheel that goes into the images.
.venv/bin/uv pip compile requirements/build.in --quiet --generate-hashes --no-emit-index-url --no-header \
  --python-version 3.11 --output-file requirements/build.txt --constraints requirements/all-cpu.txt
echo "lock: requirements/build.txt"

# What the embedder is measured against, in an environment of its own.
.venv/bin/uv pip compile requirements/bench.in --quiet --generate-hashes --no-emit-index-url --no-header \
  --python-version 3.11 --output-file requirements/bench.txt
echo "lock: requirements/bench.txt"
