#!/bin/sh
# Install while an image is built. Nothing of this runs in an image.
#
#   install.sh tools                           uv and what builds wheels, in /opt/tools
#   install.sh packages REQUIREMENTS OPTIONS   what a file of hashed pins names, in a new /opt/vitrine
#   install.sh project                         the project in the working directory, in a new /opt/vitrine
#   install.sh heads SHIPPED OWN               the shipped heads into a folder of heads, which go before them
#
# Secrets, all of which may be missing: `index`, a shell file that sets PIP_* and UV_* variables, and `certificates`,
# the PEM file of the authorities that the package index is trusted by. Neither gets into a layer.
set -eu

index=/run/secrets/index
certificates=/run/secrets/certificates
if [ -s "$index" ]; then
  # shellcheck source=/dev/null  # Written by who builds.
  . "$index"
fi
if [ -s "$certificates" ]; then export PIP_CERT="$certificates" SSL_CERT_FILE="$certificates"; fi

# The public image of Python has it in /usr/local, Debian in /usr.
python=$(command -v python3.11 || command -v python3)
# The cache lies on another file system, where nothing can be linked to.
export UV_LINK_MODE=copy
uv=/opt/tools/bin/uv

environment() { "$python" -m venv --without-pip /opt/vitrine; }

case $1 in
tools)
  "$python" -m venv /opt/tools
  /opt/tools/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: \
    --requirement requirements/bootstrap.txt
  "$uv" pip install --python /opt/tools/bin/python --require-hashes --only-binary :all: \
    --requirement requirements/build.txt
  ;;
packages)
  requirements=$2
  options=${3-}
  environment
  # shellcheck disable=SC2086  # Words of a command line.
  "$uv" pip install --python /opt/vitrine/bin/python --compile-bytecode --require-hashes \
    --only-binary :all: --requirement "$requirements" $options
  ;;
project)
  environment
  # Built by the setuptools of the tools, which the environment sees for as long as this takes.
  packages=$(/opt/tools/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  PYTHONPATH=$packages "$uv" pip install --python /opt/vitrine/bin/python --compile-bytecode \
    --offline --no-deps --no-build-isolation .
  ;;
heads)
  shipped=$2
  own=$3
  mkdir -p "$own"
  if [ -z "$(find "$own" -name '*.safetensors')" ]; then
    # With what was written of how they were trained, and on which photos.
    cp "$shipped"/*.safetensors "$shipped"/model_card.* "$shipped/seen.npy" "$own/"
  else
    for head in "$shipped"/*.safetensors; do
      if [ -e "$own/${head##*/}" ]; then continue; fi
      cp "$head" "$own/"
      # A list of the photos that some of the heads were trained on would be taken for that of all.
      rm -f "$own/seen.npy"
    done
  fi
  ;;
esac
