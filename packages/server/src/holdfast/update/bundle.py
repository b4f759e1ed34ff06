"""Bundles: updates that a person carries to a site without a network (ADR 33).

1. A bundle is a TUF repository with a root of its own (``offline``), signed by the same people; its snapshot and
   timestamp are signed by a key of their own and live as long as bundles travel. The targets are the image repository's
   own files, under people's thresholds.
2. The director names, for a bounded time, which devices of one site should take which target (``bundle.json``, DSSE). A
   device takes what both say, by the same rule as online.
3. The snapshot lists every role, whether its file travels or not: a later bundle may never list fewer.
4. Nothing in a bundle counts online, and nothing online counts in a bundle, but what people signed.
5. A device whose rollout was halted or aborted, or in which it failed, is directed to nothing by a bundle.

Source: Uptane standard 2.1.0, 5.4.2 and 5.4.4; TUF specification 1.0.34, 5.3.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from holdfast.ports.store import DeviceFilter, Store
from holdfast.update.director import Director, enveloped
from holdfast.update.image_repository import ImageRepository, target_of
from holdfast.update.online_files import OnlineSigner, snapshot_file, timestamp_file
from holdfast.update.proposals import not_founded
from holdfast.update.shelf import Shelf, role_file
from holdfast.update.tuf_files import reaches
from holdfast_core.kernel.digests import Digest, canonical
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey, Scope, parse_name
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.supply.model import Release
from holdfast_core.update.agreement import EXEMPTIONS, Target
from holdfast_core.update.model import Assignment, Rollout, RolloutState, Stage
from holdfast_core.update.repository import (
    BUNDLE_LIFE,
    BUNDLE_TYPE,
    SITE_DEVICES,
    Issue,
    Name,
    Online,
    SiteTarget,
    SiteTargets,
    next_version,
)

DIRECTED = "bundle.json"
"""The director's word."""
METADATA = "metadata"
"""The folder of the offline repository's files; roots of each repository lie in folders of their names."""
_CALLED_OFF = frozenset({RolloutState.HALTED, RolloutState.ABORTED})
_ENDED_BADLY = frozenset({Stage.FAILED, Stage.FELL_BACK, Stage.WITHDRAWN})


class CarriedArtefact(NamedTuple):
    """A payload that belongs into a bundle: its place there, its digest and its size in bytes."""

    name: str
    digest: Digest
    size: int


class Bundle(msgspec.Struct, frozen=True):
    """A bundle but for its payloads, whose bytes lie elsewhere."""

    site: str
    expires: Instant
    files: dict[str, bytes]
    artefacts: tuple[CarriedArtefact, ...]
    releases: tuple[str, ...] = ()
    """What it carries, by name."""


class Bundles:
    """Makes bundles."""

    def __init__(self, *, store: Store, images: ImageRepository, director: Director) -> None:
        self._store, self._images, self._director = store, images, director

    def make(
        self, scope: Scope, site: str, *, now: Instant, release: Release | None = None, life: int = BUNDLE_LIFE
    ) -> Bundle:
        """A bundle for a site.

        Args:
            scope: where.
            site: the devices' site.
            now: the moment.
            release: what every device of its model at the site should take; without it, what each is directed to.
            life: how long the bundle counts, in milliseconds; at most `BUNDLE_LIFE`.

        Raises:
            HostileData: ``name.invalid``, ``repository.not_founded``, ``bundle.life``, ``bundle.root_behind`` (409),
                ``bundle.not_published`` (409), ``bundle.empty``.
        """
        parse_name(site, what="site")
        if not DAY <= life <= BUNDLE_LIFE:
            raise HostileData(
                "bundle.life", "A bundle counts from one day to 180 days.", remedy="Give --days 1 to 180."
            )
        shelf, signers = self._ready(scope)
        wanted = self._wanted(scope, site, release)
        for target in wanted:
            if not shelf.state.holds(target):
                raise HostileData(
                    "bundle.not_published",
                    f"{target.offer.release} is not signed by its threshold yet.",
                    remedy="Publish it first: holdfast keys fetch, sign, publish.",
                    http_status=409,
                )
        files = {**_roots(shelf), **_metadata(shelf, signers[0], wanted, now, life)}
        said = SiteTargets(str(scope), site, now, Instant(now + life), _site_targets(wanted))
        files[DIRECTED] = enveloped(BUNDLE_TYPE, canonical(said), signers[1])
        names = tuple(sorted({target.offer.release for target in wanted}))
        return Bundle(site, said.expires, files, tuple(_artefact(target) for target in wanted), names)

    def _ready(self, scope: Scope) -> tuple[Shelf, tuple[OnlineSigner, OnlineSigner]]:
        """The shelf, and the keys of bundles and of the director."""
        shelf = self._images.shelf(scope)
        offline, targets = shelf.state.root(Name.OFFLINE), shelf.state.targets
        bundle, director = shelf.key(Online.BUNDLE), shelf.key(Online.DIRECTOR)
        if offline is None or targets is None or bundle is None or director is None:
            raise not_founded(shelf.state)
        if not reaches(offline.root, "targets", targets):
            raise HostileData(
                "bundle.root_behind",
                "The root of bundles names other signers of targets than the image repository's.",
                remedy="Sign and publish all three roots together: holdfast keys root --from FILE.",
                http_status=409,
            )
        return shelf, (bundle, director)

    def _wanted(self, scope: Scope, site: str, release: Release | None) -> dict[Target, list[str]]:
        """The devices of a site by the target that each should take."""
        found: defaultdict[Target, list[str]] = defaultdict(list)
        for device in self._store.devices(scope, DeviceFilter(site=site, limit=SITE_DEVICES)):
            if device.lifecycle.is_over:
                continue
            theirs = self._directed(device.key) if release is None else release
            if theirs is not None and theirs.model == device.model.partition("@")[0]:
                found[target_of(theirs)].append(device.key.device)
        if not found:
            raise HostileData(
                "bundle.empty",
                f"No device at {site} is directed to a release.",
                remedy="Name one for all of its model: --release NAME. See the site's devices: holdfast device list.",
            )
        return dict(found)

    def _directed(self, key: DeviceKey) -> Release | None:
        """What a device is directed to, unless its rollout called it off or it ended badly: nobody tells it later."""
        release = self._director.directed(key)
        kept = self._store.kept(Assignment, key.scope, key.device)
        if release is None or kept is None or kept.release != release.id:
            return release
        rollout = self._store.kept(Rollout, key.scope, kept.rollout)
        called_off = rollout is not None and rollout.state in _CALLED_OFF
        return None if called_off or kept.stage in _ENDED_BADLY else release


def _roots(shelf: Shelf) -> dict[str, bytes]:
    chains = shelf.state.roots
    return {f"{name.value}/{file.root.version}.root.json": file.data for name in Name for file in chains.get(name, ())}


def _metadata(
    shelf: Shelf, signer: OnlineSigner, targets: Iterable[Target], now: Instant, life: int
) -> dict[str, bytes]:
    state = shelf.state
    issue = Issue(next_version(0, now), now)
    parts = [state.parts[role] for role in sorted(state.parts)]
    snapshot = snapshot_file(issue, life, parts, signer)
    files = {
        "timestamp.json": timestamp_file(issue, life, snapshot, issue.version, signer),
        f"{issue.version}.snapshot.json": snapshot,
    }
    models = {target.path.partition("/")[0] for target in targets}
    for role, part in state.parts.items():
        if role == "targets" and state.targets is not None:
            files[role_file(part)] = state.targets.data
        elif role in models or role == EXEMPTIONS:
            files[role_file(part)] = state.roles[role]
    files.update({small.name: small.data for small in state.exemptions})
    return {f"{METADATA}/{name}" if not name.startswith("targets/") else name: data for name, data in files.items()}


def _site_targets(wanted: dict[Target, list[str]]) -> tuple[SiteTarget, ...]:
    return tuple(
        SiteTarget(target.path, target.length, target.digest, target.offer, tuple(devices))
        for target, devices in sorted(wanted.items(), key=lambda each: each[0].path)
    )


def _artefact(target: Target) -> CarriedArtefact:
    folder, _, name = target.path.rpartition("/")
    return CarriedArtefact(
        f"targets/{folder}/{target.digest.removeprefix('sha256:')}.{name}", target.digest, target.length
    )
