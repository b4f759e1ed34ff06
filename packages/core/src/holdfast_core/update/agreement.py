"""Whether a device takes a release: what two repositories say of it, held against what the device is and runs.

1. Director and image repository must say the same of a target: path, length, SHA-256 and offer. The director alone can
   choose among what the image repository's threshold signed, and nothing else (Uptane standard 2.1.0, 5.4.4.2).
2. The director's metadata names the device it is for.
3. The release counter never falls below the highest that the device confirmed, unless an `Exemption` that the image
   repository's threshold signed names the device and has not expired. The security version number falls for nobody:
   a boot chain may refuse what is below it, and then nothing boots.
4. The first rule that does not hold refuses, with a code of its own; nothing was fetched by then.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import LATEST, Instant, rfc3339
from holdfast_core.supply.model import Offer, PayloadKind

OFFER = "holdfast"
"""The member of a target's ``custom`` that holds the offer."""
DEVICE = "x-holdfast-device"
"""The member of the director's targets metadata that names the device."""
ISSUED = "x-holdfast-issued"
"""The member of timestamp metadata that says when it was issued: milliseconds since 1970."""
EXEMPTIONS = "exemptions"
"""The folder of the image repository's exemptions: ``exemptions/NAME.json``."""


class Target(msgspec.Struct, frozen=True):
    """A target as one repository states it: path, length in bytes, SHA-256, offer."""

    path: str
    length: int
    digest: Digest
    offer: Offer


class Exemption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Leave for the named devices to go back to one release, until a moment; signed as any target is."""

    release: Annotated[str, msgspec.Meta(max_length=127)]
    devices: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=10_000)]
    until: Annotated[Instant, msgspec.Meta(ge=0, le=LATEST)]
    why: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Board(msgspec.Struct, frozen=True):
    """What a device is and runs, as far as it decides what it takes."""

    device: str
    model: str
    """Empty where the device was never told its model."""
    hardware: tuple[str, ...]
    installer: PayloadKind
    running: int
    """The release counter that it runs; 0 where it knows none."""
    floor: int
    """The highest release counter that it confirmed."""
    svn_floor: int
    """The highest security version number that it confirmed."""


def accept(
    board: Board,
    director: Target | None,
    image: Target | None,
    *,
    named: str,
    now: Instant,
    exemptions: tuple[Exemption, ...] = (),
) -> Target:
    """The target, where the device takes it.

    Args:
        board: what the device is and runs.
        director: what the director's verified metadata says of the target.
        image: what the image repository's verified metadata says of it.
        named: the device that the director's metadata names.
        now: by the device's own sense of time (`update.time`).
        exemptions: those that the image repository holds for this release.

    Raises:
        HostileData: ``update.not_directed``, ``update.other_device``, ``update.not_in_image_repository``,
            ``update.other_path``, ``update.repositories_disagree``, ``update.other_model``, ``update.hardware``,
            ``update.installer``, ``update.needs``, ``update.downgrade``, ``update.downgrade_svn``.
    """
    if director is None:
        raise _refused(
            "not_directed",
            "The director does not direct this device to that release.",
            "Nothing is wrong if the rollout was stopped meanwhile. Otherwise look at it: holdfast rollout show.",
        )
    if named != board.device:
        raise _refused(
            "other_device",
            f"The director's metadata is for {named[:80]!r}, and this is {board.device}.",
            "Find out who answered in the director's place.",
        )
    if image is None:
        raise _refused(
            "not_in_image_repository",
            f"The image repository knows no {director.path[:200]!r}.",
            "Publish the release with its threshold of signatures: holdfast keys fetch, sign, publish.",
        )
    if not image.path.startswith(f"{image.offer.release.replace(':', '/', 1)}/"):
        raise _refused(
            "other_path",
            f"{image.path[:200]!r} is no place for {image.offer.release}.",
            "Whoever signs for one model cannot offer another's: find out who signed it.",
        )
    if director != image:
        raise _refused(
            "repositories_disagree",
            f"Director and image repository say different things of {director.path[:200]!r}.",
            "One of them may be in somebody else's hands: run holdfast keys drill.",
        )
    _check_board(board, image.offer)
    _check_order(board, image.offer, now, exemptions)
    return image


def _check_board(board: Board, offer: Offer) -> None:
    model = offer.release.partition(":")[0]
    if board.model and model != board.model:
        raise _refused(
            "other_model",
            f"{offer.release} is for model {model}, and this is a {board.model}.",
            "Direct the device to a release of its own model.",
        )
    if not set(offer.hardware) & set(board.hardware):
        theirs, ours = ", ".join(offer.hardware)[:200], ", ".join(board.hardware)[:200]
        raise _refused(
            "hardware",
            f"{offer.release} runs on {theirs}, and this board is {ours or 'unnamed'}.",
            "Build the release for this board, or correct what the device says of its hardware.",
        )
    if offer.kind is not board.installer:
        raise _refused(
            "installer",
            f"{offer.release} is a payload for {offer.kind.value}, and this device installs {board.installer.value}.",
            "Build the release in the form that this device installs.",
        )


def _check_order(board: Board, offer: Offer, now: Instant, exemptions: tuple[Exemption, ...]) -> None:
    if board.running < offer.needs:
        raise _refused(
            "needs",
            f"{offer.release} installs over counter {offer.needs} and later; this device runs {board.running}.",
            "Roll the release in between out first.",
        )
    if offer.svn < board.svn_floor:
        raise _refused(
            "downgrade_svn",
            f"{offer.release} has security version {offer.svn}; this device confirmed {board.svn_floor}.",
            "Nothing lifts this: the boot chain may refuse it. Build the old software with the new number.",
        )
    if offer.counter >= board.floor:
        return
    reasons = [_unfit(exemption, board, offer, now) for exemption in exemptions]
    if None in reasons:
        return
    why = f" ({'; '.join(reason for reason in reasons if reason)})" if reasons else ""
    raise _refused(
        "downgrade",
        f"{offer.release} has release counter {offer.counter}; this device confirmed {board.floor}{why}.",
        "Going back needs an exemption that names the device, signed by the threshold: holdfast release exempt.",
    )


def _unfit(exemption: Exemption, board: Board, offer: Offer, now: Instant) -> str | None:
    """Why an exemption does not let this device go back; `None` where it does."""
    if exemption.release != offer.release:
        return "the exemption is for another release"
    if board.device not in exemption.devices:
        return "the exemption names other devices"
    if now >= exemption.until:
        return f"the exemption ended {rfc3339(exemption.until)}"
    return None


def _refused(name: str, sentence: str, remedy: str) -> HostileData:
    return HostileData(f"update.{name}", sentence, remedy=remedy)
