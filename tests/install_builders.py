"""A device in a few values, to install on: a disk, two slots, a boot loader, a server; it can lose its power anywhere.

What the machine asks for is carried out on the values, one small change after another; before each of them, and
before each answer is heard, the power may go. Then everything but the disk is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast_core.kernel.digests import digest_of
from holdfast_core.supply.model import Nature, Offer, PayloadKind
from holdfast_core.update import events as ev
from holdfast_core.update.agreement import Target
from holdfast_core.update.install import Install, Journal, Phase
from holdfast_core.update.machine import step
from holdfast_core.wire.confirm import Moment
from holdfast_core.wire.update import Order, UpdateArgs

CHUNKS = 4
OLD, NEW = "cam:1", "cam:2"
TRIES = 3


def offer(release: str = NEW, counter: int = 2, svn: int = 1) -> Offer:
    return Offer(release, counter, svn, PayloadKind.FILE, ("board-1",), Nature.FEATURE)


def target(release: str = NEW, counter: int = 2, *, payload: bytes = b"image", svn: int = 1) -> Target:
    model, _, version = release.partition(":")
    return Target(f"{model}/{version}/image.img", len(payload), digest_of(payload), offer(release, counter, svn))


class PowerCut(Exception):
    """The power went."""


@dataclass
class World:
    """The device and its server. `boots`, `well`, `reaches`: what the new release is good for.

    `back_boots`: whether the old one still boots once the new one was tried; where not, the boot loader falls forward.
    """

    boots: bool = True
    well: bool = True
    reaches: bool = True
    back_boots: bool = True
    order: Order = Order.CONFIRM
    directive: int = 7
    journal: Journal = field(default_factory=Journal)
    on_disk: Journal = field(default_factory=Journal)
    chunks: int = 0
    fetched: int = 0
    slots: dict[str, str] = field(default_factory=lambda: {"a": OLD, "b": ""})
    primary: str = "a"
    trial: str = ""
    tries: int = 0
    runs: str = "a"
    boot: int = 1
    up_s: int = 0
    seq: int = 10
    fuel: int = -1
    rebooted: bool = False
    reported: list[Phase] = field(default_factory=list)
    reboots: int = 0
    """Those that the machine asked for."""
    tried_new: bool = False

    @property
    def at(self) -> Moment:
        return Moment(f"boot-{self.boot}", self.up_s)

    @property
    def args(self) -> UpdateArgs:
        return UpdateArgs(NEW, path="cam/2/image.img", confirm_s=600)

    @property
    def install(self) -> Install | None:
        return self.journal.install

    def spend(self) -> None:
        """One small thing happens, unless the power goes before."""
        if self.fuel == 0:
            raise PowerCut
        self.fuel -= 1

    # The boot loader

    def power_on(self) -> None:
        """Begin a boot, after whatever happened."""
        self.boot += 1
        self.up_s = 0
        self.rebooted = False
        if self.trial and self.tries > 0:
            self.tries -= 1
            if self.slots[self.trial] == NEW and not self.boots:
                self.power_on()
                return
            self.runs = self.trial
        else:
            self.trial = ""
            forward = self.tried_new and not self.back_boots and self.slots[self.primary] == OLD
            self.runs = ("b" if self.primary == "a" else "a") if forward else self.primary
        self.tried_new = self.tried_new or self.slots[self.runs] == NEW
        assert self.slots[self.runs] in (OLD, NEW), "a whole release boots, whatever happened"
        self.journal = self.on_disk
        self.feed(ev.Started(self.at, self.runs, trial=bool(self.trial) and self.runs == self.trial))

    # The agent

    def turn(self) -> None:
        """One turn of the agent's loop."""
        self.up_s += 40
        if self.journal.install is None or self.journal.install.phase.is_end:
            if self.journal.outcome(self.directive, self.args) is None and self.slots[self.runs] != NEW:
                self.feed(ev.Asked(self.directive, self.args, runs=self.slots[self.runs]))
            return
        self.feed(ev.Ticked(self.at))
        if self.rebooted:
            self.power_on()
            return
        self.seq += 1
        install = self.install
        told = install is not None and install.phase in (Phase.BOOTED, Phase.CONFIRMING)
        if told and (self.reaches or self.slots[self.runs] == OLD):
            self.feed(ev.Answered(self.directive, self.order, self.seq))

    def feed(self, event: ev.Event) -> None:
        self.spend()
        self.journal, effects = step(self.journal, event)
        for effect in effects:
            answer = self.carry_out(effect)
            if answer is not None:
                self.feed(answer)

    def carry_out(self, effect: ev.Effect) -> ev.Event | None:  # noqa: C901, PLR0911, PLR0912  (one arm for each effect)
        self.spend()
        match effect:
            case ev.Save():
                self.on_disk = self.journal
            case ev.Report():
                assert self.install is not None
                self.reported.append(self.install.phase)
            case ev.Resolve():
                return ev.Accepted(target())
            case ev.Look():
                return ev.Free()
            case ev.Fetch():
                if self.chunks == CHUNKS:
                    return ev.Fetched()
                self.fetched += 1
                self.spend()
                self.chunks += 1
                if self.chunks < CHUNKS:
                    return ev.Came(1, 100 * self.chunks // CHUNKS)
                return ev.Fetched(1)
            case ev.Discard():
                self.chunks = 0
            case ev.Verify():
                assert self.chunks == CHUNKS
                return ev.Verified()
            case ev.Write():
                slot = "b" if self.runs == "a" else "a"
                assert slot != self.runs
                self.slots[slot] = "half"
                self.spend()
                self.slots[slot] = NEW
                return ev.Written(slot)
            case ev.ReadBack():
                return ev.ReadBackDone()
            case ev.Arm():
                assert self.install is not None
                assert self.slots[self.install.slot] == NEW, "what is armed is whole"
                self.trial, self.tries = self.install.slot, TRIES
                return ev.Armed()
            case ev.Reboot():
                self.rebooted = True
                self.reboots += 1
            case ev.SelfTest():
                return ev.SelfTested(self.well, "" if self.well else "It is not well.", self.seq, self.at)
            case ev.Confirm():
                self.primary, self.trial = self.runs, ""
                return ev.Confirmed()
            case ev.Revert():
                self.trial = ""
                return ev.Reverted()
        return None

    def live(self, cuts: list[int], turns: int = 400) -> None:
        """Go on until the attempt ended; the power goes after as many small things as `cuts` says, each time."""
        left = list(cuts)
        self.fuel = left.pop(0) if left else -1
        for _ in range(turns):
            try:
                self.turn()
            except PowerCut:
                self.restart(left)
            if not left and self.fuel < 0 and self.journal.install is not None and self.journal.install.phase.is_end:
                return

    def restart(self, left: list[int]) -> None:
        while True:
            self.fuel = left.pop(0) if left else -1
            try:
                self.power_on()
            except PowerCut:
                continue
            return
