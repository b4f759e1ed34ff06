"""The ground all server benchmarks stand on: a data folder with a large fleet, and a server process to measure.

The fleet is written through the server's own store and services, then the folder is closed and the real ``holdfast
serve`` is started on it. Devices that connect have real keys and certificates of the folder's own authority; the rest
have the same rows with made-up fingerprints, because nobody will ever show them.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from holdfast.adapters.pki import FileAuthority, FileKeyStore, FileLogSigner, make_passphrase
from holdfast.adapters.store import open_engine, upgrade
from holdfast.adapters.system import SystemClock, SystemRandomness
from holdfast.adapters.vault import FILE as VAULT
from holdfast.adapters.vault import Cost, FileVault
from holdfast.bootstrap import DATABASE, Plane
from holdfast.config import Config, render
from holdfast.inventory.model_file import example_bytes
from holdfast.ports.store import Change
from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.identity.issuers import FIRST
from holdfast_core.identity.model import Credential, Permission
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.digests import Digest, canonical, digest_of
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import DAY, Instant

SERVER_CORE, CLIENT_CORE = 0, max(0, (os.cpu_count() or 1) - 1)
GROUP = 1_000


@dataclass(frozen=True)
class Member:
    """A device that will connect: its name, and where its certificate and key lie."""

    name: str
    certificate: Path


@dataclass(frozen=True)
class Ground:
    """A prepared data folder. `body` is a full audit of the model's plan, `digest` its digest."""

    folder: Path
    config: Config
    members: list[Member]
    body: bytes
    digest: Digest
    token: str
    """Of a program that may read."""


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def prepare(folder: Path, *, fleet: int, connecting: int) -> Ground:
    """A data folder with `fleet` active devices of one model, of which `connecting` have real certificates."""
    # A thousand devices stand for a large fleet here, so each calls far more often than a server would let it.
    config = Config(
        check_ins_per_contact=10**9,
        device_host="127.0.0.1",
        device_port=free_port(),
        operator_port=free_port(),
        est_port=free_port(),
        metrics_port=free_port(),
    )
    return asyncio.run(_prepare(folder, config, fleet, connecting))


async def _prepare(folder: Path, config: Config, fleet: int, connecting: int) -> Ground:
    now = SystemClock().now()
    keys, certificates = folder / "keys", folder / "members"
    keys.mkdir(parents=True)
    certificates.mkdir()
    passphrase = make_passphrase(keys, {}, SystemRandomness())
    store = FileKeyStore(keys, passphrase)
    authority = FileAuthority.create(keys, store, organization="Benchmark", scope=config.scope, now=now)
    for stem in ("device-port", "operator-port"):
        authority.certify_server(list(config.names), store, stem=stem, now=now)
    FileLogSigner.create(keys, "benchmark/log", passphrase)
    FileVault.create(keys / VAULT, passphrase, cost=Cost(n=2))
    (folder / "holdfast.toml").write_text(render(config))
    engine = open_engine(folder / DATABASE)
    upgrade(engine)
    engine.dispose()
    plane = Plane.open(config, folder)
    model = await plane.inventory.add_model(config.scope, example_bytes("door-camera"), actor="os-user:benchmark")
    members: list[Member] = []
    for start in range(0, fleet, GROUP):
        changes: list[Change] = []
        for number in range(start, min(start + GROUP, fleet)):
            key = DeviceKey(config.scope, DeviceId(f"camera-{number:05d}"))
            device = Device(key, Lifecycle.ENROLLED, now, model.reference, "benchmark")
            posture, follow = plane.verdicts.begin(device, None, now)
            if number < connecting:
                member, fingerprint, serial = _certify(authority, key, certificates, now)
                members.append(member)
            else:
                fingerprint, serial = digest_of(key.device.encode()), f"{number:x}"
            spki = digest_of(b"key of " + key.device.encode())
            credential = Credential(
                fingerprint,
                key,
                serial,
                spki,
                now,
                Instant(now + 30 * DAY),
                authority.issuer_fingerprint(config.scope, FIRST),
                now,
            )
            changes.extend([device, posture, credential, *follow])
        await plane.store.commit(changes)
    plan = plane.baseline.show(model).plan
    body = audit_body(digest_of(canonical(plan)), plan.controls, failing="")
    token, _ = await plane.tokens.create(
        config.scope, "benchmark", permission=Permission.READ, lifetime=DAY, actor="os-user:benchmark"
    )
    await plane.close()
    return Ground(folder, config, members, body, digest_of(body), token)


def audit_body(plan: Digest, controls: tuple[str, ...], *, failing: str) -> bytes:
    """A full audit: every control passes but one."""
    found = [Finding(c, Outcome.FAIL if c == failing else Outcome.PASS) for c in controls]
    return msgspec.json.encode(Findings(plan, tuple(found)))


def _certify(authority: FileAuthority, key: DeviceKey, folder: Path, now: Instant) -> tuple[Member, Digest, str]:
    private = ec.generate_private_key(ec.SECP256R1())
    leaf = authority.issue(private.public_key(), key, FIRST, now=now, not_after=Instant(now + 30 * DAY))
    path = folder / f"{key.device}.pem"
    chain = b"".join(c.public_bytes(Encoding.PEM) for c in (leaf, authority.issuer(key.scope, FIRST)))
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + chain)
    return Member(key.device, path), digest_of(leaf.public_bytes(Encoding.DER)), f"{leaf.serial_number:x}"


def client_context(ground: Ground, member: Member) -> ssl.SSLContext:
    """The TLS context of one device."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ground.folder / "keys" / "root.pem")
    context.load_cert_chain(member.certificate)
    return context


class Server:
    """A server process, pinned to one core, and what it has used."""

    def __init__(self, argv: list[str], port: int, *, ready: int | None = None) -> None:
        started = time.monotonic()
        self._process = subprocess.Popen(
            argv,
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),  # noqa: PLW1509
        )
        self.port, self._ready = port, ready
        while not self._answers():
            if self._process.poll() is not None:
                sys.exit(f"{' '.join(argv)} ended with {self._process.returncode}")
            time.sleep(0.01)
        self.seconds_to_ready = time.monotonic() - started

    def _answers(self) -> bool:
        if self._ready is None:
            return _connects(self.port)
        connection = http.client.HTTPConnection("127.0.0.1", self._ready, timeout=1)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self) -> float:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def stop(self) -> None:
        """End it in order."""
        self._process.terminate()
        self._process.wait(30)


def holdfast(ground: Ground) -> Server:
    """The real server on the prepared folder."""
    argv = [sys.executable, "-m", "holdfast", "serve", "--data", str(ground.folder)]
    return Server(argv, ground.config.device_port, ready=ground.config.metrics_port)


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
