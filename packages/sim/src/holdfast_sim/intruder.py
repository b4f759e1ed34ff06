"""A thief with a copy of a device's key and certificate: ``python -m holdfast_sim.intruder URL ROOT IDENTITY``.

1. It is a program of its own, in a network of its own, and holds nothing of the device but the copied files.
2. Every line on stdin is a sequence number: it checks in with that number, and writes one JSON line: status, code,
   sentence, and whether the connection that it kept open had been ended, so that it needed another.
3. It cannot know the device's state, so it counts for itself, in a boot of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.wire.codec import encode
from holdfast_core.wire.frame import VERSION, CheckIn, Section
from holdfast_sim.link import OK, Link


class Outcome(msgspec.Struct, frozen=True):
    """How one attempt ended; `code` and `sentence` are the server's problem, empty when it was taken."""

    status: int
    code: str
    sentence: str
    cut_off: bool


class _Problem(msgspec.Struct):
    code: str = ""
    detail: str = ""


def attempt(link: Link, boot: str, seq: int, *, cut_off: bool) -> Outcome:
    """Check in as the device, with everything said to be fine. Raises WorldError ``link.failed``."""
    healthy = Section(body=msgspec.Raw(b'{"ok":true}'))
    answer = link.check_in(encode(CheckIn(v=VERSION, boot=boot, seq=seq, sections={"health": healthy})))
    problem = _Problem()
    if answer.status != OK:
        problem = msgspec.json.decode(answer.body, type=_Problem)
    return Outcome(answer.status, problem.code, problem.detail, cut_off)


def main(arguments: list[str]) -> int:
    """Run until stdin ends; returns the exit code."""
    url, root, identity = arguments
    boot = os.urandom(16).hex()
    try:
        link = Link(url, Path(root), Path(identity))
        for count, line in enumerate(sys.stdin):
            cut_off = count > 0 and link.was_ended()
            if cut_off:
                link.close()
                link = Link(url, Path(root), Path(identity))
            sys.stdout.buffer.write(msgspec.json.encode(attempt(link, boot, int(line), cut_off=cut_off)) + b"\n")
            sys.stdout.buffer.flush()
    except HoldfastError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
