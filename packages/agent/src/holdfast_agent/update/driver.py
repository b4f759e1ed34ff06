"""The updates of one device: directives in, reports out, and the install machine driven in between.

1. The machine decides (`core.update.machine`), `Doing` acts, the journal is durable in between. When it cannot be
   written nothing more is done; it is read again from the disk.
2. One attempt at a time. Of several open directives the newest counts; the older ones are refused as superseded.
3. A directive that the server lists no more is withdrawn: what it asked for is called off, unless it booted.
4. A `turn` does one thing. What takes long is cut into slices, so that check-ins go on in between.
5. A device that cannot tell its slots takes no directive, and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from holdfast_agent.directives import done, refused
from holdfast_agent.update import doing
from holdfast_agent.update.boots import Boots
from holdfast_agent.update.bundle import Bundle, Openable
from holdfast_agent.update.doing import Doing
from holdfast_agent.update.journal import Journaled
from holdfast_agent.update.ports import Ports
from holdfast_core.kernel.errors import HoldfastError, WorldError
from holdfast_core.supply.model import PayloadKind
from holdfast_core.update import events as ev
from holdfast_core.update.agreement import Board, Target
from holdfast_core.update.install import Journal, Phase, attempt_of, model_of
from holdfast_core.update.machine import step
from holdfast_core.wire.device import Part
from holdfast_core.wire.frame import DirectiveReport
from holdfast_core.wire.orders import Order
from holdfast_core.wire.update import DIRECTIVE, SECTION, Running, Slot, UpdateAnswer, UpdateArgs, UpdateReport


class Identity(msgspec.Struct, frozen=True):
    """Who the device is, as far as it decides what it takes."""

    device: str
    hardware: tuple[str, ...]
    model: str = ""
    """Empty where it was never told: then it is found out (`install.model_of`)."""


class Driver:
    """The updates of the device `identity`, remembered in `folder`.

    Raises:
        WorldError: ``update.journal``, ``update.journal_damaged``.
    """

    def __init__(self, folder: Path, identity: Identity, ports: Ports, *, slice_s: float = 45.0) -> None:
        self._identity = identity
        self._ports = ports
        self._journaled = Journaled(folder)
        self._doing = Doing(folder, ports, slice_s=slice_s)
        self._seq = 0
        self._worth_fetching = False
        self._boot = ""
        """The boot in which it was found out where the device stands."""
        self._boots = Boots(folder)
        self.speaks = False
        """Whether the server should hear at once how far it is."""

    @property
    def journal(self) -> Journal:
        """What is remembered; durable."""
        return self._journaled.journal

    @property
    def trying(self) -> bool:
        """Whether a release runs on trial."""
        install = self.journal.under_way
        return install is not None and install.phase.on_trial

    @property
    def confirming(self) -> bool:
        """Whether the server's word has come, and the boot loader has not heard of it."""
        install = self.journal.under_way
        return install is not None and install.phase is Phase.CONFIRMING

    # Directives

    def reports(self, orders: Sequence[Order]) -> list[DirectiveReport]:
        """Take the open directives, and say which of them ended; the others stay open.

        Raises:
            WorldError: ``update.journal``.
        """
        ours = sorted((order for order in orders if order.kind == DIRECTIVE), key=lambda order: order.id)
        try:
            self._start()
        except HoldfastError as error:
            return [refused(order, error.code, str(error)) for order in ours]
        self._withdraw(ours)
        told: list[DirectiveReport] = []
        asked: list[tuple[Order, UpdateArgs]] = []
        for order in ours:
            try:
                args = msgspec.json.decode(order.args, type=UpdateArgs)
            except (msgspec.MsgspecError, RecursionError) as error:
                told.append(refused(order, "directive.malformed", f"The arguments could not be read: {error}."))
                continue
            report = self._stopped(order, args) if args.stop else self.journal.outcome(order.id, args)
            if report is not None:
                told.append(report)
            elif not args.stop:
                asked.append((order, args))
        for order, _ in asked[:-1]:
            told.append(refused(order, "update.superseded", "A later directive asks for another release."))
        for order, args in asked[-1:]:
            self._ask(order, args)
            report = self.journal.outcome(order.id, args)
            told += [report] if report is not None else []
        return told

    def _withdraw(self, ours: Sequence[Order]) -> None:
        install = self.journal.under_way
        if install is not None and install.directive and all(order.id != install.directive for order in ours):
            self._feed(ev.CalledOff("update.withdrawn", "The server does not ask for it any more."))

    def _stopped(self, order: Order, args: UpdateArgs) -> DirectiveReport | None:
        """Call the attempt off; what has booted is not."""
        install = self.journal.under_way
        if install is not None and install.args.release == args.release:
            self._feed(ev.CalledOff("update.stopped", "The server called it off."))
            install = self.journal.under_way
        if install is None or install.args.release != args.release:
            return done(order)
        if install.phase.on_trial:
            return refused(order, "update.on_trial", "The release has booted; it is confirmed, or it falls back.")
        return None

    def _ask(self, order: Order, args: UpdateArgs) -> None:
        install = self.journal.under_way
        if install is not None and (install.args.release, install.args.trial) != (args.release, args.trial):
            self._feed(ev.CalledOff("update.superseded", f"{args.release} is asked for instead."))
        self._feed(self._asked(order.id, args))

    def _asked(self, directive: int, args: UpdateArgs) -> ev.Asked:
        if self._ports.installer.on_trial():
            return ev.Asked(directive, args)
        running = self._running()
        return ev.Asked(directive, args, running.release, running.counter)

    def carry_bundle(self, bundle: Bundle) -> Target:
        """Begin with what a bundle has for this device, once all of it is verified; what that is.

        Raises:
            HostileData: as `Trust.carried`; ``update.digest``, ``update.wrong_length``.
            WorldError: as `carry`; ``update.not_pinned``, ``update.store``.
        """
        self._start()
        self._check_idle()
        target = self._ports.trusted.carried(bundle, self._board())
        args = UpdateArgs(target.offer.release, target.path, target.digest)
        self.carry(args, target, bundle.payload(target))
        return target

    def _check_idle(self) -> None:
        if self.journal.under_way is not None:
            raise WorldError(
                "update.busy", "Another release is being installed.", remedy="Wait for its end, or have it stopped."
            )

    def carry(self, args: UpdateArgs, target: Target, payload: Openable) -> None:
        """Begin with a release that a person carried here, and whose metadata was verified (`agreement.accept`).

        Raises:
            HostileData: ``update.digest``, ``update.wrong_length``.
            WorldError: ``update.busy``, ``update.payload_disk``, ``update.journal``.
        """
        self._start()
        self._check_idle()
        try:
            doing.carried(self._doing.payload, payload, target)
        except OSError as error:
            sentence = f"The payload could not be copied: {error.strerror}."
            raise WorldError("update.payload_disk", sentence, remedy="Make room, or look at the medium.") from error
        self._feed(self._asked(0, args))
        self._feed(ev.Accepted(target))

    def heard(self, answer: bytes, seq: int) -> None:
        """Take the server's answer to the section of check-in `seq`; one that cannot be read is none."""
        try:
            told = msgspec.json.decode(answer, type=UpdateAnswer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        self._worth_fetching = told.director > self._ports.trusted.director_version
        self._feed(ev.Answered(told.directive, told.order, seq, told.code, told.sentence))

    # Turns

    def turn(self, seq: int) -> bool:
        """Do the next thing; whether there is more to do right away.

        Args:
            seq: the last check-in that was composed.

        Raises:
            HoldfastError: ``update.journal``, ``installer.*``: nothing was done.
        """
        self._start()
        self._seq = seq
        if self.journal.under_way is None:
            self._look_again()
            return False
        before = _progress(self.journal)
        self._feed(ev.Ticked(self._ports.clock.now()))
        return _progress(self.journal) not in (None, before)

    def _start(self) -> None:
        """Find out where the device stands, once in a process and in every boot of what it updates."""
        now = self._ports.clock.now()
        if self._boot == now.boot:
            return
        installer = self._ports.installer
        slot, trial = installer.running().slot, installer.on_trial()
        self._boots.told(installer, now.boot)
        self._boot = now.boot
        self._feed(ev.Started(now, slot, trial))

    def _look_again(self) -> None:
        """Fetch metadata that the server says is newer, though nothing is asked for: a frozen view is noticed."""
        if not self._worth_fetching:
            return
        self._worth_fetching = False
        try:
            line = self._ports.dial()
            try:
                self._ports.trusted.refresh(line)
            finally:
                line.close()
        except HoldfastError as error:
            self._ports.say(str(error))

    def _feed(self, event: ev.Event) -> None:
        journal, effects = step(self.journal, event)
        self._journaled.journal = journal
        for effect in effects:
            if isinstance(effect, ev.Save):
                self._save(journal)
            elif isinstance(effect, ev.Report):
                self.speaks = True
            elif journal.install is not None:
                answer = self._doing.do(effect, journal.install, self._board(), self._seq)
                if answer is not None:
                    self._feed(answer)

    def _save(self, journal: Journal) -> None:
        try:
            self._journaled.save(journal)
        except WorldError:
            self._journaled.reload()
            raise

    # What the device says of itself

    def part(self) -> Part | None:
        """The section; `None` where the device cannot tell its slots. What it says is told with the next check-in."""
        self.speaks = False
        try:
            self._start()
            return Part(SECTION, msgspec.json.encode(self._report()))
        except HoldfastError as error:
            self._ports.say(str(error))
            return None

    def _report(self) -> UpdateReport:
        trusted, board = self._ports.trusted, self._board()
        return UpdateReport(
            self._running(),
            self._identity.hardware,
            self._ports.installer.kind,
            board.floor,
            tuple(self._known(slot) for slot in self._ports.installer.slots()),
            attempt_of(self.journal),
            self._ports.power(),
            trusted.director_version,
            trusted.frozen,
        )

    def _running(self) -> Running:
        running = self._ports.installer.running()
        holds = self.journal.in_slot(running.slot)
        return running if running.release or holds is None else Running(running.slot, holds.release, holds.counter)

    def _known(self, slot: Slot) -> Slot:
        holds = self.journal.in_slot(slot.name)
        if slot.release or holds is None or not slot.good:
            return slot
        return Slot(slot.name, holds.release, holds.counter, slot.good)

    def _board(self) -> Board:
        """What decides what it takes. What it runs and is not on trial counts as confirmed, though it came with it."""
        running, journal = self._running(), self.journal
        lasting = Running(running.slot) if self._ports.installer.on_trial() else running
        return Board(
            self._identity.device,
            self._identity.model or model_of(journal, lasting.release),
            self._identity.hardware,
            PayloadKind(self._ports.installer.kind),
            running.counter,
            max(journal.floor, lasting.counter),
            journal.svn_floor,
        )


def _progress(journal: Journal) -> tuple[object, ...] | None:
    """What changes whenever an attempt comes nearer to its end; `None` at the end."""
    install = journal.under_way
    return None if install is None else (install.phase, install.fetched, install.spoiled)
