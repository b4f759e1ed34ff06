"""Archives that SWUpdate installs: started for each, with the slot to write as its selection; the order is ours.

1. SWUpdate checks signature, hardware and hashes, and writes. What an archive would write is asked of SWUpdate itself
   before (``-c``); only the inactive slot's device is allowed.
2. SWUpdate's own boot environment is left out (``-M -m``): the slot is armed when we say so, by the boot program.
3. The slot is read back from the medium and compared with the image in the archive, byte for byte.
4. Where the agent is killed and SWUpdate writes on, the next attempt waits for it (`programs.writing`).
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from holdfast_agent.update.installers import Progress
from holdfast_agent.update.installers.boot_program import BootProgram
from holdfast_agent.update.installers.medium import corrupt, forget, no_way_back, opened, pieces
from holdfast_agent.update.installers.memory import Memory
from holdfast_agent.update.installers.programs import Ended, Options, make_folder, run, writing
from holdfast_agent.update.installers.swupdate_archive import member
from holdfast_agent.update.installers.swupdate_said import Image, image_in, refusal
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.supply.model import Offer, Payload, PayloadKind
from holdfast_core.wire.update import Running, Slot

LONGEST_S = 3600.0
_WHOLE = 100


class SwSlot(msgspec.Struct, frozen=True):
    """A slot: its name in the boot environment, its device, and the set of an archive that writes it."""

    name: str
    device: str
    selection: str
    """``SOFTWARE,MODE``, such as ``stable,copy-2``."""


class SwConfig(msgspec.Struct, frozen=True):
    """How SWUpdate is used on this device."""

    slots: tuple[SwSlot, SwSlot]
    key: str
    """The certificate or public key that archives are verified with."""
    hardware: str
    """``BOARD:REVISION``."""
    boot: tuple[str, ...]
    """The program of the boot environment (`boot_program`)."""
    folder: str
    """For SWUpdate's sockets and temporary files; its owner's alone."""
    command: tuple[str, ...] = ("swupdate",)
    longest_s: float = LONGEST_S


class SwupdateInstaller:
    """Implements `installers.Installer` with SWUpdate as a program."""

    kind = PayloadKind.SWUPDATE.value

    def __init__(self, config: SwConfig, memory: Memory) -> None:
        self._config, self._memory, self._boot = config, memory, BootProgram(config.boot)

    def running(self) -> Running:
        """See the protocol."""
        name = self._boot.current()
        written = self._memory.written(name)
        return Running(name, written.release, written.counter) if written else Running(name)

    def slots(self) -> tuple[Slot, ...]:
        """See the protocol."""
        return tuple(self._slot(each.name) for each in self._config.slots)

    def on_trial(self) -> bool:
        """See the protocol."""
        return bool(self._memory.armed) and self._memory.armed == self._boot.current()

    def verify(self, payload: Path, offer: Offer) -> None:
        """See the protocol."""
        del offer
        self._image(payload, self._other())

    def write(self, payload: Path, offer: Offer, stated: Payload, progress: Progress) -> str:
        """See the protocol."""
        del stated
        other = self._other()
        with writing(self._folder() / "lock") as lock:
            image = self._image(payload, other)
            self._memory.forget(other.name)
            self._boot.make_primary(self._boot.current())
            self._boot.set_good(other.name, good=False)
            size = _size_of(payload, image)

            def watch(process: int) -> None:
                progress(min(_WHOLE, _position(process, other.device) * _WHOLE // max(1, size)))

            ended = self._swupdate(payload, other, ("-M", "-m"), Options(inherited=(lock,), watch=watch))
            if ended.code:
                raise _failed(refusal(ended))
        self._memory.keep(other.name, offer)
        progress(_WHOLE)
        return other.name

    def read_back(self, payload: Path, offer: Offer, stated: Payload) -> None:
        """See the protocol."""
        del stated
        other = self._written(offer)
        image = self._image(payload, other)
        with opened(payload) as source, opened(Path(other.device), writable=True) as slot:
            forget(slot)
            start, size = member(source, image.name)
            for ours, found in zip(pieces(source, start, size), pieces(slot, 0, size), strict=False):
                if ours != found:
                    raise corrupt(other.name, "what was read differs from the image")
            if os.lseek(slot, 0, os.SEEK_END) < size:
                raise corrupt(other.name, f"it is smaller than the image of {size} bytes")

    def arm(self, offer: Offer) -> None:
        """See the protocol."""
        other = self._written(offer)
        self._memory.arm(other.name)
        self._boot.set_good(other.name, good=True)
        self._boot.make_primary(other.name)

    def confirm(self, offer: Offer) -> None:
        """See the protocol."""
        running = self._boot.current()
        self._boot.set_good(running, good=True)
        self._boot.make_primary(running)
        self._memory.confirm(offer)

    def revert(self) -> None:
        """See the protocol."""
        running, other = self._boot.current(), self._other().name
        if self.on_trial():
            if not self._boot.good(other):
                self._boot.make_primary(running)
                self._boot.set_good(running, good=True)
                raise no_way_back(running, other)
            self._boot.make_primary(other)
            self._boot.set_good(running, good=False)
        elif self._memory.armed:
            self._boot.make_primary(running)
            self._boot.set_good(other, good=False)
            self._memory.arm("")

    def booted(self) -> None:
        """Once a boot, of a slot that is not on trial or has none beside it: give it its attempts back (see `rauc`)."""
        if not self.on_trial() or not self._boot.good(self._other().name):
            self._boot.set_good(self._boot.current(), good=True)

    def _slot(self, name: str) -> Slot:
        written = self._memory.written(name)
        release, counter = (written.release, written.counter) if written else ("", 0)
        return Slot(name, release, counter, self._boot.good(name))

    def _other(self) -> SwSlot:
        """The slot that does not run."""
        running = self._boot.current()
        others = [each for each in self._config.slots if each.name != running]
        if len(others) != 1:
            raise WorldError(
                "installer.boot_environment",
                f"The boot environment says that slot {running} runs, and the agent knows no such slot.",
                remedy="Correct the names of the slots in the agent's configuration.",
            )
        return others[0]

    def _written(self, offer: Offer) -> SwSlot:
        """The slot that does not run, once it holds the release."""
        other = self._other()
        written = self._memory.written(other.name)
        if written is None or written.release != offer.release:
            raise corrupt(other.name, f"{offer.release} was not written whole")
        return other

    def _image(self, payload: Path, slot: SwSlot) -> Image:
        """What the archive would write, all of it verified by SWUpdate."""
        return image_in(self._swupdate(payload, slot, ("-c",), Options()), slot.device)

    def _swupdate(self, payload: Path, slot: SwSlot, words: tuple[str, ...], options: Options) -> Ended:
        config = self._config
        argv = (
            *config.command, "-v", *words, "-H", config.hardware, "-k", config.key, "-e", slot.selection,
            "-i", str(payload.resolve()),
        )  # fmt: skip
        environment = {"TMPDIR": str(self._folder())}
        return run(argv, config.longest_s, Options(environment, options.inherited, options.watch))

    def _folder(self) -> Path:
        folder = Path(self._config.folder)
        make_folder(folder)
        return folder


def _size_of(payload: Path, image: Image) -> int:
    with opened(payload) as source:
        return member(source, image.name)[1]


def _position(process: int, device: str) -> int:
    """How far a process has come in writing a device, as the kernel tells; 0 where it does not."""
    wanted = os.path.realpath(device)
    try:
        for each in Path(f"/proc/{process}/fd").iterdir():
            if os.path.realpath(each) == wanted:
                facts = Path(f"/proc/{process}/fdinfo/{each.name}").read_text("ascii", "replace")
                return int(facts.split("pos:", 1)[1].split(maxsplit=1)[0])
    except (OSError, IndexError, ValueError):  # it ended meanwhile
        pass
    return 0


def _failed(why: HostileData) -> WorldError:
    return WorldError(
        "installer.failed",
        f"The archive was not installed. {why.sentence}",
        remedy=f"The slot that runs is untouched. {why.remedy}",
    )
