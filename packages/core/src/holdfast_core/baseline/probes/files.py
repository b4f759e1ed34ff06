"""The probes of named files and of the whole tree.

Modes, owners, writability, leftovers, and what settings files say or do not say.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

from holdfast_core.baseline.probes.shape import PathGlob, Paths, Probe, Values, Wanting
from holdfast_core.kernel.errors import HostileData


class Syntax(StrEnum):
    """How a settings file is written."""

    SSHD = "sshd"
    """``Keyword value``; first value wins; ``Include`` is followed; values inside ``Match`` blocks count as well."""
    KEYVALUE = "keyvalue"
    """``key=value``, ``key: value`` or ``key value``; ``#`` and ``;`` comments; last value wins;
    ``<file>.d/*.conf`` is read after the file. A key ``Section/Key`` is looked up under ``[Section]`` only."""
    UCI = "uci"
    """OpenWrt's configuration; a key is ``section.option`` (a section's type or its name); every match must do."""


class Absent(Probe, frozen=True, tag="absent"):
    """None of `paths` exists. A dangling link does not count as existing."""

    paths: Paths


class Present(Probe, frozen=True, tag="present"):
    """At least one match of `paths` exists; none: fail. A dangling link does not count as existing."""

    paths: Paths


class Words(Probe, frozen=True, tag="words"):
    """No line of the files that match `paths` contains any of `forbid`; some line of them contains each of `require`.

    Lines that start with ``#`` are left out. No such file: not applicable.
    """

    paths: Paths
    forbid: Values = ()
    require: Values = ()

    def __post_init__(self) -> None:
        """Refuse a probe that every file passes."""
        if not self.forbid and not self.require:
            raise HostileData(
                "probe.wants_nothing",
                "A Words probe has neither 'forbid' nor 'require'.",
                remedy="Say which words must not, or must, be there.",
            )


class FileMode(Probe, frozen=True, tag="file_mode"):
    """Every match of `paths` has no permission bit outside `max_mode` (and belongs to `uid`); no match: not applicable.

    `max_mode` is a number: 0o640 is 416.
    """

    paths: Paths
    max_mode: Annotated[int, msgspec.Meta(ge=0, le=0o7777)]
    uid: int | None = None


class Setting(Wanting, frozen=True, kw_only=True, tag="setting"):
    """`key` in `file` has an accepted value; `default` counts when the key is absent (none: fail).

    `file` may be a pattern; then every match is judged. No such file: not applicable.
    """

    file: PathGlob
    syntax: Syntax
    key: str
    default: str | None = None


class WorldWritable(Probe, frozen=True, tag="world_writable"):
    """No regular file is writable by everyone, and no directory is unless it is sticky. Walks."""


class Unowned(Probe, frozen=True, tag="unowned"):
    """Every file's uid and gid is in ``/etc/passwd`` and ``/etc/group``; unknown where ownership was lost. Walks."""


class Setuid(Probe, frozen=True, tag="setuid"):
    """Every setuid or setgid program is in the plan's `setuid`; unknown where the bits were lost. Walks."""


class WritableList(Probe, frozen=True, tag="writable_list"):
    """Every directory that everyone can write is, or lies below, an entry of the plan's `writable`. Walks."""


class CoreFiles(Probe, frozen=True, tag="core_files"):
    """No core dump and no shell or client history lies about. Walks."""


FileProbe: TypeAlias = (
    Absent | Present | Words | FileMode | Setting | WorldWritable | Unowned | Setuid | WritableList | CoreFiles
)
"""The probes of this module."""
