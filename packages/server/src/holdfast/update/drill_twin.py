"""A twin of the real repositories, in memory, whose every key is known: what a drill plays with.

1. The twin has the roles, thresholds, numbers of keys, delegations and targets of the real ones; each real key has one
   stand-in, so that whoever holds two roles there holds two here. No private key of anybody is needed.
2. A client is python-tuf's own, in a folder of its own, fed from a dictionary; it judges by the time it is given.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519
from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.ngclient import Updater  # type: ignore[attr-defined]  # exported without saying so
from tuf.ngclient.fetcher import FetcherInterface

from holdfast.update import making
from holdfast.update.ceremony import Ceremony
from holdfast.update.founding import signed_by
from holdfast.update.issuing import shelved
from holdfast.update.making import Holders, RootPlan
from holdfast.update.online_files import OnlineSigner
from holdfast.update.proposals import require_root, require_targets
from holdfast.update.shelf import Shelf, image_newer, record_of, role_file
from holdfast.update.state import State, loaded_file, with_root
from holdfast.update.tuf_files import RootFile, TargetsFile, read_root, read_targets
from holdfast.update.tuf_types import TargetFile, Targets
from holdfast.update.wording import known_of
from holdfast_core.kernel.instants import Instant, to_datetime
from holdfast_core.update.repository import (
    ONLINE_ROLES,
    TARGETS_LIFE,
    Issue,
    Name,
    Online,
    Repository,
)
from holdfast_core.wire.update_metadata import Versions

PrivateKey = ed25519.Ed25519PrivateKey
BASE = "http://drill/"


class Team(msgspec.Struct, frozen=True):
    """Stand-ins of a role's signers, and how many of them have to sign."""

    keys: tuple[PrivateKey, ...]
    threshold: int

    @property
    def holders(self) -> Holders:
        """Their public halves."""
        return Holders(tuple(key.public_key() for key in self.keys), self.threshold)

    def sign(self, data: bytes, count: int | None = None) -> bytes:
        """A file signed by the first `count` of them; by as many as are needed where no number is given."""
        for key in self.keys[: self.threshold if count is None else count]:
            data = signed_by(data, key)
        return data


class Twin:
    """The twin. Online keys may be exchanged; `shelf` is what it would serve."""

    def __init__(self, ceremony: Ceremony, now: Instant) -> None:
        known = known_of(ceremony, None)
        self.now, self.scope = now, known.state.scope
        self._stand_ins: dict[str, PrivateKey] = {}
        image = require_root(known.state)
        self.root_team = self._team(making.holders_of(image, "root"))
        self.targets_team = self._team(making.holders_of(image, "targets"))
        self.online = {which: ed25519.Ed25519PrivateKey.generate() for which in Online}
        self.state = State(self.scope)
        for name in Name:
            self.rotate(name)
        self.teams: dict[str, Team] = {"targets": self.targets_team}
        self.state = self._with_targets(require_targets(known.state), known.roles)

    def _team(self, holders: Holders) -> Team:
        keys = [
            self._stand_ins.setdefault(key.public_bytes_raw().hex(), ed25519.Ed25519PrivateKey.generate())
            for key in holders.keys
        ]
        return Team(tuple(keys), holders.threshold)

    def _with_targets(self, real: TargetsFile, roles: dict[str, TargetsFile]) -> State:
        made = copy.deepcopy(real.targets)
        given = made.delegations.roles or {} if made.delegations is not None else {}
        for role in list(given):
            team = self.teams[role] = self._team(making.holders_of(real.targets, role))
            making.with_role_holders(made, role, team.holders)
        state = loaded_file(self.state, "targets", self.finished("targets", made))
        for role, file in roles.items():
            state = loaded_file(state, role, self.finished(role, copy.deepcopy(file.targets)))
        return state

    def finished(self, role: str, made: Targets) -> TargetsFile:
        """A changed file, renewed and signed by a role's stand-ins."""
        made.expires = to_datetime(Instant(self.now + TARGETS_LIFE))
        return read_targets(self.teams[role].sign(making.finished(made).data))

    def put(self, role: str, made: Targets) -> None:
        """Let a changed file come into force."""
        self.state = loaded_file(self.state, role, self.finished(role, made))

    def next_of(self, role: str) -> Targets:
        """The next version of a role's file, to be changed; the first where it has none."""
        file = self.state.role(role)
        return making.next_file(file, now=self.now) if file else making.first_role(self.scope, now=self.now).targets

    def exchange(self, role: str, fresh: Team) -> None:
        """Give a role to other signers, and sign anew what they held."""
        targets = self.next_of("targets")
        held: tuple[str, ...] = (role,)
        if role == "targets":
            before = self.targets_team.holders
            self.rotate(Name.IMAGE, targets=fresh)
            held = making.with_holders(targets, fresh.holders, before)
            self.teams["targets"] = self.targets_team = fresh
        else:
            making.with_role_holders(targets, role, fresh.holders)
        self.teams.update(dict.fromkeys(held, fresh))
        self.put("targets", targets)
        for each in held:
            if each in self.state.roles:
                self.put(each, self.next_of(each))

    def rotate(self, name: Name, *, root: Team | None = None, targets: Team | None = None) -> None:
        """The next root of a repository, signed by its stand-ins, for the online keys as they are now."""
        file = self.next_root(name, root or self.root_team, targets or self.targets_team)
        data = self.root_team.sign(file.data)
        self.state = with_root(self.state, name, read_root((root or self.root_team).sign(data)))

    def next_root(self, name: Name, root: Team, targets: Team) -> RootFile:
        """The next root of a repository, unsigned."""
        publics = {which: key.public_key() for which, key in self.online.items()}
        before = self.state.root(name)
        plan = RootPlan(root.holders, targets.holders, publics)
        return making.new_root(name, self.scope, plan, now=self.now, before=before.root if before is not None else None)

    def signer(self, which: Online) -> OnlineSigner:
        """The stand-in of an online key."""
        return OnlineSigner(self.online[which])

    def shelf(self, version: int) -> Shelf:
        """What the twin serves, its snapshot and timestamp of this version."""
        signers = {
            (name, role): self.signer(which) for name, roles in ONLINE_ROLES.items() for role, which in roles.items()
        }
        record = record_of(self.state, Repository(self.scope, Name.IMAGE.value))
        issue = Issue(version, self.now)
        return shelved(msgspec.structs.replace(record, snapshot=issue, timestamp=issue), self.state, signers)

    def files(self, version: int, path: str = "") -> dict[str, bytes]:
        """The image repository's files for a device that holds nothing; `path`: a target that it looks for."""
        role = path.partition("/")[0]
        part = self.state.parts.get(role)
        wanted = {role_file(part): self.state.roles[role]} if part is not None and role in self.state.roles else {}
        return {**image_newer(self.shelf(version), Versions(root=0), ""), **wanted, **self.roots(Name.IMAGE)}

    def roots(self, name: Name) -> dict[str, bytes]:
        """Every root of a repository."""
        return {f"{file.root.version}.root.json": file.data for file in self.state.roots[name]}


class _Fed(FetcherInterface):
    """Answers a client from a dictionary."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__()
        self._files = files

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(BASE)
        if name not in self._files:
            raise DownloadHTTPError(name, 404)
        yield self._files[name]


class DrillClient:
    """A device's TUF client that trusts one root to begin with."""

    def __init__(self, twin: Twin, name: Name) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="holdfast-drill-")
        self._root, self._now = twin.state.roots[name][0].data, twin.now
        self._updater: Updater | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def take(self, files: dict[str, bytes], path: str = "") -> str:
        """Verify these files (and the target's role): empty where all is taken, else why not."""
        held = Path(self._folder.name, "timestamp.json")
        if "timestamp.json" not in files and held.exists():
            files = {**files, "timestamp.json": held.read_bytes()}
        try:
            updater = Updater(self._folder.name, BASE, fetcher=_Fed(files), bootstrap=self._root)
            updater._trusted_set.reference_time = to_datetime(self._now)  # noqa: SLF001  (python-tuf takes no clock)
            updater.refresh()
            self._updater = updater
            if path:
                updater.get_targetinfo(path)
        except (RepositoryError, DownloadHTTPError) as error:
            return str(error) or type(error).__name__
        return ""

    def trusts(self, root: bytes) -> bool:
        """Whether this is the root that the client goes by now."""
        return Path(self._folder.name, "root.json").read_bytes() == root

    def target(self, path: str) -> TargetFile | None:
        """What was verified of a target."""
        return self._updater.get_targetinfo(path) if self._updater is not None else None
