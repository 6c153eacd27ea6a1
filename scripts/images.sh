#!/usr/bin/env bash
# Build the images of deploy/images/Dockerfile and see that they start.
#
#   scripts/images.sh build TARGET...   build images localhost/vitrine/TARGET:VERSION
#   scripts/images.sh start TARGET...   run each as a cluster would and look at it from inside
#   scripts/images.sh base              make the local base that `build` uses where no registry is in reach
#   scripts/images.sh remove            remove all images, volumes and caches that were made here
#
# Docker is used where its daemon answers; otherwise podman and buildah. BASE_IMAGE names another base than the
# Dockerfile's, VITRINE_MODELS_DIR where the weights are that go into `models`.
set -euo pipefail
cd "$(dirname "$0")/.."
project=localhost/vitrine
local_base=$project/base:bookworm
models_volume=vitrine-check-models

say() { echo "images: $*"; }
fail() {
  echo "images: $*" >&2
  exit 1
}

work=$(mktemp -d)
container=
finish() {
  if [ -n "$container" ]; then engine rm --force "$container" >/dev/null 2>&1 || true; fi
  rm -rf "$work"
}
trap finish EXIT

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' vitrine/__init__.py)

# --- what there is to build and run with ---------------------------------------------------------------------------

need() { # need PROGRAM...: programs that are called as their Debian packages are
  local packages=() program
  for program in "$@"; do command -v "$program" >/dev/null || packages+=("$program"); done
  ((${#packages[@]})) || return 0

  local install="apt-get install -y --no-install-recommends ${packages[*]}"
  # Pods that find each other by name: deploy/drills wants them.
  if [[ " ${packages[*]} " == *" podman "* ]]; then install+=" netavark aardvark-dns"; fi
  if [ "$(id -u)" != 0 ] || ! [ -e /etc/debian_version ]; then
    fail "Docker's daemon, or ${packages[*]}, must be there; on Debian, as root: apt-get update && $install"
  fi
  say "$install"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >/dev/null
  # shellcheck disable=SC2086  # The words of the command are what is wanted.
  $install -q >/dev/null
}

choose_engine() {
  if docker info >/dev/null 2>&1; then
    engine=docker
    return
  fi
  engine=podman
  need podman buildah
  # Where control groups are not those of version 2 alone, crun and the limits that podman sets by itself fail.
  if [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then
    need runc
    mkdir -p var
    export CONTAINERS_CONF=$PWD/var/containers.conf
    cat >"$CONTAINERS_CONF" <<'CONF'
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
CONF
  fi
}

engine() { "$engine" "$@"; }

# --- build ---------------------------------------------------------------------------------------------------------

# A base like the Dockerfile's out of Debian's own packages.
make_base() {
  local tree=$work/base
  need debootstrap
  say "making $local_base with debootstrap"
  debootstrap --variant=minbase --include=ca-certificates,netbase,tzdata,python3,python3-venv bookworm "$tree" \
    >"$work/debootstrap.log" || fail "debootstrap failed: $(tail -n 3 "$work/debootstrap.log")"
  rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/var/log/* "$tree"/usr/share/{doc,man,locale,info}
  tar -C "$tree" -c . | engine import --change 'CMD ["/bin/sh"]' - $local_base >/dev/null
  rm -rf "$tree"
}

choose_base() {
  base=${BASE_IMAGE:-$(sed -n 's/^ARG BASE_IMAGE=//p' deploy/images/Dockerfile)}
  if [ "$engine" = docker ] || engine image exists "$base"; then return; fi
  if engine image exists $local_base; then
    base=$local_base
  elif ! timeout 300 podman pull --quiet "$base" >/dev/null 2>&1; then
    say "$base is out of reach"
    base=$local_base
    make_base
  fi
}

# How this machine finds its package index, as shell that is sourced in the build. It may hold a password: it is handed
# over as a secret, so that no layer has it.
write_index() {
  local index name
  index=${PIP_INDEX_URL:-$(python3 -m pip config get global.index-url 2>/dev/null || true)}
  if [ -n "$index" ]; then
    export PIP_INDEX_URL=$index UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-$index}}
  fi
  (umask 077 && : >"$work/index")
  for name in PIP_{INDEX_URL,EXTRA_INDEX_URL,TRUSTED_HOST,DEFAULT_TIMEOUT} \
    UV_{DEFAULT_INDEX,INDEX,INDEX_URL,EXTRA_INDEX_URL,INSECURE_HOST,NATIVE_TLS,HTTP_TIMEOUT}; do
    if [ -n "${!name:-}" ]; then printf 'export %s=%q\n' "$name" "${!name}" >>"$work/index"; fi
  done
  local certificates=${PIP_CERT:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}}
  if [ -e "$certificates" ]; then cp "$certificates" "$work/certificates"; else : >"$work/certificates"; fi
}

build() {
  local target=$1 builder models started_s=$SECONDS
  local arguments=(
    --file deploy/images/Dockerfile --target "$target" --tag "$project/$target:$version"
    --build-arg "BASE_IMAGE=$base"
    --label "org.opencontainers.image.version=$version"
    --label "org.opencontainers.image.revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)"
    --secret "id=index,src=$work/index" --secret "id=certificates,src=$work/certificates"
  )
  if [ "$target" = models ]; then
    models=${VITRINE_MODELS_DIR:-${HOME:?}/.cache/vitrine/models}
    [ -d "$models" ] || fail "no weights in $models: run \`vitrine models pull\` first"
    arguments+=(--build-context "weights=$models")
  fi
  if [ "$engine" = docker ]; then
    builder=(docker build --quiet)
  else
    builder=(buildah build --isolation chroot --pull-never --layers --force-rm)
  fi
  "${builder[@]}" "${arguments[@]}" . >"$work/build.log" 2>&1 ||
    fail "$target failed:"$'\n'"$(tail -n 30 "$work/build.log")"
  say "built $target, $(size "$target") MB, in $((SECONDS - started_s)) s"
}

size() { # size TARGET: megabytes
  local bytes
  bytes=$(engine image inspect --format '{{.Size}}' "$project/$1:$version")
  echo $((bytes / 1000000))
}

# --- start ---------------------------------------------------------------------------------------------------------

hardened=(
  --read-only --cap-drop ALL --security-opt no-new-privileges --network none
  --tmpfs "/tmp:rw,nosuid,nodev,mode=1777"
)
checks=0

inside() { # inside COMMAND... -- ARGUMENTS: look from inside the container that COMMAND runs python3 in
  local command=()
  while [ "$1" != -- ]; do
    command+=("$1")
    shift
  done
  shift
  engine "${command[@]}" python3 - "$@" <deploy/images/inside.py || return 1
  checks=$((checks + 1))
}

now_ms() { date +%s%3N; }

# A server of its own, without the others, is alive; one that needs none of them is ready as well.
serve() { # serve TARGET PORT PAGES ABSENT READY [OPTIONS...]
  local target=$1 port=$2 pages=$3 absent=$4 ready=$5 image=$project/$1:$version
  local health=$((port + 2000)) started_ms alive_ms ready_s=- status
  shift 5
  started_ms=$(now_ms)
  container=$(engine run --detach "${hardened[@]}" --volume /data "$@" "$image")
  # shellcheck disable=SC2086  # Lists of words.
  inside exec --interactive "$container" -- --absent $absent --serving $health/liveness --timeout-s 180 ||
    fail "$target: $(engine logs --tail 20 "$container" 2>&1)"
  alive_ms=$(($(now_ms) - started_ms))
  # shellcheck disable=SC2086  # As above.
  inside exec --interactive "$container" -- --pages $((port + 1000))/metrics $pages || fail "$target does not answer"
  if [ -n "$ready" ]; then
    inside exec --interactive "$container" -- --serving "$health/vitrine.v1.$ready" --timeout-s 300 ||
      fail "$target: $(engine logs --tail 20 "$container" 2>&1)"
    ready_s=$(seconds $(($(now_ms) - started_ms)))
  fi
  engine stop --time 60 "$container" >/dev/null
  status=$(engine inspect --format '{{.State.ExitCode}}' "$container")
  [ "$status" = 0 ] || fail "$target ended with $status after SIGTERM: $(engine logs --tail 20 "$container" 2>&1)"
  checks=$((checks + 1))
  engine rm --volumes "$container" >/dev/null
  container=
  row "$target" "$(size "$target")" "$(seconds "$alive_ms")" "$ready_s" 0
}

once() { # once TARGET OPTIONS...: an image without a server
  local target=$1
  shift
  inside run --rm --interactive "${hardened[@]}" --entrypoint "" "$@" "$project/$target:$version" -- ||
    fail "$target is not as it should be"
  row "$target" "$(size "$target")" - - -
}

seconds() { printf '%d.%d' $(($1 / 1000)) $(($1 % 1000 / 100)); }
row() { printf 'images: %-18s %9s %10s %10s %8s\n' "$@"; }

# The weights, copied into a volume as an init container of a pod would.
fill_models() {
  engine volume rm --force $models_volume >/dev/null 2>&1 || true
  engine run --rm "${hardened[@]}" --user 0:0 --volume $models_volume:/copy "$project/models:$version" \
    cp -r /models/. /copy/
}

start() {
  local target=$1
  case $target in
  gateway) serve "$target" 50051 "8080/healthz 8080/" "torch faiss" "" ;;
  ranker) serve "$target" 50053 "" "torch faiss" RankerService ;;
  vectorsearch-*) serve "$target" 50060 "" torch "" ;;
  embedder-*)
    fill_models
    serve "$target" 50052 "" faiss EmbedderService --volume $models_volume:/models:ro
    engine volume rm $models_volume >/dev/null
    ;;
  models | trainer) once "$target" ;;
  *) fail "no target $target" ;;
  esac
}

remove() {
  local images image revision label=org.opencontainers.image.revision
  mapfile -t images < <(engine images --quiet --filter "reference=$project/*" | sort -u)
  if ((${#images[@]})); then engine rmi --force "${images[@]}" >/dev/null; fi
  engine volume rm --force $models_volume >/dev/null 2>&1 || true
  # Stages that nothing refers to any more, of a commit of this repository: others may have some of their own.
  mapfile -t images < <(engine images --quiet --filter dangling=true --filter "label=$label" | sort -u)
  for image in "${images[@]}"; do
    # One may have gone with another already.
    revision=$(engine image inspect --format "{{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null) || continue
    if git cat-file -e "$revision^{commit}" 2>/dev/null; then engine rmi --force "$image" >/dev/null; fi
  done
  # The packages that buildah keeps between builds, where the Dockerfile mounts them.
  if [ "$engine" = podman ]; then rm -rf "${TMPDIR:-/var/tmp}"/buildah-cache*/var/cache/uv; fi
}

# -------------------------------------------------------------------------------------------------------------------

action=${1:?build, start, base or remove}
shift
choose_engine
case $action in
base) make_base ;;
build)
  (($#)) || fail "build what? See the targets of deploy/images/Dockerfile"
  choose_base
  write_index
  for target in "$@"; do build "$target"; done
  say "$# built with $engine $(engine version --format '{{.Client.Version}}'), version $version, on $base"
  ;;
start)
  (($#)) || fail "start what? See the targets of deploy/images/Dockerfile"
  row image "size (MB)" "alive (s)" "ready (s)" "SIGTERM"
  for target in "$@"; do start "$target"; done
  say "$# images passed $checks checks: read-only root, user 10001, no capabilities, no new privileges, system calls" \
    "filtered, no compiler, no setuid; health, metrics and pages answer; SIGTERM ends servers with 0"
  ;;
remove) remove ;;
*) fail "build, start, base or remove; not $action" ;;
esac
