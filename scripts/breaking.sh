#!/usr/bin/env bash
# Compare the contract with the one on main: `buf breaking` on the protos of the newest commit that this tree shares
# with main. A tree without git, or a history without protos, has promised nothing yet.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! git rev-parse --quiet --verify 'HEAD^{commit}' >/dev/null 2>&1; then
  echo "breaking: no commit to compare with"
  exit 0
fi
base=HEAD
for main in origin/main main; do
  if git rev-parse --quiet --verify "$main^{commit}" >/dev/null; then
    # A shallow clone may not hold the common commit; then main itself is what it is compared with.
    base=$(git merge-base HEAD "$main" || git rev-parse "$main")
    break
  fi
done
if [ -z "$(git ls-tree --name-only "$base" protos)" ]; then
  echo "breaking: no protos at $base yet"
  exit 0
fi

old=$(mktemp -d)
trap 'rm -rf "$old"' EXIT
git archive "$base" protos | tar -x -C "$old"
cp buf.yaml "$old"
buf breaking --against "$old"
