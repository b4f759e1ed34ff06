"""Update repositories in memory: a store, keys, people who sign, releases, and a plain TUF client to try it all on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from builders import START, FakeClock
from holdfast.ports.store import Blob, Removed
from holdfast.update import making
from holdfast.update.ceremony import CeremonyFile
from holdfast.update.director import Director
from holdfast.update.founding import founding_files, signed_by
from holdfast.update.image_repository import ImageRepository
from holdfast.update.metadata import MetadataAnswers
from holdfast.update.releasing import Releasing
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import Instant, to_datetime
from holdfast_core.kernel.kept import Kept
from holdfast_core.supply.model import Nature, Offer, Payload, PayloadKind, Release
from holdfast_core.update.repository import Name

SCOPE = Scope("acme", "production")
ACTOR = "token:test"
DEVICE = DeviceKey(SCOPE, DeviceId("cam-1"))
MODEL = "site-gateway"


class MemoryStore:
    """What the services need of a store: small records, blobs, exclusive devices. Everything is durable at once."""

    def __init__(self):
        self.records, self.blobs, self.commits = {}, {}, []
        self.fleet = []
        self._locks = defaultdict(asyncio.Lock)

    def kept(self, kind, scope, name):
        return self.records.get((kind, scope, name))

    def all_kept(self, kind, scope=None):
        found = [each for (k, s, _), each in self.records.items() if k is kind and scope in (None, s)]
        return sorted(found, key=lambda each: each.id)

    def device(self, _key):
        return None

    def devices(self, scope, wanted):
        return [each for each in self.fleet if each.key.scope == scope and each.site == wanted.site]

    def model(self, _scope, _reference):
        return None

    async def blob(self, scope, digest):
        return self.blobs.get((scope, digest))

    @asynccontextmanager
    async def exclusive(self, key):
        async with self._locks[key]:
            yield

    async def commit(self, changes):
        self.commits.append(list(changes))
        for change in changes:
            if isinstance(change, Removed):
                self.records.pop((change.kind, change.scope, change.id), None)
            elif isinstance(change, Kept):
                self.records[type(change), change.scope, change.id] = change
            elif isinstance(change, Blob):
                self.blobs.setdefault((change.scope, change.digest), change.body)


class MemoryKeys:
    """A key store in memory."""

    def __init__(self):
        self.keys = {}

    def create(self, reference, _algorithm):
        assert reference not in self.keys
        return self.keys.setdefault(reference, ed25519.Ed25519PrivateKey.generate())

    def load(self, reference):
        return self.keys[reference]

    def holds(self, reference):
        return reference in self.keys

    def delete(self, reference):
        self.keys.pop(reference, None)


class People:
    """Signers: a name and a key each."""

    def __init__(self, count=3, threshold=2):
        self.keys = [ed25519.Ed25519PrivateKey.generate() for _ in range(count)]
        self.threshold = threshold

    @property
    def holders(self):
        return making.Holders(tuple(key.public_key() for key in self.keys), self.threshold)

    def sign(self, data, *who):
        """`data` signed by people number `who`; by as many as are needed where nobody is named."""
        for number in who or range(self.threshold):
            data = signed_by(data, self.keys[number])
        return data


class Plant:
    """Repositories of one scope that can be founded, changed, restarted, and asked."""

    def __init__(self, people=None):
        self.clock, self.store, self.keys = FakeClock(), MemoryStore(), MemoryKeys()
        self.people = people or People()
        self.events = []
        self.open()

    def open(self):
        self.images = ImageRepository(store=self.store, clock=self.clock, keys=self.keys, emit=self._emit)
        self.releasing = Releasing(images=self.images, store=self.store, clock=self.clock)
        self.director = Director(store=self.store, images=self.images)
        self.answers = MetadataAnswers(store=self.store, clock=self.clock, images=self.images, director=self.director)

    def _emit(self, event):
        self.events.append(event)
        return ()

    async def restart(self):
        self.open()
        await self.images.load()

    async def found(self):
        online = await self.images.online(SCOPE)
        files = founding_files(SCOPE, making.RootPlan(self.people.holders, self.people.holders, online), now=self.now)
        signed = [msgspec.structs.replace(each, metadata=self.people.sign(each.metadata)) for each in files]
        await self.images.submit(SCOPE, signed, actor=ACTOR)
        return self

    @property
    def now(self):
        return self.clock.now()

    async def publish(self, *releases):
        """Propose releases and let enough people sign."""
        for release in releases:
            await self.store.commit([release])
            await self.releasing.propose_release(SCOPE, release, actor=ACTOR)
        return await self.sign_all()

    async def sign_all(self, *who):
        files = [
            msgspec.structs.replace(each, metadata=self.people.sign(each.metadata, *who))
            for each in self.images.ceremony(SCOPE).files
        ]
        return await self.images.submit(SCOPE, files, actor=ACTOR)

    async def direct(self, release, key=DEVICE):
        await self.store.commit(self.director.direct(key, release, self.now))

    async def rotate(self, *names, fresh=(), people=None, signers=(), targets=True):
        """New roots of repositories: other people, or new keys of the server; signed by old and new people."""
        people = people or self.people
        online = await self.images.online(SCOPE, fresh=fresh)
        state = self.images.shelf(SCOPE).state
        files = []
        for name in names:
            plan = making.RootPlan(people.holders, people.holders, online)
            root = making.new_root(name, SCOPE, plan, now=self.now, before=state.root(name).root)
            data = self.people.sign(root.data, *signers)
            files.append(CeremonyFile(name, "root", people.sign(data) if people is not self.people else data))
        if people is not self.people and targets and Name.IMAGE in names:
            made = making.next_file(state.targets, now=self.now)
            making.with_holders(made, people.holders, self.people.holders)
            files.append(CeremonyFile(Name.IMAGE, "targets", people.sign(making.finished(made).data)))
        return files


def a_release(version="1.0.0", *, counter=1, model=MODEL, payload=b"image", hardware=("gw-1",), svn=1):
    """A release that can be installed."""
    name = f"{model}:{version}"
    content = payload + version.encode()
    return Release(
        SCOPE,
        name,
        model=model,
        version=version,
        svn=svn,
        added_at=START,
        by="token:other",
        offer=Offer(name, counter, svn, PayloadKind.FILE, hardware, Nature.FEATURE),
        payload=Payload(PayloadKind.FILE, "rootfs.img", len(content), digest_of(content)),
    )


class Served(FetcherInterface):
    """Answers a TUF client from a dictionary; what is not in it is not found."""

    def __init__(self, files):
        self.files = files

    def _fetch(self, url):
        name = url.removeprefix("http://test/")
        if name not in self.files:
            raise DownloadHTTPError(name, 404)
        yield self.files[name]


class Client:
    """A plain TUF client in a folder, which starts from a root."""

    def __init__(self, folder: Path, root: bytes, clock):
        self.folder, self.root, self.clock = folder, root, clock
        folder.mkdir(parents=True, exist_ok=True)
        self.updater = None

    def refresh(self, files):
        """Refresh from `files`; raises what python-tuf raises."""
        names = {each.name for each in self.folder.iterdir()}
        if "timestamp.json" in names and "timestamp.json" not in files:
            files = {**files, "timestamp.json": (self.folder / "timestamp.json").read_bytes()}
        served = Served(files)
        self.updater = Updater(
            str(self.folder), "http://test/", str(self.folder), "http://test/targets/", served, bootstrap=self.root
        )
        self.updater._trusted_set.reference_time = to_datetime(self.clock.now()).astimezone(UTC)
        self.updater.refresh()
        return self

    def target(self, path):
        return self.updater.get_targetinfo(path)

    def version(self, role):
        return self.updater._trusted_set[role].version


def at(milliseconds):
    """An instant."""
    return Instant(milliseconds)
