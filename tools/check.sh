#!/bin/sh
# The contributor's loop: every step runs, also after one failed, so that one run shows all there is to mend.
set -u
cd "$(dirname -- "$0")/.." || exit 1
bin=.venv/bin
failed=

step() { # step NAME COMMAND...
    name=$1
    shift
    printf '== %s\n' "$name"
    "$@" || failed="$failed $name"
}

step format "$bin/ruff" format --check --quiet
step lint "$bin/ruff" check --quiet
set --
for package in packages/*/src/*/; do set -- "$@" "${package%/}"; done
if ls tools/*.py >/dev/null 2>&1; then set -- "$@" tools; fi
step types "$bin/mypy" "$@"
step contracts "$bin/lint-imports"
if [ -e tools/compile_catalogue.py ]; then step catalogue "$bin/python" tools/compile_catalogue.py --check; fi
set --
for folder in tests/unit tests/contract; do
    if [ -d "$folder" ]; then set -- "$@" "$folder"; fi
done
step tests "$bin/pytest" -q -n 2 -m "not slow" "$@"

if [ -n "$failed" ]; then
    printf 'failed:%s\n' "$failed" >&2
    exit 1
fi
echo "all fine"
