#!/bin/sh
# Fetches the engine of fuzzing (requirements/fuzz.txt, 34 MB) beside .venv, for who fuzzes and nobody else.
#
# Idempotent: what it was made from lies beside it. Where there is no such wheel (another processor, another Python)
# nothing is fetched, and what needs it is skipped.
set -eu
cd "$(dirname -- "$0")/.."

place=.cache/fuzz/site
wanted=$(cat requirements/fuzz.txt tools/fuzzer.sh | sha256sum | cut -d' ' -f1)
if [ "$(cat "$place.made" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

export PIP_CACHE_DIR="$PWD/.cache/pip" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
rm -rf "$place" "$place.made"
mkdir -p "$place"
echo "fuzzer: fetching the engine" >&2
if ! .venv/bin/python -m pip install -q --require-hashes --only-binary :all: --target "$place" -r requirements/fuzz.txt; then
    rm -rf "$place"
    echo "fuzzer: it could not be fetched; what needs it is skipped." >&2
    exit 0
fi
printf '%s\n' "$wanted" >"$place.made"
