"""The probes of programs and packages: how they were built, where they come from, what they may do."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

from holdfast_core.baseline.probes.shape import PathGlob, Probe


class ElfProperty(StrEnum):
    """What `Elf` asks of each program and library."""

    NX = "nx"
    PIE = "pie"
    RELRO = "relro"
    RPATH = "rpath"
    """No RPATH or RUNPATH entry that is relative, empty or in a directory that others can write."""


class Elf(Probe, frozen=True, tag="elf"):
    """Every program and library has `property`; kernel modules and objects are left out. Walks, reads.

    `under` narrows the search to directories; empty means everywhere. Files that do not say (no PT_GNU_STACK: the
    architecture decides) make the outcome unknown when nothing fails outright.
    """

    property: ElfProperty
    under: Annotated[tuple[PathGlob, ...], msgspec.Meta(max_length=32)] = ()


ProgramProbe: TypeAlias = Elf
"""The probes of this module."""
