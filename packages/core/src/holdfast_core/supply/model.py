"""Releases: what was built for one device model, once, and never changed afterwards.

1. A release is known by its model's name and its version; two builds with one version are refused.
2. Its security version number only says from where on going back is forbidden: equal numbers may replace each other.
   Its release counter orders the releases of a model, whatever their versions are called; no two have the same.
3. What a release says of its artefacts is signed by whoever built it; the statement is kept whole, under its digest.
4. What a device needs to know to take a release is its `Offer`: signed with the payload's digest, so a device can tell
   by itself whether the release is for it and newer than what it runs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import parse_name
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.kept import Kept

LARGEST_PAYLOAD = 16 * 1024**3
"""Bytes of one payload."""

Counter = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""What every JSON reader takes exactly (RFC 8259, section 6)."""
Hardware = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$")]


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


class PayloadKind(StrEnum):
    """How a payload gets into a slot; each has a tool of its own that checks it, and an installer."""

    FILE = "file"
    """A plain image, written as it is."""
    RAUC = "rauc"
    """A RAUC bundle (CMS)."""
    SWUPDATE = "swupdate"
    """An SWUpdate archive (.swu)."""
    MCUBOOT = "mcuboot"
    """An image signed by imgtool, for MCUboot."""


class Nature(StrEnum):
    """Why a release was made. The EU CRA (Annex I, part II, 2) wants security updates apart from features."""

    SECURITY = "security"
    FEATURE = "feature"


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file that a device installs: how, its name, its size in bytes and its digest."""

    kind: PayloadKind
    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$")]
    size: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_PAYLOAD)]
    digest: Digest


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is signed of a release beside its payload's size and digest: for whom it is, and what it replaces."""

    release: Annotated[str, msgspec.Meta(max_length=127)]
    """Its name, ``MODEL:VERSION``."""
    counter: Counter
    """The release counter: rises with every release of the model."""
    svn: Counter
    """The security version number; a device's own boot chain may refuse what is below the highest that it confirmed."""
    kind: PayloadKind
    hardware: Annotated[tuple[Hardware, ...], msgspec.Meta(min_length=1, max_length=32)]
    """The boards that it runs on, as a device names its own."""
    nature: Nature
    needs: Counter = 0
    """The smallest release counter that it installs over."""
    support_end: Annotated[str, msgspec.Meta(pattern=r"^(\d{4}-\d{2}-\d{2})?$")] = ""
    """Last day of its support, ``YYYY-MM-DD``."""
    statement: str = ""
    """The digest of its reference values; empty for a model that cannot attest."""
    sbom: str = ""
    """The digest of its bill of materials."""


class Release(Kept, frozen=True, kw_only=True):
    """A release, immutable. `statement` is the digest of what its builder signed; `id` is `release_id`.

    It has reference values, or an offer and its payload, or all: each is set once.
    """

    model: str
    version: str
    svn: int
    """Security version number."""
    artefacts: tuple[Artefact, ...] = ()
    statement: str = ""
    added_at: Instant
    by: str
    offer: Offer | None = None
    payload: Payload | None = None


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


def target_path(release: str, payload: Payload) -> str:
    """Where a payload lies among the targets of a repository: ``MODEL/VERSION/FILE``.

    Raises:
        HostileData: ``release.name``, ``name.invalid``.
    """
    model, version = parse_release_id(release)
    return f"{model}/{version}/{payload.name}"
