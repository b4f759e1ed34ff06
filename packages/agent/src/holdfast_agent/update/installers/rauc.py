"""Bundles that RAUC installs: its service writes the slots, this module keeps the order and looks after it.

1. RAUC checks signature and compatible, and writes. That a bundle is older than what runs it does not mind (measured
   with 1.8): the release counter is ours, judged before anything was fetched (`update.agreement.accept`).
2. The next boot stays the running slot until `arm`. ``activate-installed=false`` in system.conf gives that without a
   gap; where it is missing, the running slot is made primary again as soon as RAUC has written.
3. An installation counts once RAUC is idle without an error and its own record says that a slot was installed anew;
   the silence of a service that was restarted meanwhile is no success.
4. Slots are read back from the medium against the hash in the signed manifest. A slot whose file system RAUC makes
   itself (tar archives, UBI, NAND; rauc#459) cannot be compared so, and is refused before it is written.
5. What a killed service left mounted is unmounted first, so that neither loop device nor bundle stays in use.

Source: RAUC 1.8 and later, docs/reference.rst; rauc/rauc#459, rauc/rauc#683, rauc/rauc#1400.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from holdfast_agent.update.installers import Progress
from holdfast_agent.update.installers.medium import corrupt, digest_on, no_way_back
from holdfast_agent.update.installers.memory import Memory
from holdfast_agent.update.installers.programs import run
from holdfast_agent.update.installers.rauc_bus import Bus, RaucSlot, gone
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.printable import printable
from holdfast_core.supply.model import Offer, Payload, PayloadKind
from holdfast_core.wire.update import Running, Slot

READABLE = frozenset({"raw", "ext4", "vfat"})
"""Kinds of slots into which an image goes as it is."""
LONGEST_S = 3600.0
_POLL_S = 0.5
_LOOKS = 6


class RaucInstaller:
    """Implements `installers.Installer` over RAUC's service.

    Args:
        bus: where the service is.
        memory: what the device remembers of its slots.
        mount: RAUC's ``mountprefix``.
        longest: seconds that an installation may take.
    """

    kind = PayloadKind.RAUC.value

    def __init__(
        self, bus: Bus, memory: Memory, *, mount: Path = Path("/mnt/rauc"), longest: float = LONGEST_S
    ) -> None:
        self._bus, self._memory, self._mount, self._longest = bus, memory, mount, longest

    def running(self) -> Running:
        """See the protocol."""
        name = self._bus.boot_slot()
        written = self._memory.written(name)
        return Running(name, written.release, written.counter) if written else Running(name)

    def slots(self) -> tuple[Slot, ...]:
        """See the protocol."""
        found = []
        for each in self._bus.slots():
            if each.bootname:
                written = self._memory.written(each.bootname)
                release, counter = (written.release, written.counter) if written else ("", 0)
                found.append(Slot(each.bootname, release, counter, each.good))
        return tuple(sorted(found, key=lambda slot: slot.name))

    def on_trial(self) -> bool:
        """See the protocol."""
        return bool(self._memory.armed) and self._memory.armed == self._bus.boot_slot()

    def verify(self, payload: Path, offer: Offer) -> None:
        """See the protocol."""
        self._until_idle(_silent)  # while it installs, it answers nothing else
        compatible, _ = self._bus.inspect(str(payload.resolve()))
        ours = self._bus.compatible()
        if compatible != ours:
            raise HostileData(
                "installer.compatible",
                f"The bundle of {offer.release} is for {printable(compatible[:80])}, and this device is {ours}.",
                remedy="Build the bundle for this device, or correct 'compatible' in its system.conf.",
            )
        unread = [each.name for each in self._group() if each.kind not in READABLE]
        if unread:
            raise WorldError(
                "installer.slot_kind",
                f"What RAUC writes to {', '.join(unread)[:100]} cannot be read back and compared.",
                remedy="Use slots of type raw, ext4 or vfat, with images and no archives.",
            )

    def write(self, payload: Path, offer: Offer, stated: Payload, progress: Progress) -> str:
        """See the protocol."""
        del stated  # the bundle's own manifest says what its images are
        slot = self._other().bootname
        self._memory.forget(slot)
        self._until_idle(progress)
        self._unmount()
        before = {each.name: each.count for each in self._group()}
        self._bus.install(str(payload.resolve()))
        self._until_installed(before, progress)
        self._stay()
        self._memory.keep(slot, offer)
        return slot

    def read_back(self, payload: Path, offer: Offer, stated: Payload) -> None:
        """See the protocol."""
        del stated
        other = self._other()
        written = self._memory.written(other.bootname)
        if written is None or written.release != offer.release:
            raise corrupt(other.bootname, f"{offer.release} was not written whole")
        _, version = self._bus.inspect(str(payload.resolve()))
        images = [each for each in self._group() if each.status == "ok" and each.version == version and each.sha256]
        if not images:
            raise corrupt(other.bootname, "RAUC knows of no image in it")
        for each in images:
            found, size = digest_on(Path(each.device), each.size)
            if found != f"sha256:{each.sha256}":
                raise corrupt(each.name, f"{size} of {each.size} bytes were read, and their hash is another")

    def arm(self, offer: Offer) -> None:
        """See the protocol."""
        other = self._other()
        written = self._memory.written(other.bootname)
        if written is None or written.release != offer.release:
            raise corrupt(other.bootname, f"{offer.release} was not written whole")
        self._memory.arm(other.bootname)
        self._bus.mark("active", "other")
        if (primary := self._bus.primary()) != other.name:
            raise gone(f"the primary slot is {primary} after {other.name} was made it")

    def confirm(self, offer: Offer) -> None:
        """See the protocol."""
        self._bus.mark("good", "booted")
        self._stay()
        self._memory.confirm(offer)

    def revert(self) -> None:
        """See the protocol."""
        if self.on_trial():
            other = self._other()
            if not other.good:
                self._bus.mark("good", "booted")
                self._stay()
                raise no_way_back(self._bus.boot_slot(), other.bootname)
            self._bus.mark("active", "other")
            self._bus.mark("bad", "booted")
        elif self._memory.armed:
            self._stay()
            self._bus.mark("bad", "other")
            self._memory.arm("")

    def booted(self) -> None:
        """Once a boot, of a slot that is not on trial: give it its boot attempts back (rauc#683).

        On trial nothing is done where the other slot can be booted: the attempts run out, and the boot loader falls
        back.
        """
        if not self.on_trial() or not self._other().good:
            self._bus.mark("good", "booted")

    def _stay(self) -> None:
        """Let the next boot be the slot that runs."""
        mine = next((each.name for each in self._bus.slots() if each.state == "booted"), "")
        if self._bus.primary() != mine:
            self._bus.mark("active", "booted")

    def _other(self) -> RaucSlot:
        """The slot that is not running and can be booted."""
        running = self._bus.boot_slot()
        others = [each for each in self._bus.slots() if each.bootname and each.bootname != running]
        if len(others) != 1:
            raise gone(f"it knows {len(others)} slots beside the running one, and updates need one")
        return others[0]

    def _group(self) -> tuple[RaucSlot, ...]:
        """The slot to write, and those that belong to it."""
        other = self._other()
        return tuple(each for each in self._bus.slots() if other.name in (each.name, each.parent))

    def _until_idle(self, progress: Progress) -> None:
        """Wait until RAUC does nothing, and tell how far it is."""
        end = time.monotonic() + self._longest
        while self._bus.operation() != "idle":
            if time.monotonic() > end:
                raise _failed(f"it took more than {self._longest:g} s")
            progress(max(0, min(100, self._bus.progress().percent)))
            time.sleep(_POLL_S)

    def _until_installed(self, before: dict[str, int], progress: Progress) -> None:
        """Wait until RAUC is idle and says of its slots that they are new; it may be a moment late with either."""
        for _ in range(_LOOKS):
            self._until_idle(progress)
            if why := self._bus.last_error():
                raise _failed(why)
            after = self._group()
            whole = all(each.status != "pending" for each in after)
            if whole and any(each.count > before.get(each.name, 0) and each.status == "ok" for each in after):
                return
            time.sleep(_POLL_S)
        raise _failed("its service ended before the installation did")

    def _unmount(self) -> None:
        """Take away what a service that was killed left mounted."""
        stale = self._mount / "bundle"
        with contextlib.suppress(OSError):  # a folder that cannot be looked at: RAUC will say so
            if stale.is_mount():
                run(("umount", str(stale)), 30.0)


def _silent(_percent: int) -> None:
    """Nobody is told."""


def _failed(why: str) -> WorldError:
    return WorldError(
        "installer.failed",
        f"RAUC did not install the bundle: {why.rstrip('.')}.",
        remedy="The slot that runs is untouched. Look at it: journalctl -u rauc.",
    )
