"""What MCUboot does at a boot, on a flash file: swap to try, swap back what nobody confirmed, boot what is whole.

1. An image is swapped in only when a trusted key signed it and its security counter is not below the floor; one that
   is not is never tried again, and what ran runs on.
2. An image that was tried and is not confirmed at the next boot is swapped back, and that is confirmed.
3. A swap here is one step; that MCUboot resumes one after a power cut is tested by its own simulator.

Source: MCUboot 2.x, docs/design.md ("Boot swap types", "High-level operation").
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from holdfast_agent.update.installers.mcuboot_flash import Flash, Layout, flash
from holdfast_core.formats.mcuboot_verify import PublicKey, verify_mcuboot
from holdfast_core.kernel.errors import HostileData


class Booted(StrEnum):
    """What a boot did."""

    AS_BEFORE = "as-before"
    TEST = "test"
    PERMANENT = "permanent"
    REVERT = "revert"
    REFUSED = "refused"
    """The image to try is not whole or not signed; what ran runs on."""
    NOTHING = "nothing"
    """No image that may be booted."""


def boot(layout: Layout, keys: Iterable[PublicKey], *, floor: int = 0) -> Booted:
    """Boot once.

    Args:
        layout: the flash.
        keys: what the boot loader trusts.
        floor: the least security counter that it boots.
    """
    trusted = tuple(keys)
    with flash(layout) as chip:
        done = _swapped(chip, layout, trusted, floor)
        return done if _whole(chip, layout.primary, trusted, floor) else Booted.NOTHING


def _swapped(chip: Flash, layout: Layout, keys: tuple[PublicKey, ...], floor: int) -> Booted:
    running, asked = chip.trailer(layout.primary), chip.trailer(layout.secondary)
    if asked.magic:
        if not _whole(chip, layout.secondary, keys, floor):
            chip.erase_trailer(layout.secondary)
            return Booted.REFUSED
        _swap(chip, layout, lasting=asked.image_ok)
        return Booted.PERMANENT if asked.image_ok else Booted.TEST
    if running.magic and running.copy_done and not running.image_ok:
        _swap(chip, layout, lasting=True)
        return Booted.REVERT
    return Booted.AS_BEFORE


def _swap(chip: Flash, layout: Layout, *, lasting: bool) -> None:
    first, second = chip.content(layout.primary), chip.content(layout.secondary)
    for slot, content in ((layout.primary, second), (layout.secondary, first)):
        for _ in chip.write(slot, content):
            pass
    chip.set_flag(layout.primary, layout.copy_done)
    if lasting:
        chip.set_flag(layout.primary, layout.image_ok)
    chip.set_magic(layout.primary)


def _whole(chip: Flash, slot: int, keys: tuple[PublicKey, ...], floor: int) -> bool:
    try:
        verified = verify_mcuboot(chip.content(slot), keys)
    except HostileData:
        return False
    return (verified.security_counter or 0) >= floor
