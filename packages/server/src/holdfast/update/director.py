"""The director: for each device its own targets, snapshot and timestamp, signed online with one key.

1. Of a device only the facts are kept (`Direction`); the bytes are made of them, the device's release and the key, and
   are the same whenever they are made. Made ones stay in a bounded cache.
2. A device that lacks nothing is answered from the record: nothing is signed, nothing is committed.
3. The timestamp is issued again once half of its life is over, and everything once the director's key has changed or
   the rest comes of age.
4. What the director says installs nothing by itself: a device takes only what the image repository's threshold signed.

Source: Uptane standard 2.1.0, 5.3.2 and 5.4.2; TUF specification 1.0.34, 4.4 to 4.6.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from holdfast.ports.store import Change, Store
from holdfast.update.image_repository import ImageRepository, target_of
from holdfast.update.online_files import OnlineSigner, directed_targets_file, snapshot_file, timestamp_file
from holdfast.update.shelf import root_file, roots_complete, roots_newer
from holdfast_core.formats.dsse import pae
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.supply.model import Release
from holdfast_core.update.agreement import Target
from holdfast_core.update.repository import (
    DIRECTED_LIFE,
    TIMESTAMP_LIFE,
    Direction,
    Issue,
    Name,
    Online,
    Part,
    is_due,
    next_version,
    timestamp_life,
)
from holdfast_core.wire.update_metadata import TIME_TYPE, Time, Versions

CACHED = 2_048
"""Devices whose files are held; each has some 3 KB."""
_base64 = msgspec.json.Encoder(order="sorted").encode


class Directed(NamedTuple):
    """A device's files: its targets, snapshot and timestamp."""

    targets: bytes
    snapshot: bytes
    timestamp: bytes


class Director:
    """Implements `holdfast.ports.directing.Directing`.

    Args:
        store: where directions, releases, devices and models are read.
        images: whose roots and keys it uses.
    """

    def __init__(self, *, store: Store, images: ImageRepository) -> None:
        self._store, self._images = store, images
        self._made: OrderedDict[Direction, Directed] = OrderedDict()

    def direct(self, key: DeviceKey, release: Release | None, now: Instant) -> Sequence[Change]:
        """The changes by which a device's metadata names the payload of `release`, or nothing.

        Raises:
            HostileData: ``release.not_installable``.
        """
        if release is not None:
            target_of(release)
        wanted = release.id if release is not None else ""
        before = self._kept(key)
        # Repositories that are not served for a while keep no device from checking in.
        signer = self._signer(key.scope) if self._images.trouble(key.scope) is None else None
        if before is None and release is None:
            return ()
        if before is not None and before.release == wanted and signer is not None and before.key == signer.keyid:
            return ()
        return (_issued(key, before, wanted, signer, now),)

    def directed(self, key: DeviceKey) -> Release | None:
        """The release that a device is directed to."""
        kept = self._kept(key)
        release = self._store.kept(Release, key.scope, kept.release) if kept is not None and kept.release else None
        return release if release is not None and release.offer is not None and release.payload is not None else None

    def path(self, key: DeviceKey) -> str:
        """The path of the target that a device is directed to; empty: none."""
        release = self.directed(key)
        return target_of(release).path if release is not None else ""

    def version(self, key: DeviceKey) -> int:
        """The version of the newest timestamp for a device; 0 before the first."""
        kept = self._kept(key)
        return kept.timestamp if kept is not None and kept.key else 0

    def files_newer(
        self, key: DeviceKey, versions: Versions, now: Instant
    ) -> tuple[dict[str, bytes], Sequence[Change]]:
        """The director's files that a device lacks, and what has to be durable before they are sent.

        Args:
            key: the device.
            versions: what it says it holds.
            now: the moment.

        Raises:
            HoldfastError: what keeps the scope's repositories from being served.
        """
        state = self._images.shelf(key.scope).state
        files = roots_newer(state, Name.DIRECTOR, versions.root)
        signer = self._signer(key.scope)
        if signer is None or not roots_complete(state, Name.DIRECTOR, versions.root, files):
            return files, ()
        before = self._kept(key)
        direction = self._current(key, before, signer, now)
        if direction.timestamp != versions.timestamp:
            made = self._files(direction, signer)
            files["timestamp.json"] = made.timestamp
            if direction.version != versions.snapshot:
                files[f"{direction.version}.snapshot.json"] = made.snapshot
            if direction.version != versions.targets:
                files[f"{direction.version}.targets.json"] = made.targets
        elif direction.version not in (versions.snapshot, versions.targets) or versions.snapshot != versions.targets:
            made = self._files(direction, signer)
            files[f"{direction.version}.snapshot.json"] = made.snapshot
            files[f"{direction.version}.targets.json"] = made.targets
        return files, () if direction == before else (direction,)

    def file(self, key: DeviceKey, name: str, now: Instant) -> tuple[bytes | None, Sequence[Change]]:
        """A file of a device's director repository by the name a TUF client asks for, and what goes with it."""
        number, _, rest = name.partition(".")
        if rest == "root.json":
            return root_file(self._images.shelf(key.scope).state, Name.DIRECTOR, number), ()
        signer = self._signer(key.scope)
        if signer is None:
            return None, ()
        before = self._kept(key)
        direction = self._current(key, before, signer, now)
        made = self._files(direction, signer)
        named = {
            "timestamp.json": made.timestamp,
            f"{direction.version}.snapshot.json": made.snapshot,
            f"{direction.version}.targets.json": made.targets,
        }
        return named.get(name), () if direction == before else (direction,)

    def signed_time(self, key: DeviceKey, nonce: str, now: Instant) -> bytes:
        """The time over a device's nonce, in a DSSE envelope; empty before the director has a key."""
        signer = self._signer(key.scope)
        if signer is None:
            return b""
        return enveloped(TIME_TYPE, canonical(Time(now, nonce, key.device)), signer)

    def _signer(self, scope: Scope) -> OnlineSigner | None:
        return self._images.signer(scope, Online.DIRECTOR)

    def _kept(self, key: DeviceKey) -> Direction | None:
        return self._store.kept(Direction, key.scope, key.device)

    def _current(self, key: DeviceKey, before: Direction | None, signer: OnlineSigner, now: Instant) -> Direction:
        """A device's direction as it is to be served now."""
        lost = before is not None and before.release and self.directed(key) is None
        if before is None or lost or before.key != signer.keyid or is_due(before.issued, DIRECTED_LIFE, now):
            release = before.release if before is not None and not lost else ""
            return _issued(key, before, release, signer, now)
        if not is_due(before.stamped, self._life(key), now):
            return before
        return msgspec.structs.replace(before, timestamp=next_version(before.timestamp, now), stamped=now)

    def _life(self, key: DeviceKey) -> int:
        """How long a device's timestamp lives."""
        device = self._store.device(key)
        stored = self._store.model(key.scope, device.model) if device is not None and device.model else None
        if stored is None:
            return TIMESTAMP_LIFE
        return timestamp_life(stored.model.constraints.contact_interval_s * SECOND)

    def _files(self, direction: Direction, signer: OnlineSigner) -> Directed:
        made = self._made.pop(direction, None) or self._signed(direction, signer)
        self._made[direction] = made
        if len(self._made) > CACHED:
            self._made.popitem(last=False)
        return made

    def _signed(self, direction: Direction, signer: OnlineSigner) -> Directed:
        key = DeviceKey(direction.scope, DeviceId(direction.id))
        release = self.directed(key)
        target = target_of(release) if release is not None else None
        return signed_set(direction, target, self._life(key), signer)


def signed_set(direction: Direction, target: Target | None, life: int, signer: OnlineSigner) -> Directed:
    """The files of a direction.

    Args:
        direction: the facts.
        target: what it directs to.
        life: of the timestamp (milliseconds).
        signer: the director's key.
    """
    issue = Issue(direction.version, direction.issued)
    targets = directed_targets_file(issue, DIRECTED_LIFE, direction.id, (target,) if target is not None else (), signer)
    part = Part("targets", direction.version, digest_of(targets), len(targets))
    snapshot = snapshot_file(issue, DIRECTED_LIFE, (part,), signer)
    stamp = Issue(direction.timestamp, direction.stamped)
    return Directed(targets, snapshot, timestamp_file(stamp, life, snapshot, direction.version, signer))


def enveloped(kind: str, payload: bytes, signer: OnlineSigner) -> bytes:
    """A payload in a DSSE envelope, signed under the TUF key id."""
    signature = {"keyid": signer.keyid, "sig": signer.sign(pae(kind, payload))}
    return _base64({"payload": payload, "payloadType": kind, "signatures": [signature]})


def _issued(
    key: DeviceKey, before: Direction | None, release: str, signer: OnlineSigner | None, now: Instant
) -> Direction:
    return Direction(
        key.scope,
        key.device,
        version=next_version(before.version if before is not None else 0, now),
        issued=now,
        timestamp=next_version(before.timestamp if before is not None else 0, now),
        stamped=now,
        key=signer.keyid if signer is not None else "",
        release=release,
    )
