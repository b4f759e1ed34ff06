"""TUF repositories in memory, as tests want them: signed anew at will, wrong in one thing at a time.

1. `Keys` are made once for a process (`key`), so that a test costs no key generation that it does not want.
2. `TufRepository` keeps every published version; `files()` is what a server would serve, `newer()` what one request
   brings (`holdfast_core.wire.update_metadata`).
3. `Pair` is a director and an image repository that agree, and the server that answers for both.
"""

from __future__ import annotations

import copy
import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import quote

import msgspec
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    TOP_LEVEL_ROLE_NAMES,
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from holdfast_core.formats.dsse import pae
from holdfast_core.kernel.instants import DAY, Instant, from_datetime, to_datetime
from holdfast_core.supply.model import Nature, Offer, PayloadKind
from holdfast_core.update.agreement import DEVICE, EXEMPTIONS, ISSUED, OFFER, Exemption
from holdfast_core.wire.update_metadata import TIME_TYPE, Brought, Holding, Time, Versions

TRUE_NOW = from_datetime(datetime(2027, 3, 1, tzinfo=UTC))
BUILT = from_datetime(datetime(2026, 11, 1, tzinfo=UTC))
DEVICE_ID = "cam-1"
MODEL = "site-camera"
PAYLOAD = b"an image " * 100
COMPACT = JSONSerializer(compact=True)
_LIVES = {Root.type: 365, Targets.type: 365, Snapshot.type: 30, Timestamp.type: 7}


@cache
def key(name: str) -> CryptoSigner:  # noqa: ARG001  (the cache tells keys apart by it)
    """One Ed25519 key for each name in a process."""
    return CryptoSigner.generate_ed25519()


def offer(version="2.0.0", *, model=MODEL, counter=20, **changed) -> Offer:
    fields = {
        "release": f"{model}:{version}",
        "counter": counter,
        "svn": 1,
        "kind": PayloadKind.FILE,
        "hardware": ("board-a",),
        "nature": Nature.FEATURE,
    }
    return Offer(**(fields | changed))


def path_of(offered: Offer, file="image.bin") -> str:
    model, version = offered.release.split(":")
    return f"{model}/{version}/{file}"


def target_file(path, data=PAYLOAD, offered=None, **custom) -> TargetFile:
    members = ({OFFER: msgspec.to_builtins(offered)} if offered else {}) | custom
    unrecognized = {"custom": members} if members else {}
    return TargetFile(len(data), {"sha256": hashlib.sha256(data).hexdigest()}, path, unrecognized)


class TufRepository:
    """One repository. `now` is the moment by which it signs; `signers` are the keys of each role, by name.

    Whoever changes `root`, `targets`, … publishes them by `publish(role)`; `sign` makes bytes without publishing.
    """

    def __init__(self, name="image", *, now=TRUE_NOW, threshold=1, people=1, consistent=True, hashes=False):
        self.name, self.now, self.hashes = name, now, hashes
        self.files: dict[str, bytes] = {}
        self.artefacts: dict[str, bytes] = {}
        self.delegated: dict[str, Targets] = {}
        self.extra: dict[str, dict] = {}
        self.root = Root(consistent_snapshot=consistent, expires=self.after(Root.type))
        self.signers: dict[str, list[CryptoSigner]] = {}
        for role in sorted(TOP_LEVEL_ROLE_NAMES):
            many = people if role in {Root.type, Targets.type} else 1
            self.signers[role] = [key(f"{name}-{role}-{number}") for number in range(many)]
            for signer in self.signers[role]:
                self.root.add_key(copy.deepcopy(signer.public_key), role)
            self.root.roles[role].threshold = threshold if many > 1 else 1
        self.targets = Targets(expires=self.after(Targets.type))
        self.snapshot = Snapshot(expires=self.after(Snapshot.type))
        self.timestamp = Timestamp(expires=self.after(Timestamp.type))
        self.publish_root(bump=False)
        self.publish(bump=False)

    def after(self, role) -> datetime:
        return (to_datetime(self.now) + timedelta(days=_LIVES.get(role, 365))).replace(microsecond=0)

    @property
    def first_root(self) -> bytes:
        return self.files["1.root.json"]

    def sign(self, signed, signers=None) -> bytes:
        metadata = Metadata(copy.deepcopy(signed))
        for signer in signers if signers is not None else self.signers[self.role_of(signed)]:
            metadata.sign(signer, append=True)
        return metadata.to_bytes(COMPACT)

    def role_of(self, signed) -> str:
        return next((name for name, role in self.delegated.items() if role is signed), signed.type)

    def publish_root(self, *, bump=True, signers=None) -> bytes:
        if bump:
            self.root.version += 1
        data = self.sign(self.root, signers)
        self.files[f"{self.root.version}.root.json"] = data
        return data

    def rotate(self, role, *names, threshold=None, people=None) -> None:
        """Replace the keys of a role in a new root, signed by the old and the new root keys."""
        old = list(self.signers[Root.type])
        for signer in self.signers[role]:
            self.root.revoke_key(signer.public_key.keyid, role)
        self.signers[role] = [key(name) for name in names]
        for signer in self.signers[role]:
            self.root.add_key(copy.deepcopy(signer.public_key), role)
        if threshold:
            self.root.roles[role].threshold = threshold
        both = {signer.public_key.keyid: signer for signer in (*old, *self.signers[Root.type])}
        self.publish_root(signers=people or list(both.values()))

    def publish(self, *roles, bump=True) -> None:
        """New versions of the targets roles named (all, unless bumped), then snapshot and timestamp."""
        for role in roles or (Targets.type, *self.delegated):
            signed = self.delegated.get(role, self.targets)
            if bump:
                signed.version += 1
            self.put(role, signed)
        if bump:
            self.snapshot.version += 1
        self.publish_snapshot()

    def publish_snapshot(self) -> None:
        self.snapshot.meta = {"targets.json": self.meta_of(self.targets), **self.metas()}
        self.put(Snapshot.type, self.snapshot)
        self.publish_timestamp()

    def publish_timestamp(self, *, issued=None) -> None:
        if "timestamp.json" in self.files:
            self.timestamp.version += 1
        self.timestamp.snapshot_meta = self.meta_of(self.snapshot)
        self.timestamp.expires = self.after(Timestamp.type)
        self.timestamp.unrecognized_fields[ISSUED] = self.now if issued is None else issued
        self.files["timestamp.json"] = self.sign(self.timestamp)

    def metas(self) -> dict:
        return {f"{name}.json": self.meta_of(role) for name, role in self.delegated.items()}

    def meta_of(self, signed) -> MetaFile:
        if not self.hashes:
            return MetaFile(signed.version)
        data = self.files[self.file_name(self.role_of(signed), signed.version)]
        return MetaFile(signed.version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})

    def file_name(self, role, version) -> str:
        plain = f"{quote(role, '')}.json"
        return f"{version}.{plain}" if self.root.consistent_snapshot else plain

    def put(self, role, signed) -> None:
        self.files[self.file_name(role, signed.version)] = self.sign(signed)

    def delegate(self, role, paths, *names, delegator=None, threshold=1, terminating=True, prefixes=None) -> Targets:
        """A delegated role with keys of its own; publish it afterwards."""
        parent = self.delegated[delegator] if delegator else self.targets
        if parent.delegations is None:
            parent.delegations = Delegations({}, roles={})
        stated = DelegatedRole(role, [], threshold, terminating, None if prefixes else paths, prefixes)
        parent.delegations.roles[role] = stated
        signers = [key(name) for name in names or (f"{self.name}-{role}",)]
        for signer in signers:
            parent.add_key(copy.deepcopy(signer.public_key), role)
        self.signers.setdefault(role, signers)
        return self.delegated.setdefault(role, Targets(expires=self.after(role)))

    def delegate_succinctly(self, bits, prefix) -> SuccinctRoles:
        roles = SuccinctRoles([], 1, bits, prefix)
        self.targets.delegations = Delegations({}, succinct_roles=roles)
        for role in roles.get_roles():
            self.signers[role] = [key("bins")]
            self.delegated[role] = Targets(expires=self.after(role))
        self.targets.add_key(copy.deepcopy(key("bins").public_key))
        return roles

    def add(self, path, data=PAYLOAD, *, role=None, offered=None) -> TargetFile:
        made = target_file(path, data, offered)
        (self.delegated[role] if role else self.targets).targets[path] = made
        folder, slash, name = path.rpartition("/")
        self.artefacts[path] = data
        self.artefacts[f"{folder}{slash}{made.hashes['sha256']}.{name}"] = data
        return made

    def newer(self, held: Versions, *, contents=True) -> dict[str, bytes]:
        """What a server sends to a device that holds this: files by name, only what is newer."""
        found = {f"{v}.root.json": self.files[f"{v}.root.json"] for v in range(held.root + 1, self.root.version + 1)}
        if self.timestamp.version > held.timestamp:
            found["timestamp.json"] = self.files["timestamp.json"]
        for role, signed, version in (
            (Snapshot.type, self.snapshot, held.snapshot),
            (Targets.type, self.targets, held.targets),
            *((name, signed, held.roles.get(name, 0)) for name, signed in self.delegated.items()),
        ):
            if signed.version > version:
                name = self.file_name(role, signed.version)
                found[name] = self.files[name]
        if contents:
            prefix = f"{EXEMPTIONS}/"
            hidden = {f"targets/{path}": data for path, data in self.artefacts.items() if path.startswith(prefix)}
            found |= {name: data for name, data in hidden.items() if name.count(".") > 1}
        return found


class Pair:
    """Both repositories and a device directed to one release."""

    def __init__(self, *, now=TRUE_NOW, people=3, threshold=2, offered=None, device=DEVICE_ID):
        self.offer = offered or offer()
        self.path = path_of(self.offer)
        self.image = TufRepository("image", now=now, people=people, threshold=threshold)
        self.image.delegate(MODEL, [f"{MODEL}/*/*"])
        self.image.delegate(EXEMPTIONS, [f"{EXEMPTIONS}/*"], terminating=False)
        self.image.add(self.path, role=MODEL, offered=self.offer)
        self.image.publish()
        self.director = TufRepository("director", now=now, people=people, threshold=threshold)
        for role in (Targets.type, Snapshot.type, Timestamp.type):
            self.director.rotate(role, "director-online", threshold=1)
        self.director.targets.unrecognized_fields[DEVICE] = device
        self.director.add(self.path, offered=self.offer)
        self.director.publish()

    @property
    def now(self):
        return self.image.now

    def at(self, now) -> None:
        """Let both sign by another moment, and refresh timestamp and snapshot as a server does."""
        for repository in (self.image, self.director):
            repository.now = Instant(now)
            repository.snapshot.expires = repository.after(Snapshot.type)
            repository.snapshot.version += 1
            repository.publish_snapshot()

    def exempt(self, name="back", *, release=None, devices=(DEVICE_ID,), until=None, why="lab") -> bytes:
        content = Exemption(release or self.offer.release, devices, Instant(until or self.now + DAY), why)
        data = msgspec.json.encode(content)
        self.image.add(f"{EXEMPTIONS}/{name}.json", data, role=EXEMPTIONS)
        self.image.publish(EXEMPTIONS)
        return data

    def time(self, nonce, *, now=None, device=DEVICE_ID, signer="director-online") -> bytes:
        told = msgspec.json.encode(Time(Instant(self.now if now is None else now), nonce, device))
        return envelope(told, key(signer))

    def answer(self, holding: Holding, *, told=True, **time) -> Brought:
        signed = self.time(holding.nonce, **time) if told and holding.nonce else b""
        return Brought(self.director.newer(holding.director), self.image.newer(holding.image), signed)


def envelope(payload: bytes, signer: CryptoSigner, kind=TIME_TYPE) -> bytes:
    signature = bytes.fromhex(signer.sign(pae(kind, payload)).signature)
    return msgspec.json.encode(
        {"payload": payload, "payloadType": kind, "signatures": [{"sig": signature, "keyid": "x"}]}
    )
