"""Signing whole sets of director metadata: how many devices one core can direct anew in a second.

Method: one process, CPU time, Ed25519 keys in memory. A set is targets (one target with its offer), snapshot and
timestamp of one device, from the facts to the bytes that are sent. `all poll` is one request of a device through the
answer composer (both repositories; store and record in memory): when its set has to be signed, when it is cached, and
when it lacks nothing. The image repository holds 1,000 releases of 10 models. Peer in the same run: the same three
files built, signed and serialised with python-tuf's metadata API; and a bare Ed25519 signature, three a set.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # exported without saying so
from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp  # type: ignore[attr-defined]  # same

from holdfast.adapters.system import SystemClock
from holdfast.ports.keystore import KeyAlgorithm, PrivateKey
from holdfast.ports.store import Blob, Change, Removed, Store
from holdfast.update.director import Director, signed_set
from holdfast.update.founding import founding_files, signed_by
from holdfast.update.image_repository import ImageRepository, target_of
from holdfast.update.making import Holders, RootPlan
from holdfast.update.metadata import MetadataAnswers
from holdfast.update.online_files import OnlineSigner
from holdfast.update.releasing import Releasing
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.kernel.kept import Kept
from holdfast_core.supply.model import Nature, Offer, Payload, PayloadKind, Release
from holdfast_core.update.repository import FIRST_ROOT, Direction, Name
from holdfast_core.wire.update_metadata import Holding, Versions

SETS, PEER_SETS, DEVICES = 3_000, 1_000, 2_000
MODELS, RELEASES = 10, 100
SCOPE = Scope("bench", "production")


class _Memory:
    """A store whose records are in memory, as a server's are when it answers; its commits cost nothing here."""

    def __init__(self) -> None:
        self._records: dict[Any, Any] = {}
        self._blobs: dict[Any, bytes] = {}

    def kept(self, kind: type[Kept], scope: Scope, name: str) -> Any:
        return self._records.get((kind, scope, name))

    def all_kept(self, kind: type[Kept], scope: Scope | None = None) -> list[Any]:
        return [each for (k, s, _), each in self._records.items() if k is kind and scope in {None, s}]

    def device(self, _key: DeviceKey) -> None:
        return None

    async def blob(self, scope: Scope, digest: str) -> bytes | None:
        return self._blobs.get((scope, digest))

    @asynccontextmanager
    async def exclusive(self, _key: DeviceKey) -> Any:
        yield

    async def commit(self, changes: list[Change]) -> None:
        for change in changes:
            if isinstance(change, Removed):
                self._records.pop((change.kind, change.scope, change.id), None)
            elif isinstance(change, Kept):
                self._records[type(change), change.scope, change.id] = change
            elif isinstance(change, Blob):
                self._blobs[change.scope, change.digest] = change.body


class _Keys:
    """Keys in memory."""

    def __init__(self) -> None:
        self._keys: dict[str, PrivateKey] = {}

    def create(self, reference: str, _algorithm: KeyAlgorithm) -> PrivateKey:
        return self._keys.setdefault(reference, ed25519.Ed25519PrivateKey.generate())

    def load(self, reference: str) -> PrivateKey:
        return self._keys[reference]

    def holds(self, reference: str) -> bool:
        return reference in self._keys

    def delete(self, reference: str) -> None:
        del self._keys[reference]


def _release(model: str, number: int) -> Release:
    name, data = f"{model}:1.{number}.0", f"{model} {number}".encode()
    return Release(
        SCOPE,
        name,
        model=model,
        version=f"1.{number}.0",
        svn=1,
        added_at=Instant(0),
        by="bench",
        offer=Offer(name, number + 1, 1, PayloadKind.RAUC, (f"{model}-rev2",), Nature.SECURITY),
        payload=Payload(PayloadKind.RAUC, "update.raucb", 100_000_000, digest_of(data)),
    )


def _timed(work: Callable[[], object], times: int) -> float:
    """CPU seconds of one call."""
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times


async def _asked(work: Callable[[int], Awaitable[object]]) -> float:
    started = time.process_time()
    for number in range(DEVICES):
        await work(number)
    return (time.process_time() - started) / DEVICES


def _sets() -> list[str]:
    release, now = _release("site-gateway", 1), SystemClock().now()
    target, signer = target_of(release), OnlineSigner(ed25519.Ed25519PrivateKey.generate())
    facts = Direction(SCOPE, "gw-000001", version=1, issued=now, timestamp=1, stamped=now, release=release.id)
    ours = _timed(lambda: signed_set(facts, target, 7 * DAY, signer), SETS)
    peer_signer = CryptoSigner(ed25519.Ed25519PrivateKey.generate())
    expires, offer = datetime(2030, 1, 1, tzinfo=UTC), msgspec.to_builtins(target.offer)

    def peer() -> None:
        """The same with python-tuf."""
        file = TargetFile(target.length, {"sha256": target.digest[7:]}, target.path, {"custom": {"holdfast": offer}})
        targets = Metadata(Targets(1, expires=expires, targets={target.path: file}))
        targets.sign(peer_signer)
        meta = MetaFile.from_data(1, targets.to_bytes(), ["sha256"])
        snapshot = Metadata(Snapshot(1, expires=expires, meta={"targets.json": meta}))
        snapshot.sign(peer_signer)
        timestamp = Metadata(
            Timestamp(1, expires=expires, snapshot_meta=MetaFile.from_data(1, snapshot.to_bytes(), ["sha256"]))
        )
        timestamp.sign(peer_signer)
        timestamp.to_bytes()

    theirs = _timed(peer, PEER_SETS)
    key = ed25519.Ed25519PrivateKey.generate()
    bare = _timed(lambda: key.sign(b"x" * 600), 3 * SETS)
    size = sum(len(each) for each in signed_set(facts, target, 7 * DAY, signer))
    return [
        f"sets signed: {1 / ours:,.0f} per core-second, {SETS:,} sets of {size:,} bytes  (target 500)",
        f"  peer, python-tuf's metadata API: {1 / theirs:,.0f} sets per core-second",
        f"  bound, three bare Ed25519 signatures of cryptography: {1 / bare / 3:,.0f} sets per core-second",
    ]


async def _polls() -> list[str]:
    store, clock = cast("Store", _Memory()), SystemClock()
    images = ImageRepository(store=store, clock=clock, keys=_Keys(), emit=lambda _event: ())
    director = Director(store=store, images=images)
    answers = MetadataAnswers(store=store, clock=clock, images=images, director=director)
    people = [ed25519.Ed25519PrivateKey.generate() for _ in range(3)]
    holders = Holders(tuple(key.public_key() for key in people), 2)
    plan = RootPlan(holders, holders, await images.online(SCOPE))

    async def sign(files: Any) -> None:
        signed = [
            msgspec.structs.replace(each, metadata=signed_by(signed_by(each.metadata, people[0]), people[1]))
            for each in files
        ]
        await images.submit(SCOPE, signed, actor="bench")

    await sign(founding_files(SCOPE, plan, now=clock.now()))
    releasing = Releasing(images=images, store=store, clock=clock)
    releases = [_release(f"model-{model}", number) for model in range(MODELS) for number in range(RELEASES)]
    for release in releases:
        await store.commit([release])
        await releasing.propose_release(SCOPE, release, actor="bench")
    await sign(images.ceremony(SCOPE).files)
    keys = [DeviceKey(SCOPE, DeviceId(f"gw-{number:06d}")) for number in range(DEVICES)]
    for number, key in enumerate(keys):
        await store.commit(director.direct(key, releases[number % len(releases)], clock.now()))
    empty = Holding(Versions(FIRST_ROOT[Name.DIRECTOR]), Versions(1), "nonce-0001")
    fresh = await _asked(lambda number: answers.answer(keys[number], msgspec.json.encode(empty)))
    again = await _asked(lambda number: answers.answer(keys[number], msgspec.json.encode(empty)))
    record = images.shelf(SCOPE).record

    def holding(number: int) -> Holding:
        facts = store.kept(Direction, SCOPE, keys[number].device)
        release = releases[number % len(releases)]
        if facts is None or record.timestamp is None or record.snapshot is None or record.targets is None:
            raise SystemExit("the benchmark's own repository is not whole")
        ours = Versions(FIRST_ROOT[Name.DIRECTOR], facts.timestamp, facts.version, facts.version)
        roles = {release.model: 1, "exemptions": 1}
        theirs = Versions(1, record.timestamp.version, record.snapshot.version, record.targets.version, roles)
        return Holding(ours, theirs)

    nothing = await _asked(lambda number: answers.answer(keys[number], msgspec.json.encode(holding(number))))
    return [
        f"a device that holds nothing, signed now, with the time: {1 / fresh:,.0f} answers per core-second",
        f"the same from the cache, the time signed: {1 / again:,.0f} answers per core-second",
        f"a device that lacks nothing: {1 / nothing:,.0f} answers per core-second",
    ]


def rows() -> list[str]:
    """Every figure as a line."""
    return [*_sets(), *asyncio.run(_polls())]


def main() -> None:
    for row in rows():
        print(row)
