"""Whether a certificate still counts: how fast that is known here, and told to others, with 100,000 live certificates.

Method: a store in a temporary folder with 100,000 credentials of one issuer (ECDSA P-256), one core, in process. The
check is what every request of a device pays: fingerprint to credential, its issuer's standing, may it speak. Lists are
made with every tenth certificate revoked, then with all, and once more after one more revocation, which is the one that
matters. Answers go from the bytes of a request to the bytes of an answer, status looked up: with a nonce each is
signed; without, one is given again for half of its life. Over HTTP: a process of its own, kept-alive connections, its
own CPU time. Peers in the same run: `openssl speed ecdsap256`, a bare signature of `cryptography`, a bare list and a
bare answer built with it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.connection
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from benchmarks.ground import CLIENT_CORE, SERVER_CORE
from holdfast.adapters.pki import FileAuthority, FileKeyStore, FileLogSigner, make_passphrase
from holdfast.adapters.pki.crl import CrlMaker
from holdfast.adapters.pki.ocsp import OcspResponder
from holdfast.adapters.store import EmbeddedStore, open_engine, upgrade
from holdfast.adapters.system import SystemClock, SystemRandomness
from holdfast.identity.answers import StatusAnswers
from holdfast.identity.lists import WHOLE, RevocationLists
from holdfast.ports.credentials import Credentials
from holdfast.ports.issuers import IssuerBook
from holdfast.ports.validity import AuthorityIssuers, Issuer
from holdfast.web.device.protocol import bounded
from holdfast.web.listeners import Listener, bind
from holdfast.web.validation.app import validation_app
from holdfast.web.validation.protocol import ValidationProtocol
from holdfast_core.identity.model import Credential, Revocation
from holdfast_core.identity.validity import SHARDS, issuer_name, shard_of
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import DAY, Instant, to_datetime
from holdfast_core.kernel.limits import LIMITS

LIVE, GROUP = 100_000, 5_000
CHECKS, ANSWERS, KEPT_ANSWERS, ASKED = 1_000_000, 10_000, 50_000, 20_000
CONNECTIONS = 32
SCOPE = Scope("bench", "production")


def _credentials(issuer: Issuer, now: Instant) -> Iterator[Credential]:
    for number in range(LIVE):
        der = f"certificate {number}".encode()
        yield Credential(
            fingerprint=digest_of(der),
            key=DeviceKey(SCOPE, DeviceId(f"device-{number:06d}")),
            serial=f"{x509.random_serial_number():x}",
            spki=digest_of(b"key " + der),
            not_before=Instant(now - DAY),
            not_after=Instant(now + 14 * DAY),
            issuer=issuer.id,
            issued_at=now,
        )


class Ground:
    """The store, and what is served from it."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        engine = open_engine(folder / "bench.db")
        upgrade(engine)
        keys = folder / "keys"
        keys.mkdir()
        passphrase = make_passphrase(keys, {}, SystemRandomness())
        self.store = EmbeddedStore(engine, FileLogSigner.create(keys, "bench/log", passphrase))
        key_store, now = FileKeyStore(keys, passphrase), self.clock.now()
        authority = FileAuthority.create(keys, key_store, organization="Benchmark", scope=SCOPE, now=now)
        book = IssuerBook(self.store, authority)
        self.credentials = Credentials(self.store, lambda _event: (), book)
        self.issuers = AuthorityIssuers(authority, book)
        (self.issuer,) = self.issuers.issuers()

    async def fill(self) -> list[Credential]:
        """Put the credentials in, and build on them."""
        every = list(_credentials(self.issuer, self.clock.now()))
        for start in range(0, LIVE, GROUP):
            await self.store.commit(every[start : start + GROUP])
        self.lists = RevocationLists(
            store=self.store,
            clock=self.clock,
            issuers=self.issuers,
            maker=CrlMaker(),
            base_url="http://pki.bench.example",
        )
        self.answers = StatusAnswers(
            store=self.store, clock=self.clock, lists=self.lists, responder=OcspResponder(LIMITS)
        )
        return every

    async def revoke(self, some: list[Credential]) -> None:
        """End credentials."""
        now = self.clock.now()
        ended = [msgspec.structs.replace(one, revoked_at=now, revoked_code=Revocation.KEY_COMPROMISE) for one in some]
        for start in range(0, len(ended), GROUP):
            await self.store.commit(ended[start : start + GROUP])


def _timed(work: Callable[[], object], times: int = 1) -> float:
    """CPU seconds of one call of `work`."""
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times


def _checks(ground: Ground, every: list[Credential]) -> None:
    fingerprints = [one.fingerprint for one in every] * (CHECKS // LIVE)
    now = ground.clock.now()

    def checked() -> None:
        for fingerprint in fingerprints:
            ground.credentials.speaking(fingerprint, now)

    each = _timed(checked) / len(fingerprints)
    print(f"revocation check: {1e6 * each:.2f} us, {CHECKS:,} over {LIVE:,} live  (target < 5 us)")


async def _made(ground: Ground, what: str) -> None:
    started, cpu = time.perf_counter(), time.process_time()
    made = await ground.lists.current(ground.issuer)
    wall, used = time.perf_counter() - started, time.process_time() - cpu
    print(
        f"{what}: {made.entries:,} entries, {len(made.der) / 1e6:.2f} MB, {used:.2f} s CPU, {wall:.2f} s  (target 2 s)"
    )


async def _lists(ground: Ground, every: list[Credential]) -> None:
    await ground.lists.refresh()
    await ground.revoke(every[: LIVE // 10])
    await _made(ground, f"the whole list and {SHARDS} shards, every tenth revoked")
    await ground.revoke(every[LIVE // 10 : -1])
    await _made(ground, f"the whole list and {SHARDS} shards, all but one revoked")
    await ground.revoke(every[-1:])
    await _made(ground, "the whole list and one shard after one more revocation")
    shard = shard_of(int(every[-1].serial, 16), SHARDS)
    held = ground.lists._entries(ground.issuer.id, shard)  # noqa: SLF001  (one shard alone, timed without its making of all)
    stamp = (await ground.lists.current(ground.issuer, shard)).stamp
    each = _timed(lambda: ground.lists._maker.make(ground.issuer, held, stamp, address="http://x/0.crl"), 20)  # noqa: SLF001
    print(f"one shard alone: {len(held):,} entries, {1000 * each:.1f} ms CPU")
    entries = [
        x509.RevokedCertificateBuilder(int(one.serial, 16), to_datetime(ground.clock.now())).build() for one in every
    ]
    builder = x509.CertificateRevocationListBuilder(
        ground.issuer.certificate.subject,
        to_datetime(ground.clock.now()),
        to_datetime(ground.clock.now()) + timedelta(days=3),
        [],
        entries,
    )
    peer = _timed(lambda: builder.sign(ground.issuer.key, hashes.SHA256()).public_bytes(Encoding.DER))
    print(f"  peer, cryptography: {LIVE:,} ready entries without reasons signed in {peer:.2f} s CPU")


def _requests(ground: Ground, some: list[Credential], *, nonce: bool) -> list[bytes]:
    name, key = ground.answers._responder._hashes(ground.issuer, "sha1")  # type: ignore[attr-defined]  # noqa: SLF001  (the CertID that a client computes from the issuer's certificate)
    found = []
    for one in some:
        builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(name, key, int(one.serial, 16), hashes.SHA1())  # noqa: S303  (RFC 5019)
        if nonce:
            builder = builder.add_extension(x509.OCSPNonce(os.urandom(32)), critical=False)
        found.append(builder.build().public_bytes(Encoding.DER))
    return found


def _answers(ground: Ground, every: list[Credential]) -> None:
    name = issuer_name(ground.issuer.id)
    for what, requests in (
        ("signed each, with a nonce", _requests(ground, every[:ANSWERS], nonce=True)),
        ("kept, without a nonce", _requests(ground, every[:1000], nonce=False) * (KEPT_ANSWERS // 1000)),
    ):
        each = _timed(lambda requests=requests: [ground.answers.answer(name, one) for one in requests]) / len(requests)  # type: ignore[misc]  # a lambda's default
        print(f"OCSP {what}: {1 / each:,.0f} per core-second, {len(requests):,}  (target 2,000)")
    certificate, now = ground.issuer.certificate, to_datetime(ground.clock.now())

    def bare() -> bytes:
        builder = ocsp.OCSPResponseBuilder().add_response(
            certificate,
            certificate,
            hashes.SHA256(),
            ocsp.OCSPCertStatus.GOOD,
            now,
            now,
            None,
            None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
        return builder.sign(ground.issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)

    print(f"  peer, cryptography: a bare answer, nothing read, nothing looked up: {1 / _timed(bare, 5000):,.0f}/s")


async def _serve(folder: Path, told: multiprocessing.connection.Connection) -> None:
    """The validation port in a process of its own, until the other end closes."""
    ground = Ground(folder)
    every = await ground.fill()
    listening = bind("127.0.0.1", 0)
    limits = msgspec.structs.replace(LIMITS, validation_requests=10**9)
    app = validation_app(ground.lists, ground.answers, ground.clock, limits)
    listener = Listener(app, listening, tls=None, limits=limits, protocol=bounded(limits, ValidationProtocol))
    asyncio.get_running_loop().run_in_executor(None, _until_closed, told, listener)
    path = f"/ocsp/{issuer_name(ground.issuer.id)}"
    told.send((listening.getsockname()[1], path, _requests(ground, every[:ASKED], nonce=True)))
    await listener.listen()
    ground.store.close()


def _until_closed(told: multiprocessing.connection.Connection, listener: Listener) -> None:
    while told.recv():
        told.send(time.process_time())
    listener.should_exit = True


def _server(folder: str, told: multiprocessing.connection.Connection) -> None:
    uvloop.run(_serve(Path(folder), told))


async def _ask(port: int, path: str, requests: list[bytes]) -> None:
    waiting = iter(requests)

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in waiting:
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"content-length: (\d+)", answer)
            if not answer.startswith(b"HTTP/1.1 200") or size is None:
                raise SystemExit(f"the validation port answered {answer[:80]!r}")
            await reader.readexactly(int(size[1]))
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


def _over_http() -> None:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("spawn").Process(target=_server, args=(folder, theirs), daemon=True)
        process.start()
        os.sched_setaffinity(process.pid or 0, {SERVER_CORE})
        port, path, requests = ours.recv()
        os.sched_setaffinity(0, {CLIENT_CORE})
        ours.send(True)  # noqa: FBT003  (a message)
        before, started = ours.recv(), time.perf_counter()
        uvloop.run(_ask(port, path, requests))
        wall = time.perf_counter() - started
        ours.send(True)  # noqa: FBT003
        used = ours.recv() - before
        ours.send(False)  # noqa: FBT003
        process.join(30)
    print(
        f"OCSP over HTTP, signed each: {ASKED / used:,.0f} per core-second, {ASKED / wall:,.0f} per wall second, "
        f"{ASKED:,} on {CONNECTIONS} connections  (target 2,000)"
    )


def _peers(ground: Ground) -> None:
    done = subprocess.run(
        ["openssl", "speed", "-seconds", "2", "ecdsap256"], capture_output=True, text=True, check=True
    )
    line = next(line for line in done.stdout.splitlines() if "nistp256" in line)
    print(f"  peer, openssl speed ecdsap256: {float(line.split()[-2]):,.0f} signatures/s")
    key = ground.issuer.key
    each = _timed(lambda: key.sign(b"x" * 100, ec.ECDSA(hashes.SHA256())), 20_000)  # type: ignore[union-attr, call-arg, arg-type]  # P-256, made here
    print(f"  peer, cryptography: {1 / each:,.0f} signatures/s")


async def _run(folder: Path) -> None:
    ground = Ground(folder)
    every = await ground.fill()
    _checks(ground, every)
    _answers(ground, every)
    await _lists(ground, every)
    made = ground.lists.made(SCOPE)
    largest = max(one.entries for one in made if one.shard != WHOLE)
    print(f"all revoked: the largest of {SHARDS} shards has {largest:,} entries")
    _peers(ground)
    await ground.store.settled()
    ground.store.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(_run(Path(folder)))
    _over_http()
