"""What a device trusts of updates: the director's repository and the image repository, both verified under TUF.

1. Both begin at a root that was pinned (`begin`) and follow its chain. Nothing counts that python-tuf did not verify.
   A device that has none pins the first that its server has, at the first contact.
2. The time is the device's sense of it, not its clock: a clock at 1970 accepts nothing stale, and one at 2106 keeps
   nothing out once the server has said the time (`clock`, `update.time`).
3. Nothing new: python-tuf is not loaded and nothing written; what is kept is only held against the time.
4. What leads to the targets that the director names is verified with them, so that one answer suffices for good.
5. A release is for the driver to judge (`update.agreement.accept`): here is only what each repository says of it.

Source: TUF specification 1.0.34, section 5; Uptane standard 2.1.0, 5.4.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from holdfast_agent.transport import Channel
from holdfast_agent.update.clock import BUILT, Question, Timepiece, Uptime, Wall
from holdfast_agent.update.exemptions import MISSING, contents_in, exempting
from holdfast_agent.update.holding import fetch
from holdfast_agent.update.roots import first_roots
from holdfast_agent.update.scopes import OTHER_SCOPE, check_place
from holdfast_agent.update.store import Marks, Pins, Store
from holdfast_agent.update.targets import stated
from holdfast_agent.update.verified import BOTH, DIRECTOR, IMAGE, Verified
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import Instant
from holdfast_core.update.agreement import Board, Exemption, Target
from holdfast_core.update.time import Sense
from holdfast_core.wire.frame import Token
from holdfast_core.wire.update_metadata import Brought, Holding, Versions

if TYPE_CHECKING:
    from holdfast_agent.update.bundle import Bundle

AHEAD = 8
"""Targets of the director that are looked up before anybody asks."""
BUNDLES = "bundles"
"""The folder of what was verified of bundles."""


class Checked(msgspec.Struct, frozen=True):
    """What is verified now: versions of both timestamps, whom the director names, the paths that it directs to."""

    director: int
    image: int
    named: str
    paths: tuple[str, ...]
    sense: Sense


class Trust:
    """The two repositories of a device, kept in `folder`.

    Args:
        folder: a folder of its own.
        device: this device's id.
        wall: the device's clock.
        up: its uptime in milliseconds.
        built: when the agent was built.
        pins_first: whether the server's first roots are pinned where none are.

    Raises:
        WorldError: ``update.store``.
    """

    def __init__(
        self,
        folder: Path,
        device: str,
        *,
        wall: Wall,
        up: Uptime,
        built: Instant = BUILT,
        pins_first: bool = True,
    ) -> None:
        self._store, self._bundles = Store(folder), Store(folder / BUNDLES)
        floors = {name: marks.floor for name, marks in self._store.marks().items()}
        self._time = Timepiece(built, wall, up, floors)
        self._device = device
        self._verified = Verified(self._store, device, self._time)
        self._asked: Question | None = None
        self._pins_first = pins_first

    def begin(self, director_root: bytes, image_root: bytes) -> None:
        """Pin the first roots; durable when this returns. The same ones again change nothing.

        Raises:
            HostileData: ``update.metadata_*``: it is no root that its own keys signed; ``update.already_pinned``.
            WorldError: ``update.store``.
        """
        pins = Pins(director_root, image_root)
        held = self._store.pins()
        if held == pins:
            return
        if held is not None:
            raise HostileData(
                "update.already_pinned",
                "This device trusts other roots already, and a root changes only by its own threshold of signatures.",
                remedy="Publish the new root as the next version of the old one, or enroll the device again.",
            )
        scope = ""
        for name, root in ((IMAGE, image_root), (DIRECTOR, director_root)):
            first = self._verified.begin(name, root, {})
            first.load_roots()
            scope = scope or first.root.scope
            check_place(first.root, name, scope)
        self._store.pin(pins)

    @property
    def is_begun(self) -> bool:
        """Whether roots are pinned."""
        return self._store.pins() is not None

    def forget(self) -> None:
        """Remove pins and everything verified under them, for a device that is enrolled anew."""
        self._store.clear()
        self._bundles.clear()
        self._time.floors.clear()
        self._verified = Verified(self._store, self._device, self._time)

    def holding(self, nonce: Token | None = None) -> Holding:
        """What to ask the server with; a `nonce` asks for the time, and only the last one is answered.

        Raises:
            WorldError: ``update.not_pinned``, ``update.pins_damaged``.
        """
        self._asked = self._time.ask(nonce) if nonce else None
        director, image = (self._verified.held(name) for name in BOTH)
        return Holding(director, image, nonce)

    def refresh(self, channel: Channel, nonce: Token | None = None) -> Checked:
        """Ask the server for what is newer and take it: one request; two where it thought more to be held.

        Raises:
            Failed: as the channel says.
            HostileData, WorldError: as `take`; ``update.answer_*``.
        """
        if self._pins_first and not self.is_begun:
            self._pin_first(channel)
        try:
            return self.take(fetch(channel, self.holding(nonce)))
        except HostileData as error:
            if error.code != MISSING:
                raise
        return self.take(fetch(channel, self.holding(nonce)))

    def take(self, brought: Brought) -> Checked:
        """Verify what came and keep it.

        Raises:
            HostileData: ``update.metadata_{expired,rollback,signature,mismatch,malformed,missing,too_large}``,
                ``update.time_*``.
            WorldError: ``update.store``, ``update.not_pinned``, ``update.pins_damaged``.
        """
        asked, self._asked = self._asked, None
        if brought.director or brought.image or not self._verified.is_settled:
            self._verified.verify(brought, asked)
            try:
                self._look_ahead()
            finally:
                self._verified.save()
            self._verified.check_fresh()
        else:
            self._verified.hear(brought.time, asked)
            self._verified.check_fresh()
        versions = {name: self._verified.marks[name].timestamp for name in BOTH}
        return Checked(versions[DIRECTOR], versions[IMAGE], self.named, self._paths(), self.sense())

    def _pin_first(self, channel: Channel) -> None:
        """Pin the first roots that the server has, for a device that left its factory without any.

        It is the server that a person pinned at enrollment who vouches for them, this once; from then on its word does
        not count without theirs.
        """
        self.begin(*first_roots(fetch(channel, Holding(Versions(0), Versions(0)))))

    def carried(self, bundle: Bundle, board: Board) -> Target:
        """The target that a bundle has for this device, and that it takes.

        Raises:
            HostileData: as `take` and `agreement.accept`; ``update.bundle_*``.
            WorldError: ``update.store``, ``update.not_pinned``, ``update.pins_damaged``.
        """
        from holdfast_agent.update.carried import Carrier  # noqa: PLC0415  (only where a person carries one)

        return Carrier(self._verified, self._bundles, self._time).target(bundle, board)

    def directed(self, path: str) -> Target | None:
        """What the director says of a target; `None` where it does not direct there. Raises as `take`."""
        return self._looked_up(DIRECTOR, path)

    def imaged(self, path: str) -> Target | None:
        """What the image repository says of a target; `None` where it knows none. Raises as `take`."""
        return self._looked_up(IMAGE, path)

    @property
    def named(self) -> str:
        """The device that the director's verified targets name; empty where they name none, or there are none yet."""
        found = self._verified.targets(DIRECTOR)
        return found.device if found else ""

    def exemptions(self, release: str) -> tuple[Exemption, ...]:
        """The exemptions for a release that the image repository holds and whose content came. Raises as `take`."""
        contents = self._exemption_contents()
        self._verified.save()
        return exempting(contents.values(), release)

    @property
    def frozen(self) -> bool:
        """Whether what was verified last has expired by the device's own sense of time."""
        return self._verified.frozen

    @property
    def director_version(self) -> int:
        """The version of the newest director timestamp that was verified; 0 before the first."""
        return self._verified.marks.get(DIRECTOR, Marks()).timestamp

    def sense(self) -> Sense:
        """What time it is, and whose word that is."""
        return self._time.sense()

    def _look_ahead(self) -> None:
        """Verify and keep what will be asked for, as long as it is at hand; a fault is told to whoever asks.

        But what is of another environment is told at once: it is dropped, and would only be missed later.
        """
        for path in self._paths()[:AHEAD]:
            with _later():
                self._target(IMAGE, path)
        with _later():
            self._exemption_contents()

    def _exemption_contents(self) -> dict[str, bytes]:
        repository = self._verified.repository(IMAGE)
        held = self._verified.contents(IMAGE)
        contents = contents_in(self._verified, IMAGE, lambda name: repository.brought(name) or held.get(name, b""))
        self._verified.files[IMAGE] = {**repository.files(), **contents}
        return contents

    def _looked_up(self, name: str, path: str) -> Target | None:
        try:
            return self._target(name, path)
        finally:
            self._verified.save()

    def _target(self, name: str, path: str) -> Target | None:
        found = self._verified.look_up(name, path)
        return None if found is None else stated(path, found.length, found.hashes, found.custom)

    def _paths(self) -> tuple[str, ...]:
        found = self._verified.targets(DIRECTOR)
        return tuple(found.targets) if found else ()


@contextmanager
def _later() -> Iterator[None]:
    try:
        yield
    except HostileData as error:
        if error.code == OTHER_SCOPE:
            raise
