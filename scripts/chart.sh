#!/usr/bin/env bash
# Check the chart and the images' Dockerfile with the real tools; the last line says what was checked, in numbers.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH
chart=deploy/helm/vitrine
release=(demo "$chart" --namespace shop)

python -m scripts.chart_docs --check

for helm in .venv/tools/helm3 .venv/tools/helm4; do
  version=$("$helm" version --short)
  for values in "$chart"/examples/*.yaml; do
    "$helm" lint --strict --quiet "$chart" --values "$values"
    kinds=$("$helm" template "${release[@]}" --values "$values" | grep '^kind:' | sort | uniq -c \
      | awk '{ printf "%s%d %s", separator, $1, $3; separator = ", " }')
    echo "chart: helm ${version%%+*}, $(basename "$values" .yaml): $kinds"
  done
done

exec python -m pytest --quiet -o faulthandler_timeout=120 --chart-line tests/deploy
