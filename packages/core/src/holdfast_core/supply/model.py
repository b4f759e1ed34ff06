"""Releases: what was built for one device model, once, and never changed afterwards.

1. A release is known by its model's name and its version; two builds with one version are refused.
2. Its security version number only says from where on going back is forbidden: equal numbers may replace each other.
3. What a release says of its artefacts is signed by whoever built it; the statement is kept whole, under its digest.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import parse_name
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.kept import Kept

LONGEST_VERSION = 63


class ArtefactKind(StrEnum):
    """What a file of a release is; it decides how the file is measured."""

    FILE = "file"
    """Anything whose SHA-256 a boot stage measures: SPL, U-Boot, kernel, initrd, device tree."""
    COMMAND_LINE = "command-line"
    EFI = "efi"
    """A UEFI application: shim, boot loader, kernel with its stub."""
    UKI = "uki"
    FIT = "fit"
    VERITY = "verity"
    MCUBOOT = "mcuboot"
    EVENT_LOG = "event-log"
    """The event log of one boot: for firmware whose maker publishes no values."""


class Artefact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a release."""

    name: str
    kind: ArtefactKind
    size: int
    digest: Digest


class Release(Kept, frozen=True, kw_only=True):
    """A release, immutable. `statement` is the digest of what its builder signed; `id` is `release_id`."""

    model: str
    version: str
    svn: int
    """Security version number."""
    artefacts: tuple[Artefact, ...]
    statement: Digest
    added_at: Instant
    by: str


def release_id(model: str, version: str) -> str:
    """The name of a release: ``MODEL:VERSION``.

    Raises:
        HostileData: ``name.invalid``.
    """
    return f"{parse_name(model, what='model')}:{parse_name(version, what='version')}"


def parse_release_id(text: str) -> tuple[str, str]:
    """Model and version of a release's name.

    Raises:
        HostileData: ``release.name``.
    """
    model, sign, version = text.partition(":")
    if not sign:
        raise HostileData(
            "release.name",
            f"{text[:80]!r} is not the name of a release.",
            remedy="Write MODEL:VERSION, such as site-gateway:2.3.1; list them: holdfast reference list.",
        )
    return parse_name(model, what="model"), parse_name(version, what="version")
