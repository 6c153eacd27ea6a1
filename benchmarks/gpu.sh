#!/usr/bin/env bash
# Measure the embedder and FAISS on a CUDA card: benchmarks/gpu.sh [CATALOG_DIR] [--quick] [--results DIR]. Makes an
# environment of its own in .venv/gpu, since FAISS's build for cards cannot lie beside the one for CPUs; PYTHON names
# another interpreter, which must have all packages. Exits 3 where there is no card.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv/gpu

say() { echo "gpu: $*" >&2; }

install() {
  say "installing into $venv (some gigabytes)"
  python3 -m venv --clear $venv
  # The versions that the tests ran with, as constraints, which must not carry hashes.
  grep -oE '^[a-z0-9._-]+==[^ ]+' requirements/all-cpu.txt | grep -v '^faiss' >$venv/constraints.txt
  $venv/bin/python -m pip install --quiet --constraint $venv/constraints.txt --editable '.[embedder,vectorsearch-gpu]' psutil
  touch $venv/complete
}

case " $* " in
  *" --device cpu "*) ;;
  *)
    if ! nvidia-smi -L 2>/dev/null | grep -q .; then
      say "there is no CUDA card here"
      exit 3
    fi
    ;;
esac

python=${PYTHON:-}
if [ -z "$python" ]; then
  if ! [ -e $venv/complete ]; then install; fi
  python=$venv/bin/python
fi
"$python" -m vitrine models pull || say "some models could not be fetched; their parts will say so"
exec "$python" -m benchmarks.gpu "$@"
