"""The typed probes: what a control can look at, as data.

1. A probe is a value with typed fields, never a shell string and never an expression to evaluate.
2. Every probe says in its docstring when it passes, when it fails and when it cannot say. An input that is missing
   because the thing does not exist here is `not_applicable`; one that exists and cannot be read is `unknown`.
3. Paths are absolute, seen from the root that is audited; ``*``, ``?`` and ``[...]`` match inside one component.
4. Probes run on the device (`holdfast_probe`), except `Manifest` of a device without an agent, and `Inspection`.
5. Probes are combined with `Every`, `Either` and `If`; a combination has at most `MAX_PARTS` probes.

One module an area: each defines its probes and names them in an alias, which is joined here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeAlias

import msgspec

from holdfast_core.baseline.probes.boot import BootProbe, Cmdline, KernelConfig, Mount, RootFsDriver, Sysctl
from holdfast_core.baseline.probes.credentials import AccountCheck, Accounts, CredentialProbe, PrivateKeys
from holdfast_core.baseline.probes.files import (
    Absent,
    CoreFiles,
    FileMode,
    FileProbe,
    Present,
    Setting,
    Setuid,
    Syntax,
    Unowned,
    Words,
    WorldWritable,
    WritableList,
)
from holdfast_core.baseline.probes.programs import Elf, ElfProperty, ProgramProbe
from holdfast_core.baseline.probes.services import Autostart, Listening, Service, ServiceProbe
from holdfast_core.baseline.probes.shape import Probe
from holdfast_core.baseline.probes.statements import Inspection, Manifest, Offline, StatementProbe, judge_manifest

MAX_PARTS = 24
"""Simple probes in one combination."""
MAX_DEPTH = 4

Simple: TypeAlias = FileProbe | BootProbe | ServiceProbe | CredentialProbe | ProgramProbe | StatementProbe
"""Any probe that looks at one thing."""


class Every(Probe, frozen=True, tag="every"):
    """All of `of` at once: fail when any fails, else unknown when any is, not applicable when all are, else pass."""

    of: Annotated[tuple[ProbeSpec, ...], msgspec.Meta(min_length=2, max_length=12)]


class Either(Probe, frozen=True, tag="either"):
    """Any one of `of` is enough: pass when any passes, else unknown when any is, fail when any fails.

    Not applicable when all are. One that is unknown might have passed, so nothing fails beside it.
    """

    of: Annotated[tuple[ProbeSpec, ...], msgspec.Meta(min_length=2, max_length=12)]


class If(Probe, frozen=True, tag="if"):
    """`then`, where `when` passes; not applicable with `otherwise` where it fails or does not apply; else unknown."""

    when: ProbeSpec
    then: ProbeSpec
    otherwise: Annotated[str, msgspec.Meta(min_length=12, max_length=400)]


ProbeSpec: TypeAlias = Simple | Every | Either | If
"""Any probe; msgspec decodes it by its ``kind``."""


def parts(spec: ProbeSpec, depth: int = 1) -> Iterator[Simple]:
    """The simple probes of a combination, those of a condition included.

    Raises:
        ValueError: it is nested deeper than `MAX_DEPTH`.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"a probe is nested deeper than {MAX_DEPTH}")
    match spec:
        case Every(of) | Either(of):
            for part in of:
                yield from parts(part, depth + 1)
        case If(when, then):
            yield from parts(when, depth + 1)
            yield from parts(then, depth + 1)
        case _:
            yield spec


__all__ = [
    "MAX_DEPTH",
    "MAX_PARTS",
    "Absent",
    "AccountCheck",
    "Accounts",
    "Autostart",
    "Cmdline",
    "CoreFiles",
    "Either",
    "Elf",
    "ElfProperty",
    "Every",
    "FileMode",
    "If",
    "Inspection",
    "KernelConfig",
    "Listening",
    "Manifest",
    "Mount",
    "Offline",
    "Present",
    "PrivateKeys",
    "ProbeSpec",
    "RootFsDriver",
    "Service",
    "Setting",
    "Setuid",
    "Simple",
    "Syntax",
    "Sysctl",
    "Unowned",
    "Words",
    "WorldWritable",
    "WritableList",
    "judge_manifest",
    "parts",
]
