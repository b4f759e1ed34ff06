"""One contact with the server, and the resident loop of contacts.

1. The protocol's machine decides; this module carries out its effects, in their order, one after another.
2. A contact is one check-in, and a few more at once when the server asked for something that can be told now.
3. When the state could not be written, it is read again from the disk, and the check-in is over: nothing that is not
   durable is ever sent.
4. SIGTERM may end the process between any two steps; what is written is always whole.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from holdfast_agent import directives, hardening, sections, transport
from holdfast_agent.attest import Attester
from holdfast_agent.audit import Extent, ended, extent_due, look_heavy, look_light, looked
from holdfast_agent.clock import Clock
from holdfast_agent.dialing import dial
from holdfast_agent.pace import Pace, lowest_priority
from holdfast_agent.state import (
    ERASING,
    FINDINGS,
    PLAN,
    AuditMark,
    Config,
    Erasing,
    Folder,
    KeyPlace,
    Stored,
)
from holdfast_core.baseline.model import Findings, Plan
from holdfast_core.inventory.erasure import SECTION
from holdfast_core.kernel.digests import Digest, canonical, digest_of
from holdfast_core.kernel.errors import HoldfastError, HostileData, WorldError
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire import confirm
from holdfast_core.wire.codec import decode_reply
from holdfast_core.wire.confirm import Trial
from holdfast_core.wire.device import (
    Carried,
    Carry,
    CheckInDue,
    DeviceState,
    Effect,
    Event,
    Part,
    Refusal,
    Refused,
    Replied,
    Save,
    Send,
    TrialBegins,
    step,
)  # fmt: skip
from holdfast_core.wire.frame import MEDIA_TYPE, DirectiveReport, Health, Pin, Reply
from holdfast_core.wire.orders import Order

if TYPE_CHECKING:
    from holdfast_agent.secrets import Setter
    from holdfast_agent.update.driver import Driver
    from holdfast_core.update.agreement import Target

MAX_ROUNDS = 4
"""Check-ins of one contact."""
SLICE_S = 30
"""The longest sleep at a stretch: a suspended device notices soon after that its time has come."""
CHECK_IN_PATH = "/v1/check-in"
UPDATE = "update"
"""Section, answer and directive of updates."""
RENEW_FIRST = frozenset({"identity.expired", "identity.issuer_ended"})
"""Refusals that a renewal answers: the certificate is genuine, and its time is over."""
REKEYED = Refusal(
    409, "agent.renewed", "The certificate was renewed; this check-in was made before.", "Nothing: it is made anew."
)
"""Why a message is dropped whose evidence is of the attestation key before."""

NO_INSTALLER = ("update.no_installer", "Nothing on this device can install a release.")
OVER = "This device was retired: its data and its key are erased. It will not call again."


def say(words: str) -> None:
    """A line for a person, on stderr."""
    sys.stderr.write(words + "\n")
    sys.stderr.flush()


class Agent:
    """The agent of one device.

    Args:
        folder: its state, locked by the caller.
        config: what was decided at enrollment.
        clock: its sense of time.
        connect: makes the connection of one contact.
        setter: sets local secrets; by itself, with ``chpasswd``.
        updates: the updates of the device; by itself, those of the installer that is configured, if there is one.

    Raises:
        WorldError: ``agent.state_damaged``.
    """

    def __init__(
        self,
        folder: Folder,
        config: Config,
        clock: Clock,
        connect: Callable[[Folder, Config], transport.Channel] = dial,
        setter: Setter | None = None,
        *,
        updates: Driver | None = None,
    ) -> None:
        self._folder = folder
        self._config = config
        self._clock = clock
        self._connect = connect
        self._setter = setter
        self._channel: transport.Channel | None = None
        self._rounds_left = 0
        self._recheck = False
        """Whether to look at the light controls in any case: something was just changed, or a person asked."""
        self._looked = False
        """Whether the light controls were looked at in this contact."""
        self._sat = False
        """Whether this contact had its sitting of the heavy ones."""
        self._auditing = True
        """Whether this contact begins an audit that is due."""
        self._rekeyed = False
        """Whether the last message was dropped, for what it says was signed by a key that has gone."""
        self._state = DeviceState()
        self._mark: AuditMark | None = None
        self._plan: Plan | None = None
        self._erasing: Erasing | None = None
        self._attester = Attester(folder, config, say)
        self._known: Findings | None = None
        self._no_updates = NO_INSTALLER
        self._updates = updates or self._updates_here()
        self._told: tuple[int, bytes] | None = None
        """What the server last said of an update, in answer to which check-in, until it is taken."""
        self.retired = False
        """Whether the device's life ended in the last contact."""
        self._load()
        self._feed(confirm.Ticked(clock.now(), started=True))

    @property
    def state(self) -> DeviceState:
        """What the protocol remembers."""
        return self._state

    @property
    def blocked(self) -> bool:
        """Whether a pause that the last failure imposed is not over yet."""
        return self._state.trouble is not None and self._state.waits(self._clock.now()) > 0

    def contact(self, *, recheck: bool = False, audit: bool = True) -> bool:
        """Check in, again at once where that is owed; whether the server was reached and took it.

        Args:
            recheck: look at the light controls whether or not they are due.
            audit: whether an audit that is due is begun; left to the next contact where somebody waits for this one.

        Raises:
            WorldError: ``agent.disk``: nothing was sent that is not durable.
        """
        self._recheck = self._recheck or recheck
        self._auditing = audit
        if self._updates is not None and self._updates.trying:
            self.turn()  # what has just booted says whether it is well
        try:
            return self._rounds()
        except HoldfastError:
            self._load()
            raise
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def give_up_trial(self) -> None:
        """Take back a change that no healthy check-in has confirmed: a one-shot run will not see its time run out."""
        if self._state.trial is not None:
            self._feed(confirm.GaveUp())

    def run(self) -> NoReturn:
        """Check in whenever it is due, for ever; SIGTERM ends the process with 0."""
        signal.signal(signal.SIGTERM, _end)
        while True:
            try:
                self.contact()
                if self.retired:
                    say(OVER)
                    sys.exit(0)
            except HoldfastError as error:
                say(str(error))
                self._feed(_refused(self._clock, error.code, error.sentence, error.remedy), persist=False)
            self._sleep()

    def _rounds(self) -> bool:
        self._feed(confirm.Ticked(self._clock.now()))
        self._looked = self._sat = self._rekeyed = False
        self._attester.begin()
        for rounds_left in range(MAX_ROUNDS - 1, -1, -1):
            self._rounds_left = rounds_left
            now = self._clock.now()
            resending = self._state.pending is not None
            parts, healthy = ((), None) if resending else self._gather()
            self._feed(CheckInDue(now, parts, healthy))
            self._hear_of_update()
            if self._rekeyed and rounds_left:
                self._rekeyed = False
                continue
            self._end_if_told()
            if self.retired:
                return True
            if self._state.trouble is not None:
                return False
            if not self._state.owes_more and (self._sat or self._extent() is not Extent.FULL):
                break
        return True

    def _sleep(self) -> None:
        """Sleep until the next check-in is due; a trial's end is watched meanwhile."""
        while wait := self._state.waits(self._clock.now()):
            more = self.turn()
            if self._has_word:
                return
            if more:
                continue
            self._clock.sleep(min(wait, SLICE_S))
            if self._state.trial is not None:
                self._feed(confirm.Ticked(self._clock.now()))

    # Effects

    def _feed(self, event: Event, *, persist: bool = True) -> None:
        self._state, effects = step(self._state, event)
        for effect in effects:
            if persist or not isinstance(effect, Save):
                self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Save():
                self._folder.save(Stored(self._state, self._mark, ima=self._attester.places))
            case Send(data):
                self._feed(self._send(data))
            case Carry(orders):
                for order in orders:
                    self._carry(order)
            case confirm.Apply():
                self._feed(self._apply())
            case confirm.Undo(changes):
                self._recheck = True
                self._feed(hardening.take_back(changes, self._config))

    def _send(self, data: bytes) -> Event:
        try:
            reply = decode_reply(self._answer(data), LIMITS)
        except transport.Failed as error:
            return Refused(self._clock.now(), error.refusal, _jitter())
        except HostileData as error:
            return _refused(self._clock, "agent.bad_reply", error.sentence, error.remedy)
        if self._updates is not None and (told := reply.answers.get(UPDATE)) is not None:
            self._told = (reply.seq, bytes(told))
        return Replied(self._clock.now(), reply, _pin_in(reply))

    def _answer(self, data: bytes) -> bytes:
        """The server's answer; a certificate that has to be renewed first is renewed, once.

        Raises:
            Failed: also where the message has to be made anew: with a key in a TPM the attestation key goes with the
                certificate, and evidence by the one before would be taken for a stranger's.
        """
        headers = {"Content-Type": MEDIA_TYPE}
        try:
            return self._line().call("POST", CHECK_IN_PATH, data, headers)
        except transport.Failed as error:
            if error.refusal.code not in RENEW_FIRST:
                raise
        self._renew(b"{}")
        if self._config.key is KeyPlace.TPM:
            self._rekeyed = True
            raise transport.Failed(REKEYED)
        return self._line().call("POST", CHECK_IN_PATH, data, headers)

    def _line(self) -> transport.Channel:
        if self._channel is None:
            self._channel = self._connect(self._folder, self._config)
        return self._channel

    def _renew(self, args: bytes) -> bool:
        """Renew the certificate, whatever key and certificate the next connection then shows."""
        from holdfast_agent import renewal  # noqa: PLC0415  (it costs memory that a check-in must not)

        wanted = msgspec.json.decode(args, type=renewal.RenewArgs)
        done = renewal.renew(self._folder, self._config, self._line(), wanted)
        self._hang_up()
        if done and self._config.key is KeyPlace.TPM:
            self._attester.rekeyed(self._state.nonce)
        return done

    def _apply(self) -> Event:
        trial = self._state.trial
        assert trial is not None  # noqa: S101  (its own effect brought us here)
        event = hardening.make(trial, self._plan, self._config, self._clock)
        self._recheck = isinstance(event, confirm.Applied)
        return event

    # Directives

    def _carry(self, order: Order) -> None:
        match order.kind:
            case "plan":
                self._feed(Carried(self._take_plan(order)))
            case "audit-now":
                pass  # it stays open, which makes an audit due; see `_gather`
            case "harden":
                self._harden(order)
            case "renew":
                self._take_renewal(order)
            case "rotate-secrets":
                self._rotate_secrets(order)
            case "erase":
                self._erase(order)
            case "update":
                self._update(order)
            case _:
                self._feed(Carried(directives.unsupported(order)))

    # Updates

    def turn(self) -> bool:
        """Do the next thing of an update; whether there is more to do right away."""
        if self._updates is None:
            return False
        try:
            self._report_updates(self._updates)
            more = self._updates.turn(self._state.seq)
            self._report_updates(self._updates)
        except HoldfastError as error:
            say(str(error))
            return False
        return more

    def finish_update(self) -> None:
        """Go on with an update until something has to come from outside: a one-shot run has no later."""
        while not self.retired:
            more = self.turn()
            if self._has_word:
                self.contact()
            elif not more:
                return

    def carry(self, bundle: Path) -> Target:
        """Begin with what a person carried here, and go on until something has to come from outside.

        Raises:
            HostileData: it is refused, as `Driver.carry_bundle` says.
            WorldError: likewise; ``update.no_installer``.
        """
        if self._updates is None:
            code, sentence = self._no_updates
            raise WorldError(code, sentence, remedy="Enroll the device again with --slots or --installer.")
        from holdfast_agent.update.bundle import opened  # noqa: PLC0415  (only where a person carries one)

        with opened(bundle) as held:
            target = self._updates.carry_bundle(held)
        while self._updates.turn(self._state.seq):
            pass
        return target

    @property
    def _has_word(self) -> bool:
        """Whether the server should hear of an update at once, and could."""
        return self._updates is not None and self._updates.speaks and self._state.trouble is None

    def _updates_here(self) -> Driver | None:
        if not self._config.installer:
            return None
        from holdfast_agent.update.joining import updates_of  # noqa: PLC0415  (only where there is an installer)

        try:
            return updates_of(self._folder, self._config, self._clock, well=self._well, say=say)
        except HoldfastError as error:
            say(str(error))
            self._no_updates = (error.code, str(error))
            return None

    def _well(self) -> Health | None:
        return sections.health(self._plan.health, self._config, self._clock) if self._plan is not None else None

    def _update(self, order: Order) -> None:
        if self._updates is None:
            self._feed(Carried(directives.refused(order, *self._no_updates)))
        else:
            self._report_updates(self._updates)

    def _report_updates(self, updates: Driver) -> None:
        for report in updates.reports(self._state.orders.open):
            self._feed(Carried(report))

    def _hear_of_update(self) -> None:
        """Take what the server said of an update; a release that it confirms is confirmed before anything else."""
        told, self._told = self._told, None
        if self._updates is not None and told is not None:
            seq, answer = told
            self._updates.heard(answer, seq)
            if self._updates.confirming:
                self.turn()

    def _erase(self, order: Order) -> None:
        """Erase the device; the order is durable before anything goes, and what came of it before it is told."""
        if self._state.trial is not None:
            return  # it stays open until the change is kept or taken back
        args = directives.read_erase(order)
        if isinstance(args, DirectiveReport):
            self._feed(Carried(args))
            return
        if self._erasing is None or self._erasing.report is None or self._erasing.directive != order.id:
            from holdfast_agent.erasing import erase  # noqa: PLC0415  (once in a device's life)

            self._keep_erasing(Erasing(order.id, args))
            report = erase(args, Path(self._config.root))
            # A key in a TPM is a wrapped file here and goes with the folder; one in a token is not ours to remove.
            goes = self._config.key is not KeyPlace.TOKEN
            self._keep_erasing(Erasing(order.id, args, msgspec.structs.replace(report, key=goes)))
        self._feed(Carried(directives.done(order)))

    def _keep_erasing(self, erasing: Erasing) -> None:
        self._folder.write(ERASING, msgspec.json.encode(erasing))
        self._erasing = erasing

    def _end_if_told(self) -> None:
        """The key goes once the server has the report, or takes nothing from this device any more."""
        if self._erasing is None or self._erasing.report is None:
            return
        taken = self._state.acked.get(SECTION) == digest_of(msgspec.json.encode(self._erasing.report))
        trouble = self._state.trouble
        if taken or (trouble is not None and trouble.of_identity):
            if self._config.key is KeyPlace.TPM:
                from holdfast_agent.tpm_enroll import remove_all  # noqa: PLC0415  (once in a device's life)

                remove_all(self._folder, self._config.tcti)
            self._folder.retire(self._config.device, int(self._clock.wall_s()))
            self.retired = True

    def _take_plan(self, order: Order) -> DirectiveReport:
        plan = directives.read_plan(order)
        if isinstance(plan, DirectiveReport):
            return plan
        self._folder.write_if_changed(PLAN, canonical(plan))
        self._plan = plan
        return directives.done(order)

    def _take_renewal(self, order: Order) -> None:
        """Renew; what only has to be tried again stays open, and is, at the next contact."""
        try:
            done = self._renew(order.args.encode())
        except transport.Failed as error:
            if not error.refusal.passing:
                self._feed(Carried(directives.refused(order, error.code, error.sentence)))
        except (HostileData, msgspec.MsgspecError) as error:
            code = error.code if isinstance(error, HostileData) else "directive.malformed"
            self._feed(Carried(directives.refused(order, code, str(error))))
        else:
            said = "" if done else "The certificate that was meant is not in use any more."
            self._feed(Carried(directives.done(order, said)))

    def _rotate_secrets(self, order: Order) -> None:
        from holdfast_agent.secrets import Chpasswd, carry_out  # noqa: PLC0415  (few contacts need what it imports)

        setter = self._setter or Chpasswd(Path(self._config.root))
        report = carry_out(order, self._line(), setter)
        if report is not None:
            self._feed(Carried(report))

    def _harden(self, order: Order) -> None:
        if self._state.trial is not None or not self._rounds_left:
            return  # it stays open until one more check-in can follow it
        args = directives.read_harden(order)
        if isinstance(args, DirectiveReport):
            self._feed(Carried(args))
            return
        try:
            prepared = hardening.prepare(args, self._plan, self._config, self._clock)
        except hardening.Refusal as error:
            self._feed(Carried(directives.refused(order, error.code, error.sentence)))
            return
        if not prepared.changes:
            self._feed(Carried(directives.done(order, "Nothing had to be changed.")))
            return
        now, seq = self._clock.now(), self._state.seq
        trial = Trial(order.id, args.control, prepared.changes, args.confirm_s, now, seq, reboot=prepared.reboot)
        self._feed(TrialBegins(trial))

    # Evidence

    def _gather(self) -> tuple[tuple[Part, ...], bool | None]:
        if self._erasing is not None and self._erasing.report is not None:
            # The last word; there is nothing left to look at.
            return (Part(SECTION, msgspec.json.encode(self._erasing.report)),), None
        extent = self._extent()
        if extent is Extent.NOTHING and self._recheck and self._plan is not None:
            extent = Extent.LIGHT
        if extent is not Extent.NOTHING and self._plan is not None:
            self._audit(extent, self._plan)
        self._recheck = False
        found = None
        mark, first = self._mark, "baseline" not in self._state.acked
        if mark is not None and (mark.whole or first) and (findings := self._findings()) is not None:
            found = (findings, self._clock.now().since(mark.full) or 0)
        probe = self._plan.health if self._plan else None
        parts, healthy = sections.gather(probe, found, self._sent(found), self._config, self._clock)
        updates = self._updates.part() if self._updates is not None else None
        parts = (*parts, updates) if updates is not None else parts
        size = sum(len(part.body) for part in parts)
        return (*parts, *self._attester.parts(self._state, self._clock.now(), size)), healthy

    def _is_held(self, findings: Findings) -> bool:
        """Whether the server holds exactly these findings."""
        return self._state.acked.get("baseline") == digest_of(sections.fitting(findings))

    def _sent(self, found: tuple[Findings, int] | None) -> Findings | None:
        """The earlier audit that the server holds, where it is not the last one."""
        if found is None or "baseline" not in self._state.acked or self._is_held(found[0]):
            return None
        return self._folder.sent()

    def _extent(self) -> Extent:
        if self._plan is None or not self._auditing:
            return Extent.NOTHING
        asked = any(order.kind == "audit-now" for order in self._state.orders.open)
        return extent_due(
            _digest(self._plan),
            self._plan,
            self._mark,
            self._clock.now(),
            self._config,
            asked=asked,
        )

    def _audit(self, extent: Extent, plan: Plan) -> None:
        """Look at what is cheap, or, where that was done in this contact and all is due, at what is costly."""
        begun, before, wall_s = self._clock.now(), self._findings(), self._clock.wall_s()
        if extent is Extent.FULL and self._looked and self._mark is not None:
            if not self._sat:
                self._sit(plan, before, self._mark)
            return
        with lowest_priority():
            seen, more = look_light(plan, before, self._config, wall_s=wall_s)
        self._keep(before, seen)
        self._looked = True
        mark, self._mark = self._mark, looked(extent, _digest(plan), self._mark, begun)
        if mark is None or (mark.plan, mark.begun) != (self._mark.plan, self._mark.begun):
            self._folder.keep_walk(b"")  # what was put down belongs to another round
        if extent is Extent.FULL and not more:
            self._end(ended(self._mark))
        elif extent is Extent.FULL and "baseline" in self._state.acked:
            self._sit(plan, seen, self._mark)

    def _sit(self, plan: Plan, before: Findings | None, mark: AuditMark) -> None:
        """One sitting of what is costly."""
        self._hang_up()  # it may take minutes, and a connection that says nothing is closed at the other end
        walk, wall_s = self._folder.walk(), self._clock.wall_s()
        with lowest_priority():
            seen = look_heavy(plan, before, self._config, wall_s=wall_s, breath=Pace(plan.budget), walk=walk)
        self._keep(before, seen.findings)
        self._sat = True
        if walk or seen.walk:
            self._folder.keep_walk(seen.walk)
        if not seen.walk:
            self._end(ended(mark))

    def _end(self, mark: AuditMark) -> None:
        """All that is due was looked at."""
        self._mark = mark
        for order in self._state.orders.open:
            if order.kind == "audit-now":
                self._feed(Carried(directives.done(order)))

    def _keep(self, before: Findings | None, seen: Findings) -> None:
        """Make new findings durable; those that the server holds are kept to tell only what changed."""
        self._known = seen
        if before is not None and before != seen and self._is_held(before):
            self._folder.keep_sent()
        self._folder.write_if_changed(FINDINGS, msgspec.json.encode(seen))

    def _findings(self) -> Findings | None:
        if self._known is None:
            self._known = self._folder.findings()
        return self._known

    def _load(self) -> None:
        """Take everything from the disk; findings only when they are needed."""
        stored = self._folder.state()
        self._state = stored.protocol
        self._mark = stored.audit
        self._attester.places = stored.ima
        self._plan = self._folder.plan()
        self._erasing = self._folder.erasing()
        self._known = None


def _digest(plan: Plan) -> Digest:
    return digest_of(canonical(plan))


def _pin_in(reply: Reply) -> Pin | None:
    """Size and root of the reply's checkpoint; one that cannot be read is no pin."""
    if reply.checkpoint is None:
        return None
    lines = reply.checkpoint.split("\n", 3)
    if len(lines) < 3 or not lines[1].isascii() or not lines[1].isdigit() or len(lines[1]) > 18:  # noqa: PLR2004  (origin, size of at most 18 digits, root)
        return None
    return Pin(int(lines[1]), lines[2][: LIMITS.text])


def _refused(clock: Clock, code: str, sentence: str, remedy: str) -> Refused:
    return Refused(clock.now(), Refusal(0, code, sentence, remedy), _jitter())


def _jitter() -> float:
    return int.from_bytes(os.urandom(2), "big") / 65_536


def _end(_signal: int, _frame: object) -> NoReturn:
    sys.exit(0)
