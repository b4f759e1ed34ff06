"""A machine: a TPM, a flash, a little memory that survives, and a ROM. It boots as often as it is told to.

1. Nothing runs before it was verified and measured; what is wrong leads to recovery, the declared safe state, which is
   itself verified and measured behind an event that says what failed. If even that fails, the machine halts.
2. A boot resets the TPM. With `orderly` it is told before (TPM2_Shutdown); without, the next quote says so.
3. Floors rise when somebody confirms that the running release is good, never by booting it: a release that boots and
   then fails must leave the way back open.
4. What boots measure, register by register, is the table of `holdfast_sim.boot.measurements`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Literal, Protocol

import msgspec

from holdfast_core.formats.eventlog import kinds
from holdfast_core.kernel.errors import HostileData
from holdfast_sim.boot.artefacts import KEYS, LINUX, RECOVERY_KEYS, BootRelease, Rom
from holdfast_sim.boot.events import Measuring, secure_boot_variables, version_text
from holdfast_sim.boot.hardware import Component, Difference, differences, table
from holdfast_sim.boot.keys import open_table
from holdfast_sim.boot.stages import Boot
from holdfast_sim.boot.tpm import TpmLink

RUNNING: Literal["running"] = "running"
RECOVERED: Literal["recovery"] = "recovery"
HALTED: Literal["halted"] = "halted"
ROM = "rom"


class HasTpm(Protocol):
    """What gives a link to a TPM: `holdfast_sim.boot.swtpm.Swtpm`."""

    def link(self) -> TpmLink:
        """A fresh connection."""
        ...


class Failure(msgspec.Struct, frozen=True):
    """Why a boot stopped: the last stage that ran, the refusal's code and sentence."""

    stage: str
    code: str
    sentence: str

    def __str__(self) -> str:
        return f"failed after {self.stage}: {self.code}: {self.sentence}"


class BootReport(msgspec.Struct, frozen=True):
    """One boot.

    `log` is the event log, `started` the stages that ran, in order; `hardware` how the hardware differs, `command_line`
    the kernel's, empty where no kernel was started.
    """

    log: bytes
    started: tuple[str, ...]
    state: Literal["running", "recovery", "halted"]
    failures: tuple[Failure, ...]
    hardware: tuple[Difference, ...]
    command_line: str


class Nv:
    """The memory that survives: the least security version number of each artefact.

    Args:
        floors: as it was left; absent artefacts have 0.
    """

    def __init__(self, floors: Mapping[str, int] | None = None) -> None:
        self.floors: dict[str, int] = dict(floors or {})

    def raise_to(self, versions: Mapping[str, int]) -> None:
        """Raise the floors to `versions`; none ever sinks."""
        for name, svn in versions.items():
            self.floors[name] = max(svn, self.floors.get(name, 0))


class Machine:
    """One machine.

    Args:
        tpm: its TPM.
        flash: its files by name; whoever holds the mapping may change it between boots, as an update or a thief does.
        nv: its memory that survives.
        rom: what its maker put in.
        hardware: what a boot finds; `None` for what it was built with.
    """

    def __init__(
        self,
        tpm: HasTpm,
        flash: dict[str, bytes],
        nv: Nv,
        rom: Rom,
        hardware: Sequence[Component] | None = None,
    ) -> None:
        self.flash, self.nv, self.rom = flash, nv, rom
        self.hardware: tuple[Component, ...] = tuple(rom.hardware if hardware is None else hardware)
        self._tpm = tpm
        self._good: Boot | None = None
        self._on = False

    @classmethod
    def of(cls, release: BootRelease, tpm: HasTpm) -> Machine:
        """A machine as it leaves the factory with `release`."""
        return cls(tpm, dict(release.artefacts), Nv(), release.rom)

    def boot(self, *, orderly: bool = True) -> BootReport:
        """Start, or start again.

        Args:
            orderly: whether the TPM is told before it is reset; a power cut tells it nothing.

        Raises:
            WorldError: ``boot.tpm``.
        """
        with self._tpm.link() as link:
            if orderly and self._on:
                link.shutdown()
            link.power_cycle()
            link.startup()
            self._on = True
            return self._booted(Measuring(link))

    def confirm(self) -> None:
        """The running release is good: nothing older runs from now on, and no older recovery, if it has a good one.

        After a failed boot this does nothing.
        """
        if self._good is not None:
            with suppress(HostileData):
                self._good.check_recovery()
            self.nv.raise_to(self._good.running)

    def _booted(self, measuring: Measuring) -> BootReport:
        boot = Boot(self.flash, self.nv.floors, measuring)
        found = differences(self.rom.hardware, self.hardware)
        boot.started.append(ROM)
        state: Literal["running", "recovery", "halted"] = RUNNING
        failures: list[Failure] = []
        try:
            self._rom(boot, measuring, found)
            boot.linux() if self.rom.chain == LINUX else boot.mcu()
        except HostileData as error:
            failures.append(_failure(boot, error))
            state = self._recovered(boot, failures)
        self._good = boot if state == RUNNING else None
        return BootReport(measuring.log, tuple(boot.started), state, tuple(failures), found, boot.command_line)

    def _rom(self, boot: Boot, measuring: Measuring, found: Sequence[Difference]) -> None:
        """The first stage: what it is, what hardware it sees, whom it trusts."""
        measuring.telling(0, kinds.S_CRTM_VERSION, version_text(self.rom.version))
        measuring.telling(1, kinds.TABLE_OF_DEVICES, table(self.hardware))
        for each in found:
            measuring.telling(1, kinds.ACTION, str(each).encode("ascii", "replace"))
        self._trust(boot, measuring)
        if fatal := [each for each in found if each.fatal]:
            raise HostileData(
                "boot.hardware",
                "The hardware is not what this machine was built with: " + ", ".join(str(each) for each in fatal) + ".",
                remedy="Look at the machine; after a repair, its maker writes the new list.",
            )

    def _trust(self, boot: Boot, measuring: Measuring) -> None:
        """Read the key table, or the spare one of the recovery, and measure it; a damaged first one is told later."""
        refused: HostileData | None = None
        for name in (KEYS, RECOVERY_KEYS):
            try:
                boot.keys = open_table(boot.file(name), self.rom.root)
            except HostileData as error:
                refused = refused or error
                continue
            for data in secure_boot_variables(boot.keys.certificates, boot.keys.revoked):
                measuring.telling(7, kinds.EFI_VARIABLE_DRIVER_CONFIG, data)
            break
        if refused is not None:
            raise refused

    def _recovered(self, boot: Boot, failures: list[Failure]) -> Literal["recovery", "halted"]:
        boot.failed(str(failures[-1]))
        boot.command_line = ""
        try:
            boot.recovery()
        except HostileData as error:
            failures.append(_failure(boot, error))
            boot.failed(str(failures[-1]))
            return HALTED
        return RECOVERED


def _failure(boot: Boot, error: HostileData) -> Failure:
    return Failure(boot.started[-1], error.code, error.sentence)
