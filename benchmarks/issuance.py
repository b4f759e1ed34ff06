"""Certificates a second and core: from a device's request to its certificate, policy and record included, durable.

Method: devices are in the inventory and hold claims; keys and requests are made beforehand. In process: `enroll` is
called with 60 at once, each commit with ``synchronous=FULL``, rates against this process's CPU time, the store's writer
included. Over EST: the real ``holdfast serve`` pinned to one core, every device on a TLS 1.3 connection of its own, and
then on the EST port with TLS 1.2; rates against the server's own CPU time. Renewal: the device's own certificate over a
new mutual-TLS connection. Peers in the same run: raw signing of the same certificate with `cryptography`, and
``openssl speed ecdsap256``.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509.oid import NameOID

from benchmarks.ground import CLIENT_CORE, Ground, Server, holdfast, prepare
from benchmarks.load import percentile, press
from holdfast.bootstrap import Plane
from holdfast.ports.store import Change
from holdfast_core.identity.issuers import FIRST
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import DAY, HOUR, Instant

IN_PROCESS, OVER_EST, AT_ONCE = 3_000, 1_500, 60
ACTOR = "os-user:benchmark"
_HEAD = b"POST /.well-known/est/%s HTTP/1.1\r\nhost: localhost\r\n%scontent-type: application/pkcs10\r\n"


class Applicant:
    """A device that waits to be certified: its name, its claim, its key and its request."""

    def __init__(self, name: str, claim: str) -> None:
        self.name, self.claim = name, claim
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.request = _request(name, self.key)


def _request(name: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.DER)


async def _applicants(plane: Plane, prefix: str, count: int) -> list[Applicant]:
    model, scope, now = plane.inventory.models(plane.config.scope)[0], plane.config.scope, plane.clock.now()
    keys = [DeviceKey(scope, DeviceId(f"{prefix}-{number:05d}")) for number in range(count)]
    added: list[Change] = [Device(key, Lifecycle.EXPECTED, now, model.reference, "benchmark") for key in keys]
    await plane.store.commit(added)
    claims = [await plane.identity.create_claim(key, lifetime=HOUR, actor=ACTOR) for key in keys]
    return [Applicant(key.device, text) for key, (text, _) in zip(keys, claims, strict=True)]


async def _in_process(plane: Plane) -> None:
    applicants = await _applicants(plane, "local", IN_PROCESS)

    async def one(number: int) -> None:
        applicant = applicants[number]
        await plane.identity.enroll(applicant.name, applicant.claim, applicant.request)

    before = time.process_time()
    wall, latencies = await press(IN_PROCESS, AT_ONCE, one)
    cpu = time.process_time() - before
    print(f"in process       {_line(IN_PROCESS, wall, cpu, latencies)}  (target 500 per core-second)")
    _raw(plane, applicants[: IN_PROCESS // 3])


def _raw(plane: Plane, applicants: list[Applicant]) -> None:
    """The same certificate, signed and nothing else."""
    authority, scope, now = plane.authority, plane.config.scope, plane.clock.now()
    before = time.process_time()
    for applicant in applicants:
        key = DeviceKey(scope, DeviceId(applicant.name))
        authority.issue(applicant.key.public_key(), key, FIRST, now=now, not_after=Instant(now + 30 * DAY))
    rate = len(applicants) / (time.process_time() - before)
    print(f"  peer: the certificate alone, built and signed by cryptography: {rate:,.0f} per core-second")
    print(f"  peer: openssl speed ecdsap256: {_openssl()} signatures a second")


def _openssl() -> str:
    said = subprocess.run(
        ["openssl", "speed", "-seconds", "2", "ecdsap256"], capture_output=True, text=True, check=True
    )
    found = re.search(r"nistp256.*?s\s+.*?s\s+([\d.]+)", said.stdout)
    return f"{float(found[1]):,.0f}" if found else "?"


def _line(turns: int, wall: float, cpu: float, latencies: list[float]) -> str:
    p50, p99 = (1000 * percentile(latencies, share) for share in (0.5, 0.99))
    rates = f"{turns / cpu:6,.0f} per core-second  {turns / wall:6,.0f} per wall second"
    return f"{rates}  p50 {p50:6.1f} ms  p99 {p99:6.1f} ms"


async def _ask(port: int, context: ssl.SSLContext, operation: bytes, body: bytes, basic: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    text = base64.b64encode(body)
    writer.write(_HEAD % (operation, basic) + b"content-length: %d\r\n\r\n" % len(text) + text)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    answer = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    writer.close()
    if not head.startswith(b"http/1.1 200"):
        raise SystemExit(f"the server refused: {head.splitlines()[0]!r} {answer[:300]!r}")
    return answer


def _context(ground: Ground, version: ssl.TLSVersion, identity: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ground.folder / "keys" / "root.pem")
    context.minimum_version = context.maximum_version = version
    if identity is not None:
        context.load_cert_chain(identity)
    return context


async def _over_est(
    ground: Ground, server: Server, port: int, version: ssl.TLSVersion, applicants: list[Applicant]
) -> list[bytes]:
    context, answers = _context(ground, version), [b""] * len(applicants)

    async def one(number: int) -> None:
        applicant = applicants[number]
        word = base64.b64encode(f"{applicant.name}:{applicant.claim}".encode())
        basic = b"authorization: Basic " + word + b"\r\n"
        answers[number] = await _ask(port, context, b"simpleenroll", applicant.request, basic)

    cpu = server.cpu_seconds()
    wall, latencies = await press(len(applicants), AT_ONCE, one)
    line = _line(len(applicants), wall, server.cpu_seconds() - cpu, latencies)
    print(f"over EST, {version.name} {line}  (target 150 per core-second)")
    return answers


async def _renewals(ground: Ground, server: Server, applicants: list[Applicant], answers: list[bytes]) -> None:
    contexts, requests = [], []
    for applicant, answer in zip(applicants, answers, strict=True):
        (leaf,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer))
        path = ground.folder / f"{applicant.name}.pem"
        pem = applicant.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(pem + leaf.public_bytes(Encoding.PEM))
        contexts.append(_context(ground, ssl.TLSVersion.TLSv1_3, path))
        requests.append(_request(applicant.name, ec.generate_private_key(ec.SECP256R1())))

    async def one(number: int) -> None:
        await _ask(server.port, contexts[number], b"simplereenroll", requests[number])

    cpu = server.cpu_seconds()
    wall, latencies = await press(len(applicants), AT_ONCE, one)
    print(f"renewed, TLSv1_3  {_line(len(applicants), wall, server.cpu_seconds() - cpu, latencies)}")


async def _prepare(ground: Ground) -> tuple[list[Applicant], list[Applicant]]:
    plane = Plane.open(ground.config, ground.folder)
    try:
        await _in_process(plane)
        return await _applicants(plane, "new", OVER_EST), await _applicants(plane, "old", OVER_EST)
    finally:
        await plane.close()


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        ground = prepare(Path(name) / "data", fleet=1, connecting=1)
        new, old = uvloop.run(_prepare(ground))
        os.sched_setaffinity(0, {CLIENT_CORE})
        server = holdfast(ground)
        try:
            answers = uvloop.run(_over_est(ground, server, ground.config.device_port, ssl.TLSVersion.TLSv1_3, new))
            uvloop.run(_over_est(ground, server, ground.config.est_port, ssl.TLSVersion.TLSv1_2, old))
            uvloop.run(_renewals(ground, server, new, answers))
        finally:
            server.stop()
