"""The probes of programs and packages: how they were built, what they may do, where they come from, how they change.

Several carry `stated`, the name of a fact of the build manifest: where the files do not tell, ``true`` there passes,
anything else that is stated fails, and what is not stated stays unknown. What the files tell is never overruled by it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

from holdfast_core.baseline.probes.shape import Names, PathGlob, Paths, Probe

Fact = Annotated[str, msgspec.Meta(max_length=64)]
Globs = Annotated[tuple[str, ...], msgspec.Meta(max_length=64)]


class ElfProperty(StrEnum):
    """What `Elf` asks of each program and library."""

    NX = "nx"
    """The stack cannot be executed."""
    PIE = "pie"
    """A program can be loaded at any address."""
    RELRO = "relro"
    """The table of functions is read-only once the program runs: the segment, and binding at the start."""
    CANARY = "canary"
    """Functions with buffers on the stack check a canary; a file that calls nothing which fills one is not asked."""
    FORTIFY = "fortify"
    """Calls that format or copy are the checked ones of the C library; a file that has none of them is not asked."""
    RPATH = "rpath"
    """No RPATH or RUNPATH entry that is relative, empty or in a directory that others can write."""


class Elf(Probe, frozen=True, tag="elf"):
    """Every program and library has `property`; kernel modules and objects are left out. Walks, reads.

    `under` narrows the search to directories; empty means everywhere. Files that do not say (no PT_GNU_STACK: the
    architecture decides; static files show no canary) make the outcome unknown when nothing fails outright, unless the
    build manifest's fact `stated` is true.
    """

    property: ElfProperty
    under: Annotated[tuple[PathGlob, ...], msgspec.Meta(max_length=32)] = ()
    stated: Fact = ""


class Built(Probe, frozen=True, tag="built"):
    """Every file that the build manifest gives a digest of (``file:/path: sha256:...``) is there and has it.

    No such fact, or no manifest: unknown.
    """


class Confined(Probe, frozen=True, tag="confined"):
    """Every service that faces the network has the confinements, but for those whose name matches one of `but`.

    systemd: started units that are ordered after a network target or have a socket need every directive of
    `directives` set, drop-ins included. OpenWrt: procd services whose program is one of `procd` need a jail, seccomp or
    dropped capabilities. No such service: not applicable; nothing that says what starts: unknown.
    """

    directives: Names
    procd: Globs = ()
    but: Globs = ()


class Exposed(Probe, frozen=True, tag="exposed"):
    """No started systemd service is exposed by more than `maximum` tenths (0 best, 100 worst), but for `but`.

    The measure is ours, from what the unit and its drop-ins set; it is no other program's figure. No systemd: not
    applicable.
    """

    maximum: Annotated[int, msgspec.Meta(ge=0, le=100)]
    but: Globs = ()


class Components(Probe, frozen=True, tag="components"):
    """Every installed package is in the plan's `components` (``*`` and ``?`` match); building tools are named first.

    Installed is what the package database says, or else the SBOM. None declared: not applicable; no list: unknown.
    """


class UpdateCheck(StrEnum):
    """What `Updater` asks."""

    SIGNED = "signed"
    """What is installed must be signed: the check is on and there is a key for it."""
    VERIFIED = "verified"
    """No setting and no start-up or periodic script lets anything be installed without that check."""
    FORWARD = "forward"
    """No older version is taken, and no stale list of versions."""
    FALLBACK = "fallback"
    """An update goes to another slot, and the former system comes back by itself."""
    GUARDED = "guarded"
    """Nothing is installed, and nothing reboots, at any hour or on the last of the battery."""


class Updater(Probe, frozen=True, tag="updater"):
    """Every updater that is set up here (apt, dnf, opkg, apk, RAUC, SWUpdate, Mender, OSTree) passes `check`.

    Where none is set up, or one leaves it open, the manifest's fact `stated` decides.
    """

    check: UpdateCheck
    stated: Fact = ""


class FeedAddresses(Probe, frozen=True, tag="feed_addresses"):
    """No source in the files that match `paths` is fetched unencrypted or from a server that need not prove itself.

    A source on the device itself, or switched off, does not count. Where no file names a source, the manifest's fact
    `stated` decides: something updates the device, and it is none whose sources are known.
    """

    paths: Paths
    stated: Fact = ""


class FeedKeys(Probe, frozen=True, tag="feed_keys"):
    """Every key that updates are checked with has its SHA-256 in the plan's `feed_keys`; none declared: not applicable.

    No key found: unknown.
    """


class Sbom(Probe, frozen=True, tag="sbom"):
    """One of `paths` is a CycloneDX or SPDX list (JSON) and names every installed package in its version.

    A package database alone is a parts list too. Neither: fail. A list that cannot be read: unknown.
    """

    paths: Paths


class StatedDay(Probe, frozen=True, tag="stated_day"):
    """The build manifest's fact `key` is a day (``YYYY-MM-DD``) of the last `within_days`.

    Absent, or no clock: unknown.
    """

    key: Fact
    within_days: Annotated[int, msgspec.Meta(ge=1, le=3650)]


class PendingUpdates(Probe, frozen=True, tag="pending_updates"):
    """dpkg and apt: security updates install themselves, and none has been known for longer without being installed.

    The lists of the last `within_days` count; older lists fail, since nobody looked. No dpkg: not applicable; no lists,
    or no clock: unknown.
    """

    within_days: Annotated[int, msgspec.Meta(ge=1, le=365)]


class ReleaseAge(Probe, frozen=True, tag="release_age"):
    """The release that ``os-release`` names gets security fixes on the day of the audit.

    By the maker's own SUPPORT_END if it is given, else by our table of branches. Unknown branch, or no clock: unknown.
    """


ProgramProbe: TypeAlias = (
    Elf
    | Built
    | Confined
    | Exposed
    | Components
    | Updater
    | FeedAddresses
    | FeedKeys
    | Sbom
    | StatedDay
    | PendingUpdates
    | ReleaseAge
)
"""The probes of this module."""
