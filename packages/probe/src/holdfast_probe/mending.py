"""From a control that failed to the changes that would meet it.

1. A combination is mended as it is judged: all of `Every`, the first of `Either` that can be mended, what `If` asks
   where its condition holds. A part that is met already, or does not apply, is left alone.
2. A control is mended whole or not at all.
"""

from __future__ import annotations

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes import Either, Every, If, ProbeSpec, parts
from holdfast_probe.audit import HUNTS, seen
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
                if mendable(part) and not _settled(case, part):
                    mend(case, editor, part)
        case Either(of):
            mend(case, editor, next((part for part in of if mendable(part)), of[0]))
        case If(when, then):
            if _walks(when) or seen(case, when).outcome in {Outcome.PASS, Outcome.UNKNOWN}:
                mend(case, editor, then)
        case _:
            if type(probe) not in MENDS:
                raise CannotMend("/", f"there is no mend for a {type(probe).__name__} probe")
            MENDS[type(probe)](case, editor, probe)


def _settled(case: Case, probe: ProbeSpec) -> bool:
    """Whether a look alone says that nothing is to be mended here; what takes a walk is left to its mend."""
    return not _walks(probe) and seen(case, probe).outcome in {Outcome.PASS, Outcome.NOT_APPLICABLE}


def _walks(probe: ProbeSpec) -> bool:
    return any(type(part) in HUNTS for part in parts(probe))


def mendable(probe: ProbeSpec) -> bool:
    """Whether there is a way to mend `probe` at all."""
    match probe:
        case Every(of) | Either(of):
            return any(map(mendable, of))
        case If(_, then):
            return mendable(then)
        case _:
            return type(probe) in MENDS
