"""``holdfast``: the command line's entry."""

from __future__ import annotations

import os
import sys

from holdfast.cli.app import build


def main() -> None:
    """Run one command and end the process with its exit code."""
    try:
        build()(prog_name="holdfast")
    finally:
        _close_stdout()


def _close_stdout() -> None:
    """Let a reader that went away early (``| head``) be no error at the very end."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
