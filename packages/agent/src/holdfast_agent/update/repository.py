"""One TUF repository, verified by python-tuf from what one request brought and what is kept.

1. This is the only module that reaches into python-tuf: its client takes no clock, so the time is set on its trusted
   set (`_set_time`); roots are loaded before the time is known, for the floor hangs on their keys (`load_roots`).
   A test notices when python-tuf changes either; without the member nothing is verified at all.
2. A root that changes the keys of timestamp or snapshot takes both files with it (TUF specification 1.0.34, 5.3.11):
   what a stolen key fast-forwarded does not stay.
3. Every length and count is bounded (`CONFIG`).

Source: TUF specification 1.0.34, section 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from tuf.api.exceptions import ExpiredMetadataError
from tuf.api.metadata import Metadata, Root, TargetFile, Targets  # type: ignore[attr-defined]  # (exported without being listed)
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.updater import Updater

from holdfast_agent.update.fetcher import BASE, BroughtFetcher
from holdfast_agent.update.metadata_view import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, View, view
from holdfast_agent.update.refusals import Refused, refusal
from holdfast_agent.update.store import unusable
from holdfast_core.kernel.errors import Bug, HostileData
from holdfast_core.kernel.instants import Instant, to_datetime
from holdfast_core.update.repository import SCOPE
from holdfast_core.wire.update_metadata import FILES, LARGEST_FILE

DELEGATIONS = 8
"""Delegated roles that are looked at for one target."""
LARGEST_TIMESTAMP = 16 * 1024
CONFIG = UpdaterConfig(
    max_root_rotations=FILES,
    max_delegations=DELEGATIONS,
    root_max_length=LARGEST_FILE,
    timestamp_max_length=LARGEST_TIMESTAMP,
    snapshot_max_length=LARGEST_FILE,
    targets_max_length=LARGEST_FILE,
)
_TOP = (TIMESTAMP, SNAPSHOT, TARGETS)


class Repository:
    """A repository whose metadata is verified in the folder `work`, which holds what is kept of it.

    Args:
        name: for messages.
        work: a folder of its own; python-tuf reads and writes its files there.
        root: a root that was verified before.
        brought: what came for it, by the names by which a TUF repository serves it.

    Raises:
        HostileData: ``update.metadata_*``: the root is none.
    """

    def __init__(self, name: str, work: Path, root: bytes, brought: Mapping[str, bytes]) -> None:
        self.name = name
        self._work = work
        self._brought = frozenset(brought)
        self._now = Instant(0)
        self._fetcher = BroughtFetcher(_with_own_timestamp(work, brought))
        self._fetcher.asked = f"{ROOT}.json"
        with self._refusing():
            self._updater = Updater(str(work), BASE, fetcher=self._fetcher, config=CONFIG, bootstrap=root)

    def load_roots(self) -> None:
        """Follow the chain of roots as far as it came. Raises HostileData ``update.metadata_*``."""
        before = self.root
        try:
            with self._refusing():
                self._updater._load_root()  # noqa: SLF001  (refresh() does it too, but needs the time for the rest)
        finally:
            self._forget_after(before)

    def refresh(self, now: Instant) -> None:
        """Verify timestamp, snapshot and targets by the time `now`. Raises HostileData ``update.metadata_*``."""
        self._set_time(now)
        with self._refusing():
            self._updater.refresh()

    def target(self, path: str, now: Instant) -> TargetFile | None:
        """What the repository says of a target, through whatever delegations lead to it.

        Raises:
            HostileData: ``update.metadata_*``.
        """
        self._set_time(now)
        with self._refusing():
            return self._updater.get_targetinfo(path)

    def vouch_for(self, root: bytes, what: str) -> None:
        """Refuse a root that the signers of this repository's root did not sign, by their threshold.

        Raises:
            HostileData: ``update.metadata_signature``, ``update.metadata_malformed``.
        """
        self._fetcher.asked = what
        with self._refusing():
            offered = Metadata[Root].from_bytes(root)
            self._updater._trusted_set.root.verify_delegate(  # noqa: SLF001  (the newest root that was verified)
                Root.type, offered.signed_bytes, offered.signatures
            )

    def scopes(self) -> frozenset[str]:
        """The scopes that what was verified of this repository names, roles that `target` led to included."""
        trusted = self._updater._trusted_set  # noqa: SLF001  (python-tuf lists no roles)
        named = (signed.unrecognized_fields.get(SCOPE) for signed in trusted)
        return frozenset(str(scope) for scope in named if scope is not None)

    def paths(self, role: str) -> tuple[str, ...]:
        """The paths that a role lists, once `target` has led to it; nothing where none did."""
        trusted = self._updater._trusted_set.get(role)  # noqa: SLF001  (python-tuf lists no targets)
        return tuple(trusted.targets) if isinstance(trusted, Targets) else ()

    @property
    def root(self) -> View:
        """The newest verified root."""
        return view((self._work / f"{ROOT}.json").read_bytes())

    def timestamp(self) -> View | None:
        """The timestamp that is kept, if one was verified under this root; it may have expired."""
        return self._trusted(TIMESTAMP)

    def targets(self) -> View | None:
        """The top-level targets, if `refresh` came so far."""
        return self._trusted(TARGETS)

    def until(self) -> Instant:
        """When the first of root, timestamp, snapshot and targets expires."""
        found = (self._trusted(role) for role in (ROOT, *_TOP))
        return min(each.until for each in found if each is not None)

    def brought(self, name: str) -> bytes:
        """A file that came and is no metadata, unverified; empty where none did."""
        return self._fetcher.served(name)

    def files(self) -> dict[str, bytes]:
        """What is to be kept: every file that was verified and is still listed, except what had to be asked for again.

        An older snapshot stays, for it is what a new one is compared with.
        """
        missed = {name.partition(".")[2] for name in self._fetcher.missed}
        found = {path.name: path.read_bytes() for path in sorted(self._work.glob("*.json"))}
        listed = view(found[f"{SNAPSHOT}.json"]).meta if f"{SNAPSHOT}.json" in found else {}
        own = {f"{ROOT}.json", f"{TIMESTAMP}.json", f"{SNAPSHOT}.json"}
        kept = [name for name in found if name in own or (unquote(name) in listed and name not in missed)]
        return {name: found[name] for name in sorted(kept, key=lambda name: (name not in own, name))[:FILES]}

    def _set_time(self, now: Instant) -> None:
        trusted = self._updater._trusted_set  # noqa: SLF001  (there is no other way to give it a time)
        if not hasattr(trusted, "reference_time"):
            raise Bug("update.no_reference_time", "python-tuf takes no time any more.", remedy="Report this.")
        trusted.reference_time = to_datetime(now)
        self._now = now

    def _forget_after(self, before: View) -> None:
        after = self.root
        if before.signers(TARGETS) != after.signers(TARGETS):
            (self._work / f"{TARGETS}.json").unlink(missing_ok=True)
        if any(before.signers(role) != after.signers(role) for role in (TIMESTAMP, SNAPSHOT)):
            for role in (TIMESTAMP, SNAPSHOT):
                (self._work / f"{role}.json").unlink(missing_ok=True)
            if f"{TIMESTAMP}.json" not in self._brought:
                self._fetcher.forget(f"{TIMESTAMP}.json")

    def _trusted(self, role: str) -> View | None:
        file = self._work / f"{role}.json"
        known = role in self._updater._trusted_set  # noqa: SLF001  (whether it was verified by these roots)
        return view(file.read_bytes()) if known and file.exists() else None

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Everything that python-tuf raises, in our words."""
        try:
            yield
        except Refused as error:
            asked = self._fetcher.asked
            told = ExpiredMetadataError("what is kept of it is too old") if self._is_outlived(asked) else error
            raise refusal(told, f"The {self.name} repository's {asked}", mixed=self._is_mixed(asked)) from None
        except OSError as error:
            raise unusable(error, self._work) from error

    def _is_mixed(self, asked: str) -> bool:
        """Whether a file that was asked for by version is another version."""
        number = asked.partition(".")[0]
        if not number.isdecimal():
            return False
        try:
            return str(view(self._fetcher.served(asked)).version) != number
        except HostileData:
            return False

    def _is_outlived(self, asked: str) -> bool:
        """Whether a file was asked for only because the same version, which is kept, has expired."""
        number, _, name = asked.partition(".")
        file = self._work / name
        if asked not in self._fetcher.missed or not number.isdecimal() or not file.exists():
            return False
        kept = view(file.read_bytes())
        return str(kept.version) == number and kept.until <= self._now


def _with_own_timestamp(work: Path, brought: Mapping[str, bytes]) -> dict[str, bytes]:
    """What came, and the timestamp that is kept where none came: python-tuf always asks for one."""
    own = work / f"{TIMESTAMP}.json"
    return {**({own.name: own.read_bytes()} if own.exists() else {}), **brought}
