"""One target under atheris (libFuzzer for Python): ``python -m fuzz.under_atheris TARGET CORPUS [libFuzzer options]``.

Started by `fuzz.run`. Only `holdfast_core` and the targets are instrumented: what is to be explored is the code that
reads, and what becomes of what was read.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["holdfast_core", "fuzz"], enable_loader_override=False):
    from fuzz.target import strike
    from fuzz.targets import target_of


def main() -> None:
    target = target_of(sys.argv.pop(1))

    def once(data: bytes) -> None:
        strike(target, data)

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
