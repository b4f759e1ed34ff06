#!/bin/sh
# Builds the wheels of all packages into dist/, with the pinned build backend and nothing fetched.
set -eu
cd "$(dirname -- "$0")/.."
rm -rf dist
mkdir dist
for package in packages/*/; do
    (cd "$package" && "$OLDPWD/.venv/bin/python" -m hatchling build -t wheel -d "$OLDPWD/dist" >/dev/null)
done
ls -l dist
