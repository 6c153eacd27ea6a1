#!/usr/bin/env bash
# Every check that needs no test run. All of them run; the exit status says whether one failed.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH

if ! [ -x .venv/bin/ruff ]; then
  echo "check: there is no .venv yet; run \`make setup\` first" >&2
  exit 1
fi

failed=()
check() { # check NAME COMMAND...
  local name=$1
  shift
  echo "check: $name"
  "$@" || failed+=("$name")
}

check "ruff" ruff check --quiet --output-format concise
check "ruff format" ruff format --check --quiet --output-format concise
check "mypy" mypy --no-error-summary
check "shellcheck" shellcheck scripts/*.sh benchmarks/gpu.sh deploy/images/install.sh .ci/run
check "buf lint" buf lint
check "buf breaking" scripts/breaking.sh
check "generated stubs" python scripts/protos.py --check
check "dashboards" python -m deploy.observability --check
check "chart's schema and README" python -m scripts.chart_docs --check
check "hosts and machine paths" python scripts/strays.py

if ((${#failed[@]})); then
  printf 'check: FAILED %s\n' "${failed[@]}" >&2
  exit 1
fi
