"""From a control that failed to the changes that would meet it.

1. A combination is mended as it is judged: all of `Every`, the first of `Either` that can be mended, what `If` asks.
2. A control is mended whole or not at all.
"""

from __future__ import annotations

from holdfast_core.baseline.probes import Either, Every, If, ProbeSpec
from holdfast_probe.boot.mends import MENDS as BOOT
from holdfast_probe.case import Case
from holdfast_probe.credentials.mends import MENDS as CREDENTIALS
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.files.mends import MENDS as FILES
from holdfast_probe.mend import Mends
from holdfast_probe.programs.mends import MENDS as PROGRAMS
from holdfast_probe.services.mends import MENDS as SERVICES

MENDS: Mends = {**FILES, **BOOT, **SERVICES, **CREDENTIALS, **PROGRAMS}
"""Every probe that can be mended, by the type of its spec."""


def mend(case: Case, editor: Editor, probe: ProbeSpec) -> None:
    """Put into `editor` the changes after which `probe` passes.

    Raises:
        CannotMend, Unreadable: nothing of it may then be used: throw the editor away.
    """
    match probe:
        case Every(of):
            for part in of:
                if mendable(part):
                    mend(case, editor, part)
        case Either(of):
            mend(case, editor, next((part for part in of if mendable(part)), of[0]))
        case If(_, then):
            mend(case, editor, then)
        case _:
            if type(probe) not in MENDS:
                raise CannotMend("/", f"there is no mend for a {type(probe).__name__} probe")
            MENDS[type(probe)](case, editor, probe)


def mendable(probe: ProbeSpec) -> bool:
    """Whether there is a way to mend `probe` at all."""
    match probe:
        case Every(of) | Either(of):
            return any(map(mendable, of))
        case If(_, then):
            return mendable(then)
        case _:
            return type(probe) in MENDS
