"""Images for MCUboot: written to the secondary slot of a microcontroller's flash, tried by a swap, confirmed after it.

1. What runs lies always in the primary slot; a swap exchanges the images. Slots are therefore named ``a`` and ``b`` by
   their images: one keeps its name when it is swapped.
2. The image's signature, hash and security counter are checked here with the product's key, before MCUboot does it
   again. The counter is not below the highest that was confirmed, and is the one that the release's offer states.
3. Only the image is written: padding that imgtool appends (``--pad``, ``--confirm``) holds a trailer that would arm, or
   even confirm, the image by itself.
4. The counter that is confirmed rises with `confirm` alone: a device whose counter rose before cannot go back
   (mcu-tools/mcuboot#2549).

Source: MCUboot 2.x, docs/design.md; boot/bootutil/src/bootutil_public.c (`boot_set_next`, `boot_set_confirmed`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from holdfast_agent.update.installers import Progress
from holdfast_agent.update.installers.mcuboot_flash import Flash, Layout, Swap, flash
from holdfast_agent.update.installers.medium import corrupt, opened, pieces
from holdfast_agent.update.installers.memory import Memory
from holdfast_core.formats.mcuboot import LARGEST, parse_mcuboot
from holdfast_core.formats.mcuboot_verify import PublicKey, VerifiedMcuboot, verify_mcuboot
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.supply.model import Offer, Payload, PayloadKind
from holdfast_core.wire.update import Running, Slot

NAMES = ("a", "b")
_WHOLE = 100


class McubootInstaller:
    """Implements `installers.Installer` for a microcontroller whose flash this device writes.

    Args:
        layout: where the flash and its slots are.
        keys: the product's public keys.
        hardware: the names of the microcontroller's board.
        memory: what the device remembers of the slots.
    """

    kind = PayloadKind.MCUBOOT.value

    def __init__(self, layout: Layout, keys: Iterable[PublicKey], hardware: tuple[str, ...], memory: Memory) -> None:
        self._layout, self._keys, self._hardware, self._memory = layout, tuple(keys), hardware, memory

    def running(self) -> Running:
        """See the protocol."""
        with flash(self._layout) as open_flash:
            name, mark = self._primary(open_flash)
        release, counter = self._known(name, mark)
        return Running(name, release, counter)

    def slots(self) -> tuple[Slot, ...]:
        """See the protocol."""
        with flash(self._layout) as open_flash:
            name, mark = self._primary(open_flash)
            other, held = _other(name), _mark_in(open_flash.content(self._layout.secondary))
        first = Slot(name, *self._known(name, mark), True)  # noqa: FBT003  (it runs)
        release, counter = self._known(other, held)
        return tuple(sorted((first, Slot(other, release, counter, bool(release))), key=lambda slot: slot.name))

    def on_trial(self) -> bool:
        """See the protocol."""
        with flash(self._layout) as open_flash:
            return self._trying(open_flash)

    def verify(self, payload: Path, offer: Offer) -> None:
        """See the protocol."""
        data = _read(payload)
        verified = self._verified(data)
        if not set(offer.hardware) & set(self._hardware):
            raise HostileData(
                "installer.compatible",
                f"{offer.release} is for {', '.join(offer.hardware)[:100]}, and this board is another.",
                remedy="Direct the device to a release for its own board.",
            )
        image = parse_mcuboot(data)
        if image.size > self._layout.room:
            raise LimitExceeded(
                "installer.too_large",
                f"The image has {image.size} bytes, and the slot has room for {self._layout.room}.",
                remedy="Build a smaller image, or correct the layout of the flash.",
            )
        counter, floor = verified.security_counter or 0, self._floor()
        if counter != offer.svn or counter < floor:
            raise HostileData(
                "installer.security_counter",
                f"The image has security counter {counter}; its release states {offer.svn}, and {floor} is confirmed.",
                remedy="Sign the image with imgtool sign --security-counter, the release's own number.",
            )
        if _mark(data) == self._running_mark():
            raise HostileData(
                "installer.same_image",
                f"{offer.release} is the very image that runs already.",
                remedy="Nothing is to be installed.",
            )

    def write(self, payload: Path, offer: Offer, stated: Payload, progress: Progress) -> str:
        """See the protocol."""
        del stated
        data = _read(payload)
        image = data[: parse_mcuboot(data).size]
        with flash(self._layout) as open_flash:
            name = _other(self._primary(open_flash)[0])
            self._memory.forget(name)
            for done in open_flash.write(self._layout.secondary, image):
                progress(done * _WHOLE // self._layout.room)
        self._memory.keep(name, offer, _mark(image))
        return name

    def read_back(self, payload: Path, offer: Offer, stated: Payload) -> None:
        """See the protocol."""
        del stated
        data = _read(payload)
        with flash(self._layout) as open_flash:
            name, found = self._written(open_flash, offer)
        size = parse_mcuboot(data).size
        if found[:size] != data[:size]:
            raise corrupt(name, "what was read differs from the image")
        self._verified(found)

    def arm(self, offer: Offer) -> None:
        """See the protocol."""
        with flash(self._layout) as open_flash:
            name, _ = self._written(open_flash, offer)
            open_flash.erase_trailer(self._layout.secondary)
            open_flash.set_flag(self._layout.secondary, self._layout.swap_info, Swap.TEST)
            open_flash.set_magic(self._layout.secondary)
        self._memory.arm(name)  # after it: armed and without its magic, the image was seen by MCUboot (`boot_id`)

    def confirm(self, offer: Offer) -> None:
        """See the protocol."""
        with flash(self._layout) as open_flash:
            if self._trying(open_flash):
                open_flash.set_flag(self._layout.primary, self._layout.image_ok)
        self._memory.confirm(offer)

    def revert(self) -> None:
        """See the protocol; an image on trial MCUboot reverts by itself at the next boot."""
        with flash(self._layout) as open_flash:
            if not self._trying(open_flash):
                open_flash.erase_trailer(self._layout.secondary)
                self._memory.arm("")

    def boot_id(self) -> str:
        """The boot of the microcontroller, as far as its flash tells: what runs, and whether MCUboot refused a trial.

        A reset that changes neither is none to anybody: the same image runs as before.
        """
        with flash(self._layout) as open_flash:
            _, mark = self._primary(open_flash)
            waits = open_flash.trailer(self._layout.secondary).magic
            refused = bool(self._memory.armed) and not waits and not self._trying(open_flash)
        return f"mcu-{mark[:24]}{'-refused' if refused else ''}"

    def _trying(self, open_flash: Flash) -> bool:
        trailer = open_flash.trailer(self._layout.primary)
        return trailer.magic and trailer.copy_done and not trailer.image_ok

    def _primary(self, open_flash: Flash) -> tuple[str, str]:
        """The name and the mark of the image that runs; one that nobody wrote here has the name that is left."""
        mark = _mark_in(open_flash.content(self._layout.primary))
        known = self._memory.slot_of(mark) if mark else ""
        if not known:
            held = _mark_in(open_flash.content(self._layout.secondary))
            known = _other(self._memory.slot_of(held)) if held else NAMES[0]
        return known, mark

    def _running_mark(self) -> str:
        with flash(self._layout) as open_flash:
            return self._primary(open_flash)[1]

    def _known(self, name: str, mark: str) -> tuple[str, int]:
        """Release and counter of the image with this mark."""
        written = self._memory.written(name)
        return (written.release, written.counter) if written and mark and written.mark == mark else ("", 0)

    def _written(self, open_flash: Flash, offer: Offer) -> tuple[str, bytes]:
        """Name and content of the secondary slot, once it holds the release."""
        name, _ = self._primary(open_flash)
        other, content = _other(name), open_flash.content(self._layout.secondary)
        if self._known(other, _mark_in(content))[0] != offer.release:
            raise corrupt(other, f"{offer.release} is not in it whole")
        return other, content

    def _floor(self) -> int:
        """The highest security counter that was confirmed: remembered, or of an image that runs and is not on trial."""
        with flash(self._layout) as open_flash:
            if self._trying(open_flash):
                return self._memory.svn
            content = open_flash.content(self._layout.primary)
        try:
            return max(self._memory.svn, parse_mcuboot(content).security_counter or 0)
        except HostileData:  # an empty slot
            return self._memory.svn

    def _verified(self, data: bytes) -> VerifiedMcuboot:
        try:
            return verify_mcuboot(data, self._keys)
        except HostileData as error:
            code = f"installer.{error.code.replace('.', '_')}"
            raise HostileData(code, error.sentence, remedy=error.remedy) from error


def _other(name: str) -> str:
    return NAMES[1] if name == NAMES[0] else NAMES[0]


def _mark(data: bytes) -> str:
    """What an image is known by: the hash of it, records included."""
    return hashlib.sha256(data[: parse_mcuboot(data).size]).hexdigest()


def _mark_in(content: bytes) -> str:
    """The mark of the image in a slot; empty where there is none."""
    try:
        return _mark(content)
    except HostileData:
        return ""


def _read(payload: Path) -> bytes:
    """The payload, whole; one byte more than is allowed tells that there is more."""
    with opened(payload) as handle:
        data = b"".join(pieces(handle, 0, LARGEST + 1))
    try:
        parse_mcuboot(data)
    except HostileData as error:
        code = f"installer.{error.code.replace('.', '_')}"
        raise HostileData(code, error.sentence, remedy=error.remedy) from error
    return data
