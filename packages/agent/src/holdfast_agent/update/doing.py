"""Carrying out what the install machine asks for: one effect after another, each answered by one event.

1. An effect may have been carried out before, wholly or half: all of them begin anew without harm.
2. What went wrong is an event, too (`events.Failed`): in the world around, it may pass; in the release or its metadata
   it does not.
3. A payload that is not what was signed never gets as far as an installer.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from holdfast_agent.transport import Failed as NotReached
from holdfast_agent.update import guards
from holdfast_agent.update.bundle import Openable
from holdfast_agent.update.download import CHUNK, Download, Interrupted, Rate, Wrong
from holdfast_agent.update.ports import Ports
from holdfast_agent.update.site_cache import Sources
from holdfast_core.kernel.errors import HoldfastError, HostileData
from holdfast_core.supply.model import Payload
from holdfast_core.update import events as ev
from holdfast_core.update.agreement import Board, Target, accept
from holdfast_core.update.install import Install
from holdfast_core.update.time import Source

PAYLOAD = "payload.part"


class Doing:
    """What one device does for an update.

    Args:
        folder: where the payload lies while it comes.
        ports: everything outside.
        slice_s: seconds of a download between two looks at anything else.
    """

    def __init__(self, folder: Path, ports: Ports, *, slice_s: float = Rate().slice_s) -> None:
        self._folder = folder
        self._ports = ports
        self._slice_s = slice_s
        self._download: Download | None = None
        self._sources = Sources(ports)
        self._sources_of: Target | None = None

    @property
    def payload(self) -> Path:
        """Where the payload lies."""
        return self._folder / PAYLOAD

    def do(self, effect: ev.Effect, install: Install, board: Board, seq: int) -> ev.Event | None:
        """Carry it out, and say what came of it.

        Args:
            effect: any but `Save` and `Report`.
            install: the attempt that it is for.
            board: what the device is and runs.
            seq: the last check-in that was composed.
        """
        try:
            return self._act(effect, install, board, seq)
        except Wrong as error:
            resumed = error.resumed or self._sources.mixed
            self._sources.distrust()
            return ev.Spoiled(error.code, error.sentence, resumed)
        except Interrupted as error:
            return self._interrupted(error)
        except HoldfastError as error:
            lasting = isinstance(error, HostileData) or (isinstance(error, NotReached) and not error.refusal.passing)
            return self._failed(error, passing=not lasting)

    def _act(self, effect: ev.Effect, install: Install, board: Board, seq: int) -> ev.Event | None:
        answer: ev.Event | None = None
        match effect:
            case ev.Resolve():
                answer = self._resolve(install, board)
            case ev.SelfTest():
                answer = self._self_test(seq)
            case ev.Reboot():
                self._ports.reboot()
            case ev.Revert():
                self._ports.installer.revert()
                answer = ev.Reverted()
            case ev.Discard():
                self._discard()
            case _:
                answer = self._on_target(effect, install, _target(install))
        return answer

    def _failed(self, error: HoldfastError, *, passing: bool) -> ev.Failed:
        return ev.Failed(error.code, f"{error.sentence} {error.remedy}"[:512], self._ports.clock.now(), passing)

    def _resolve(self, install: Install, board: Board) -> ev.Event:
        """Both repositories, verified anew, and whether they and the device agree on the release."""
        trusted, args = self._ports.trusted, install.args
        line = self._ports.dial()
        try:
            trusted.refresh(line, os.urandom(16).hex())
        finally:
            line.close()
        sense = trusted.sense()
        if sense.source is Source.FLOOR:
            sentence = "The device's clock cannot be right, and the server did not sign the time."
            return ev.Held("update.no_time", sentence, self._ports.clock.now())
        target = accept(
            board,
            trusted.directed(args.path),
            trusted.imaged(args.path),
            named=trusted.named,
            now=sense.now,
            exemptions=trusted.exemptions(args.release),
        )
        if target.offer.release != args.release:
            raise HostileData(
                "update.other_release",
                f"{args.path} is {target.offer.release}, and {args.release} was asked for.",
                remedy="Find out who wrote the directive: the metadata says otherwise.",
            )
        return ev.Accepted(target)

    def _self_test(self, seq: int) -> ev.SelfTested:
        found = self._ports.well()
        if found is None:
            return ev.SelfTested(ok=True, sentence="", seq=seq, at=self._ports.clock.now())
        sentence = "" if found.ok else f"The essential function does not go on: {found.detail}"
        return ev.SelfTested(found.ok, sentence[:512], seq, self._ports.clock.now())

    def _discard(self) -> None:
        self.payload.unlink(missing_ok=True)
        self._download = None  # but what is known of the sources stays

    def _on_target(self, effect: ev.Effect, install: Install, target: Target) -> ev.Event | None:
        installer, offer = self._ports.installer, target.offer
        stated = Payload(offer.kind, target.path.rpartition("/")[2], target.length, target.digest)
        answer: ev.Event | None = None
        match effect:
            case ev.Look(stage):
                answer = self._look(install, target, stage)
            case ev.Fetch():
                answer = self._fetch(install, target)
            case ev.Verify():
                self._of(target).verify()
                installer.verify(self.payload, offer)
                answer = ev.Verified()
            case ev.Write():
                answer = ev.Written(installer.write(self.payload, offer, stated, _unheard))
            case ev.ReadBack():
                installer.read_back(self.payload, offer, stated)
                answer = ev.ReadBackDone()
            case ev.Arm():
                installer.arm(offer)
                answer = ev.Armed()
            case ev.Confirm():
                installer.confirm(offer)
                answer = ev.Confirmed()
        return answer

    def _look(self, install: Install, target: Target, stage: ev.Stage) -> ev.Event:
        code, sentence = guards.held(install.args, self._ports.trusted.sense(), self._ports.power())
        if not code and stage is ev.Stage.FETCH:
            here = self.payload.stat().st_size if self.payload.exists() else 0
            sentence = guards.disk(self._folder, max(0, target.length - here))
            code = "update.disk" if sentence else ""
        return ev.Held(code, sentence, self._ports.clock.now()) if code else ev.Free()

    def _fetch(self, install: Install, target: Target) -> ev.Event:
        download = self._of(target)
        here = self.payload.stat().st_size if self.payload.exists() else 0
        if here == target.length:
            download.verify()
            return ev.Fetched()
        brought = self._sources.slice(download, Rate(install.args.kbit_s, self._slice_s))
        if brought.whole:
            return ev.Fetched(brought.came)
        return ev.Came(brought.came, 100 * brought.held // target.length)

    def _interrupted(self, error: Interrupted) -> ev.Event:
        """A slice that brought something was worth it, however it ended."""
        download = self._download
        if download is not None and error.came >= min(CHUNK, download.target.length // 8 + 1):
            return ev.Came(error.came, 100 * download.held // download.target.length)
        return self._failed(error, passing=True)

    def _of(self, target: Target) -> Download:
        if self._download is None or self._download.target != target:
            self._download = Download(self.payload, target)
        if self._sources_of != target:
            self._sources, self._sources_of = Sources(self._ports), target
        return self._download


def _target(install: Install) -> Target:
    if install.target is None:  # a phase that is reached only with one
        raise HostileData("update.no_target", "The attempt knows no target.", remedy="Direct the device again.")
    return install.target


def _unheard(_percent: int) -> None:
    """Nobody asks while it is being written."""


def carried(payload: Path, source: Openable, target: Target) -> None:
    """Copy a payload that a person carried here to where it is looked for, no more of it than was signed.

    Raises:
        Wrong: ``update.digest``, ``update.wrong_length``; nothing of it stays.
        OSError: it cannot be read or written.
    """
    try:
        wrong = _copied(payload, source, target)
    except OSError:
        payload.unlink(missing_ok=True)
        raise
    if wrong is not None:
        payload.unlink(missing_ok=True)
        raise wrong


def _copied(payload: Path, source: Openable, target: Target) -> Wrong | None:
    """Copy it; what is wrong with it."""
    digest, left = hashlib.sha256(), target.length
    with source.open("rb") as inward, payload.open("wb") as outward:
        while left and (piece := inward.read(min(left, 16 * CHUNK))):
            outward.write(piece)
            digest.update(piece)
            left -= len(piece)
        outward.flush()
        os.fsync(outward.fileno())
    if left:
        sentence = f"{target.path} has {target.length} bytes by its signatures; what was carried has {left} less."
        return Wrong("update.wrong_length", sentence, resumed=False)
    if f"sha256:{digest.hexdigest()}" != target.digest:
        sentence = f"{target.path} was carried with another content than was signed."
        return Wrong("update.digest", sentence, resumed=False)
    return None
