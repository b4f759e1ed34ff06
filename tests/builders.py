"""A control plane in a temporary folder, and devices that talk to its services without a network."""

from __future__ import annotations

import atexit
import functools
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from holdfast.adapters.pki import FileAuthority, FileKeyStore, FileLogSigner, make_passphrase
from holdfast.adapters.store import open_engine, upgrade
from holdfast.adapters.system import SystemRandomness
from holdfast.adapters.vault import FILE as VAULT
from holdfast.adapters.vault import Cost, FileVault
from holdfast.bootstrap import DATABASE, Plane
from holdfast.config import Config, render
from holdfast.inventory.model_file import example_bytes
from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.digests import Digest, canonical, digest_of
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import HOUR, Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.codec import decode_reply, encode
from holdfast_core.wire.frame import CheckIn, DirectiveReport, DirectiveState, Pin, Reply, Section

START = Instant(1_795_000_000_000)
ACTOR = "token:test"


class FakeClock:
    """A clock that moves only when told."""

    def __init__(self, now: int = START) -> None:
        self.at = now

    def now(self) -> Instant:
        return Instant(self.at)

    def forward(self, milliseconds: int) -> None:
        self.at += milliseconds


class FakeRandomness:
    """Predictable tokens, each another."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def token(self, size: int) -> str:
        return f"{next(self._count):0{size}d}"


def data_folder(folder: Path) -> Path:
    """A data folder as `holdfast init` leaves it. All tests of a process share its keys: making them takes long."""
    shutil.copytree(_template(), folder, dirs_exist_ok=True)
    return folder


@functools.cache
def _template() -> Path:
    """A data folder to copy, removed when the process ends."""
    holder = tempfile.TemporaryDirectory(prefix="holdfast-test-")
    atexit.register(holder.cleanup)
    folder = Path(holder.name)
    keys = folder / "keys"
    keys.mkdir()
    passphrase = make_passphrase(keys, {}, SystemRandomness())
    store = FileKeyStore(keys, passphrase)
    authority = FileAuthority.create(keys, store, organization="Test", scope=Config().scope, now=START)
    for stem in ("device-port", "operator-port"):
        authority.certify_server(["localhost", "127.0.0.1"], store, stem=stem, now=START)
    FileLogSigner.create(keys, "localhost/log", passphrase)
    FileVault.create(keys / VAULT, passphrase, cost=Cost(n=2))
    (folder / "holdfast.toml").write_text(render(Config()))
    engine = open_engine(folder / DATABASE)
    upgrade(engine)
    engine.dispose()
    return folder


@asynccontextmanager
async def plane_on(folder: Path, *, clock: FakeClock | None = None) -> AsyncIterator[Plane]:
    """A control plane on an existing data folder."""
    plane = Plane.open(Config(), folder, clock=clock or FakeClock(), randomness=FakeRandomness())
    async with plane:
        yield plane


@asynccontextmanager
async def new_plane(folder: Path, *, clock: FakeClock | None = None) -> AsyncIterator[Plane]:
    """A control plane on a new data folder."""
    async with plane_on(data_folder(folder), clock=clock) as plane:
        yield plane


def request_for(name: str, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """A PKCS#10 request (DER) with the subject CN=name."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


class DeviceInTest:
    """A device that enrolled at `plane`, and what it sends next.

    Its check-ins carry a healthy essential function and, with `audit`, findings for every control of its plan.
    """

    def __init__(self, plane: Plane, device: Device, fingerprint: Digest) -> None:
        self.plane, self.device, self.key, self.fingerprint = plane, device, device.key, fingerprint
        self.boot, self.seq = "boot-0001", 0
        self.last = b""

    def message(
        self, *, failing: tuple[str, ...] = (), audit: bool = True, healthy: bool = True, **frame: object
    ) -> bytes:
        """The bytes of the next check-in; `frame` overrides fields of `CheckIn`."""
        self.seq += 1
        sections = {"health": Section(body=msgspec.Raw(msgspec.json.encode({"ok": healthy})))}
        if audit:
            sections["baseline"] = Section(body=msgspec.Raw(self.findings(failing)))
        fields = {"v": 1, "boot": self.boot, "seq": self.seq, "sections": sections, **frame}
        self.last = encode(CheckIn(**fields))  # type: ignore[arg-type]  # the caller knows the frame
        return self.last

    def findings(self, failing: tuple[str, ...] = ()) -> bytes:
        """Findings for the whole plan: all pass but `failing`."""
        stored = self.plane.store.model(self.key.scope, self.device.model)
        assert stored is not None
        plan = self.plane.baseline.show(stored).plan
        found = [Finding(c, Outcome.FAIL if c in failing else Outcome.PASS) for c in plan.controls]
        return msgspec.json.encode(Findings(digest_of(canonical(plan)), tuple(found)))

    async def send(self, data: bytes) -> Reply:
        """Check in with `data`."""
        return decode_reply(await self.plane.check_ins.check_in(self.fingerprint, data), LIMITS)

    async def check_in(self, **about: object) -> Reply:
        """Check in with the next message."""
        return await self.send(self.message(**about))  # type: ignore[arg-type]  # see `message`


def settled(*ids: int) -> tuple[DirectiveReport, ...]:
    """Reports that these directives are done."""
    return tuple(DirectiveReport(number, DirectiveState.DONE) for number in ids)


def pin(size: int, root: str = "cm9vdA==") -> Pin:
    """What a device pinned."""
    return Pin(size, root)


async def enrolled(plane: Plane, name: str = "cam-1", example: str = "door-camera") -> DeviceInTest:
    """A device of an example model, added, claimed and enrolled."""
    scope = plane.config.scope
    model = await plane.inventory.add_model(scope, example_bytes(example), actor=ACTOR)
    device = await plane.inventory.add_device(scope, Row(1, DeviceId(name), model.reference), actor=ACTOR)
    claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
    chain = await plane.identity.enroll(name, claim, request_for(name))
    return DeviceInTest(plane, device, digest_of(chain[0].public_bytes(Encoding.DER)))
