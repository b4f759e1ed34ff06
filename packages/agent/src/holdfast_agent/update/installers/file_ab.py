"""Two slots that are files or block devices, and a boot loader that obeys ``boot.json`` (`boot_state`).

1. The image is written as it is, in pieces; what was written is flushed every few pieces, so that the kernel never
   holds much of it back. Room is taken before the first byte is written.
2. What counts is what the medium gives back: the slot is whole only after its content was read back with the signed
   digest. Only a whole slot is armed.
3. While a slot runs on trial the other one is the way back, and is not written, if it is whole.
4. There is no going back to a slot that is not whole: then the device stays where it is, and says so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

import msgspec

from holdfast_agent.durable import sync_folder
from holdfast_agent.update.installers import Progress
from holdfast_agent.update.installers.boot_state import (
    NAMES,
    TRIES,
    BootState,
    Content,
    image,
    load,
    other,
    runs,
    save,
)  # fmt: skip
from holdfast_agent.update.installers.medium import corrupt, digest_on
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.supply.model import Offer, Payload, PayloadKind
from holdfast_core.wire.update import Running, Slot

PIECE = 1024 * 1024
FLUSHED = 16
"""Pieces between two flushes."""


class FileAB:
    """Implements `installers.Installer` over two slots in `folder`."""

    kind = PayloadKind.FILE.value

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def running(self) -> Running:
        """See the protocol."""
        slot = runs(self._folder)
        content = load(self._folder).content(slot)
        return Running(slot, content.release, content.counter)

    def slots(self) -> tuple[Slot, ...]:
        """See the protocol."""
        state = load(self._folder)
        contents = ((name, state.content(name)) for name in NAMES)
        return tuple(Slot(name, each.release, each.counter, each.whole and not each.bad) for name, each in contents)

    def on_trial(self) -> bool:
        """See the protocol."""
        # What the boot loader fell forward into is not lasting either: nobody confirmed it.
        return load(self._folder).primary != runs(self._folder)

    def verify(self, payload: Path, offer: Offer) -> None:
        """See the protocol: a plain image says nothing of itself; its digest is the driver's to check."""
        del offer
        if payload.stat().st_size == 0:
            raise HostileData("installer.empty", "The image is empty.", remedy="Build the release again.")

    def write(self, payload: Path, offer: Offer, stated: Payload, progress: Progress) -> str:
        """See the protocol."""
        state, running = load(self._folder), runs(self._folder)
        if state.trial == running and is_whole(self._folder, state, other(running)):
            raise WorldError(
                "installer.on_trial",
                f"Slot {running} runs on trial, and the other one is the way back.",
                remedy="Wait until the release that runs is confirmed, or fell back.",
            )
        slot = other(running)
        # Whatever boots from now on stays where it is: the slot that runs is the lasting one, and no trial is left.
        fresh = msgspec.structs.replace(state.without_trial(), primary=running)
        save(self._folder, fresh.holding(slot, Content(bad=True)))
        try:
            self._copy(payload, image(self._folder, slot), stated.size, progress)
        except OSError as error:
            raise _not_written(slot, error) from error
        content = Content(offer.release, offer.counter, offer.svn, stated.size, stated.digest, bad=True)
        save(self._folder, load(self._folder).holding(slot, content))
        return slot

    def read_back(self, payload: Path, offer: Offer, stated: Payload) -> None:
        """See the protocol."""
        del payload
        slot = other(runs(self._folder))
        state = load(self._folder)
        content = state.content(slot)
        if (content.release, content.digest) != (offer.release, stated.digest):
            raise corrupt(slot, f"{offer.release} was not written whole")
        found, size = digest_on(image(self._folder, slot), stated.size)
        if found != stated.digest:
            save(self._folder, state.holding(slot, Content(bad=True)))
            raise corrupt(slot, f"{size} of {stated.size} bytes were read, and their digest is another")
        if not content.whole:
            save(self._folder, state.holding(slot, msgspec.structs.replace(content, whole=True)))

    def arm(self, offer: Offer) -> None:
        """See the protocol."""
        state, running = load(self._folder), runs(self._folder)
        slot = other(running)
        content = state.content(slot)
        if content.release != offer.release or not content.whole:
            raise corrupt(slot, f"{offer.release} was not read back from it")
        good = state.holding(slot, msgspec.structs.replace(content, bad=False))
        save(self._folder, msgspec.structs.replace(good, primary=running, trial=slot, tries=TRIES))

    def confirm(self, offer: Offer) -> None:
        """See the protocol."""
        state, running = load(self._folder), runs(self._folder)
        content = state.content(running)
        if content.release != offer.release:
            raise corrupt(running, f"{offer.release} does not run in it")
        kept = state.holding(running, msgspec.structs.replace(content, bad=False)).without_trial()
        save(self._folder, msgspec.structs.replace(kept, primary=running))

    def revert(self) -> None:
        """See the protocol.

        Raises:
            WorldError: ``installer.no_way_back``: the slot before does not hold a whole release any more.
        """
        state, running = load(self._folder), runs(self._folder)
        slot = state.trial or running
        if not state.trial and running == state.primary:
            return
        tried = msgspec.structs.replace(state.content(slot), bad=True)
        back = other(slot)
        if running == slot and not is_whole(self._folder, state, back):
            raise WorldError(
                "installer.no_way_back",
                f"Slot {back} holds no whole release, so the device stays in {running}.",
                remedy="Direct the device to a release that is good; it is written to the slot that is not.",
            )
        save(self._folder, msgspec.structs.replace(state.holding(slot, tried).without_trial(), primary=back))

    def _copy(self, payload: Path, target: Path, size: int, progress: Progress) -> None:
        with contextlib.ExitStack() as open_ones:
            source = os.open(payload, os.O_RDONLY | os.O_CLOEXEC)
            open_ones.callback(os.close, source)
            slot = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            open_ones.callback(os.close, slot)
            is_file = stat.S_ISREG(os.fstat(slot).st_mode)
            if is_file:
                os.ftruncate(slot, size)
                os.posix_fallocate(slot, 0, size)
            _pour(source, slot, size, progress)
            os.fsync(slot)
        if is_file:
            sync_folder(self._folder)


def is_whole(folder: Path, state: BootState, slot: str) -> bool:
    """Whether a slot holds just what stands in the state."""
    content = state.content(slot)
    if not content.whole:
        return False
    try:
        found, _ = digest_on(image(folder, slot), content.size)
    except WorldError:
        return False
    return found == content.digest


def _pour(source: int, slot: int, size: int, progress: Progress) -> None:
    """Copy `size` bytes; a source that ends early is told by the read-back."""
    piece, done, count = memoryview(bytearray(PIECE)), 0, 0
    while done < size:
        got = os.readv(source, [piece[: min(PIECE, size - done)]])
        if not got:
            raise OSError(errno.EIO, "the image ends early")
        rest = piece[:got]
        while rest:
            rest = rest[os.write(slot, rest) :]
        done += got
        count += 1
        if count % FLUSHED == 0:
            os.fdatasync(slot)
            progress(100 * done // size)


def _not_written(slot: str, error: OSError) -> WorldError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return WorldError(
        "installer.disk_full" if full else "installer.failed",
        f"Slot {slot} could not be written: {error.strerror}.",
        remedy="Make room for the image, or give the slot its size." if full else "Look at the medium (dmesg).",
    )
