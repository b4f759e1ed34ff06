"""What was verified of both repositories and is kept: how new metadata becomes part of it.

1. First the roots of both, for the floor of time hangs on their keys; then the time; then all else, by that time.
2. Roots that verified are kept whatever follows. Of the rest that is kept which verified, unless it claims what cannot
   be: an issue after its own end, or versions below those that were reached.
3. What python-tuf verified of one repository is kept although the other was refused.
4. Each root names its repository and its scope; the pinned ones say which they are. The people who sign for one
   environment may sign for another: what they signed there counts for nothing here (`scopes`).

Source: TUF specification 1.0.34, section 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from holdfast_agent.update.clock import Question, Timepiece
from holdfast_agent.update.holding import is_whole, versions
from holdfast_agent.update.metadata_view import SNAPSHOT, TARGETS, TIMESTAMP, View, view
from holdfast_agent.update.scopes import check_place, check_scopes
from holdfast_agent.update.store import Marks, Store
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.instants import Instant, rfc3339
from holdfast_core.wire.update_metadata import Brought, Versions

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile  # type: ignore[attr-defined]  # (exported without being listed)

    from holdfast_agent.update.repository import Repository

DIRECTOR, IMAGE = "director", "image"
BOTH = (DIRECTOR, IMAGE)


class Verified:
    """The kept metadata of repositories.

    Args:
        store: where it is kept.
        device: this device's id.
        time: its sense of time, which verified metadata moves.
        names: which repositories.
    """

    def __init__(self, store: Store, device: str, time: Timepiece, names: tuple[str, ...] = BOTH) -> None:
        self._store = store
        self._device = device
        self._time = time
        self.marks = store.marks()
        held = store.files()
        self.files = {name: held.get(name, {}) for name in names}
        self._opened: dict[str, Repository] = {}

    def repository(self, name: str) -> Repository:
        """A repository with its top-level roles verified, from what is kept if nothing came. Raises as `verify`."""
        if not self._opened:
            self.verify(Brought(), None)
        self.check_fresh()
        return self._opened[name]

    def verify(self, brought: Brought, asked: Question | None) -> None:
        """Verify what came and what is kept. Whoever calls saves it, with what else belongs to it, in one step.

        Of what was refused, that is saved which verified.

        Raises:
            HostileData: ``update.metadata_*``, ``update.time_*``.
            WorldError: ``update.store``, ``update.not_pinned``, ``update.pins_damaged``.
        """
        try:
            opened = self.followed(brought.director, brought.image)
            self.hear(brought.time, asked)
            refused = [error for name in BOTH if (error := self.refreshed(name, opened[name])) is not None]
            if refused:
                raise refused[0]
        except HostileData:
            self.save()
            raise
        self._opened = opened

    def followed(self, director: Mapping[str, bytes], image: Mapping[str, bytes]) -> dict[str, Repository]:
        """Both repositories, each with the newest root that verified. Raises as `verify`."""
        self._opened = {}
        opened: dict[str, Repository] = {}
        for name, files in ((DIRECTOR, director), (IMAGE, image)):
            opened[name] = self.begin(name, self.root(name), files)
            self.load_roots(name, opened[name], self.scope)
        return opened

    def begin(self, name: str, root: bytes, files: Mapping[str, bytes]) -> Repository:
        """A repository at a root that is trusted, nothing else of it verified. Raises HostileData, WorldError."""
        from holdfast_agent.update.repository import Repository  # noqa: PLC0415  (loads python-tuf: 0.3 s, 25 MB)

        kept = {file: data for file, data in self.files[name].items() if "/" not in file and file != "root.json"}
        return Repository(name, self._store.work(name, kept), root, files)

    def look_up(self, name: str, path: str) -> TargetFile | None:
        """What a repository says of a target. Raises as `verify`; what it is missing is asked for again."""
        repository = self.repository(name)
        try:
            found = repository.target(path, self._time.sense().now)
        except HostileData:
            self.adopt(name, repository)
            raise
        try:
            check_scopes(repository, repository.root.scope)
        except HostileData:
            self._opened = {}  # the next look begins with what is kept, which this is not
            raise
        self.adopt(name, repository)
        return found

    def open(self, name: str, root: bytes, files: Mapping[str, bytes], scope: str) -> Repository:
        """Verify one repository by itself, from a root that others vouch for. Raises as `verify`."""
        repository = self.begin(name, root, files)
        try:
            self.load_roots(name, repository, scope)
            refused = self.refreshed(name, repository)
        finally:
            self.save()
        if refused is not None:
            raise refused
        self._opened = {name: repository}
        return repository

    def adopt(self, name: str, repository: Repository) -> None:
        """Take over what the repository verified; contents of targets stay as they are."""
        self.files[name] = {**repository.files(), **self.contents(name)}

    def contents(self, name: str) -> dict[str, bytes]:
        """The kept contents of targets, by the name under which they travel."""
        return {file: data for file, data in self.files[name].items() if "/" in file}

    def hear(self, envelope: bytes, asked: Question | None) -> None:
        """Take the server's word for the time, if it came. Raises HostileData ``update.time_*``."""
        if envelope:
            self._time.hear(envelope, view(self.root(DIRECTOR)).keys_of(TIMESTAMP), self._device, asked)

    @property
    def frozen(self) -> bool:
        """Whether what was verified last has expired by the device's own sense of time."""
        now = self._time.sense().now
        return any(marks.until and marks.until <= now for marks in self.marks.values())

    def check_fresh(self) -> None:
        """Refuse what has expired. Raises HostileData ``update.metadata_expired``."""
        if self.frozen:
            now = self._time.sense()
            raise HostileData(
                "update.metadata_expired",
                f"What is known of updates has expired: it is {rfc3339(now.now)} by the {now.source.value}.",
                remedy="Let the server sign its metadata anew (it does so by itself while it runs), "
                "and set the device's clock.",
            )

    def held(self, name: str) -> Versions:
        """Which versions are held of a repository. Raises WorldError ``update.not_pinned``.

        Without its root nothing is: the way from the pinned one leads over keys that make the rest worthless.
        """
        return versions(view(self.root(name)), self.files[name] if "root.json" in self.files[name] else {})

    @property
    def is_settled(self) -> bool:
        """Whether both are held whole and marked, so that only time can tell against them."""
        held = {name: self.held(name) for name in BOTH}
        marked = all(self.marks.get(name, Marks()).timestamp == held[name].timestamp for name in BOTH)
        return marked and all(is_whole(each) for each in held.values())

    def targets(self, name: str) -> View | None:
        """The top-level targets that are kept."""
        data = self.files[name].get(f"{TARGETS}.json")
        return None if data is None else view(data)

    def root(self, name: str) -> bytes:
        """The newest root that is kept, else the pinned one. Raises WorldError ``update.not_pinned``."""
        pins = self._store.pins()
        if pins is None:
            raise WorldError(
                "update.not_pinned",
                "This device has no roots to verify updates with.",
                remedy="Enroll it with a server that has founded its repositories: holdfast keys found.",
            )
        return self.files[name].get("root.json") or (pins.director if name == DIRECTOR else pins.image)

    @property
    def scope(self) -> str:
        """The scope that the device's pinned image root names; empty where it names none."""
        pins = self._store.pins()
        return view(pins.image).scope if pins is not None else ""

    def save(self) -> None:
        """Make it durable. Raises WorldError ``update.store``."""
        self._store.keep(self.files)
        self._store.mark(self.marks)

    def load_roots(self, name: str, repository: Repository, scope: str) -> None:
        """Follow the chain of roots as far as it came, and adopt the newest. Raises HostileData as `verify`."""
        try:
            repository.load_roots()
        finally:
            self._follow(name, repository, scope)

    def _follow(self, name: str, repository: Repository, scope: str) -> None:
        """Adopt the newest root; what hangs on keys that it changed starts anew."""
        root, marks = repository.root, self.marks.get(name, Marks())
        check_place(root, name, scope)
        if root.version < marks.root:
            raise _rolled_back(f"The {name} repository's root {root.version}", "root", marks.root)
        keys = f"{root.signers(TIMESTAMP)};{root.signers(SNAPSHOT)}"
        self._time.follow(name, root.signers(TIMESTAMP))
        if keys != marks.keys:
            marks = Marks(keys=keys)
        self.marks[name] = msgspec.structs.replace(marks, root=root.version, floor=self._time.floors[name])
        self.adopt(name, repository)

    def refreshed(self, name: str, repository: Repository) -> HostileData | None:
        """Verify and adopt one repository; why it was refused, if it was."""
        refused = None
        try:
            repository.refresh(self._time.sense().now)
        except HostileData as error:
            refused = error
        try:
            check_scopes(repository, repository.root.scope)
            self._reach(name, repository)
        except HostileData as error:
            return refused or error
        self.adopt(name, repository)
        return refused

    def _reach(self, name: str, repository: Repository) -> None:
        """Mark what was verified, or refuse what cannot be."""
        timestamp, targets, marks = repository.timestamp(), repository.targets(), self.marks[name]
        if timestamp is None:
            return
        reached = {
            TIMESTAMP: (timestamp.version, marks.timestamp),
            SNAPSHOT: (timestamp.listed(SNAPSHOT), marks.snapshot),
            TARGETS: (targets.version if targets else marks.targets, marks.targets),
        }
        for role, (version, mark) in reached.items():
            if version < mark:
                raise _rolled_back(f"The {name} repository's {role} {version}", role, mark)
        issued, root = Instant(timestamp.issued), repository.root
        if issued > min(root.until, timestamp.until):
            raise HostileData(
                "update.time_impossible",
                f"The {name} repository's timestamp claims to be issued {rfc3339(issued)}, after its own end.",
                remedy="Whoever holds the timestamp key lied or errs: rotate it (holdfast keys drill).",
            )
        self._time.reach(name, issued, root.signers(TIMESTAMP))
        self.marks[name] = msgspec.structs.replace(
            marks,
            floor=self._time.floors[name],
            until=repository.until(),
            **{role: version for role, (version, _) in reached.items()},
        )


def _rolled_back(what: str, role: str, mark: int) -> HostileData:
    return HostileData(
        "update.metadata_rollback",
        f"{what} is older than {role} {mark}, which this device has verified before.",
        remedy="Nothing of it was kept. If it lasts, somebody else answers, or holds a key: run holdfast keys drill.",
    )
