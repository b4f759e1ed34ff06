#!/bin/sh
# Pins requirements/*.in into requirements/*.txt: hashes, and no word of where they were fetched.
# `tools/lock.sh --upgrade` takes newer versions; without it what is pinned stays where it still fits.
set -eu
cd "$(dirname -- "$0")/.."
export UV_CACHE_DIR="$PWD/.cache/uv"
# In this order: the agent's pins hold for the server, the server's for the developer.
for name in bootstrap agent agent-update server dev fuzz; do
    .venv/bin/uv pip compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
        --python-version 3.11 --only-binary :all: "$@" -o "requirements/$name.txt" "requirements/$name.in"
done
