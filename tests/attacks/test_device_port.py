"""What a hostile peer can do at the device port, over real TLS; and that others are served meanwhile."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import time
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from builders import ACTOR
from holdfast.adapters.pki import FileAuthority, FileKeyStore, Passphrase
from holdfast.adapters.system import SystemClock
from holdfast.bootstrap import SOCKET, Plane
from holdfast.web.tls import NO_CHECK_TIME
from holdfast_core.identity.issuers import FIRST
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.codec import encode
from holdfast_core.wire.frame import CheckIn, Section
from server_process import Caller, ServerProcess, configured, enroll_on_disk


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("port")
    config = configured(folder)

    async def prepare():
        plane = Plane.open(config, folder)
        for name in ("good", "stolen", "expired"):
            await enroll_on_disk(plane, folder, name)
        expired = next(c for c in plane.store._memory.credentials.values() if c.key.device == "expired")
        await plane.store.commit([msgspec.structs.replace(expired, not_after=Instant(1))])
        await plane.close()

    asyncio.run(prepare())
    with ServerProcess(folder) as running:
        yield running
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{running.process.pid}/status").read_text())
    assert peak is not None
    assert int(peak[1]) < 300 * 1024, "the attacks of this module made the server grow"


def memory_mib(server):
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def drained(sock):
    """Whatever can still be read."""
    data = b""
    with contextlib.suppress(OSError):
        while piece := sock.recv(65536):
            data += piece
    return data


def check_in(seq, boot="boot-0001"):
    sections = {"health": Section(body=msgspec.Raw(b'{"ok":true}'))}
    return encode(CheckIn(v=1, boot=boot, seq=seq, sections=sections))


def called(server, identity, body):
    """One check-in on a connection of its own; `identity` is a file, or the name of an enrolled device."""
    path = server.folder / f"{identity}.pem" if isinstance(identity, str) else identity
    with Caller(server, path) as caller:
        return caller.post(body)


def problem(answer):
    status, body = answer
    told = json.loads(body)
    assert told["status"] == status
    assert told["remedy"]
    return status, told["code"]


_good = iter(range(1, 1000))


def assert_others_are_served(server):
    """The control of every test here."""
    assert called(server, "good", check_in(next(_good)))[0] == 200


def raw(server, identity=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(server.folder / "keys" / "root.pem")
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    if identity:
        context.load_cert_chain(identity)
    plain = socket.create_connection(("127.0.0.1", server.config.device_port), 60)
    return context.wrap_socket(plain, server_hostname="localhost")


def received(sock):
    parts = []
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        while part := sock.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_no_certificate(server):
    assert problem(called(server, None, check_in(1))) == (401, "identity.certificate_required")
    assert_others_are_served(server)


def test_certificate_of_another_authority(server, tmp_path):
    now = SystemClock().now()
    scope, store = Scope("default", "production"), FileKeyStore(tmp_path, Passphrase("a passphrase of Mallory's"))
    authority = FileAuthority.create(tmp_path, store, organization="Mallory", scope=scope, now=now)
    key = ec.generate_private_key(ec.SECP256R1())
    device = DeviceKey(scope, DeviceId("good"))
    leaf = authority.issue(key.public_key(), device, FIRST, now=now, not_after=Instant(now + DAY))
    identity = tmp_path / "mallory.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    identity.write_bytes(pem + leaf.public_bytes(Encoding.PEM))
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        called(server, identity, check_in(1))
    assert_others_are_served(server)


def test_expired_certificate_gets_a_problem_and_not_a_bare_eof(server):
    assert problem(called(server, "expired", check_in(1))) == (403, "identity.expired")


def test_revoked_certificate_on_a_connection_that_was_already_open(server):
    with Caller(server, server.folder / "stolen.pem") as caller:
        assert caller.post(check_in(1))[0] == 200
        operator(server, "POST", "/api/v1/devices/stolen/revoke", {"why": "stolen"})
        with pytest.raises((http.client.HTTPException, ConnectionError, ssl.SSLError)):
            caller.post(check_in(2))
    with Caller(server, server.folder / "stolen.pem") as caller:
        assert problem(caller.post(check_in(2))) == (403, "identity.revoked")
    assert_others_are_served(server)


def operator(server, method, path, body):
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(server.folder / SOCKET))
    connection.request(method, path, json.dumps(body), {"content-type": "application/json"})
    response = connection.getresponse()
    data = response.read()
    connection.close()
    assert response.status < 300, data


def test_headers_without_end(server):
    with raw(server, server.folder / "good.pem") as sock:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            sock.sendall(b"POST /v1/check-in HTTP/1.1\r\n" + b"x-filler: " + b"a" * (1 << 20))
        answer = received(sock)
    assert answer.startswith(b"HTTP/1.1 431") or answer == b""
    assert_others_are_served(server)


def test_body_larger_than_the_limit(server):
    answer = called(server, "good", b"x" * (LIMITS.check_in_bytes + 1))
    assert problem(answer) == (413, "http.body_too_large")
    assert_others_are_served(server)


def test_one_byte_a_second(server):
    """Headers that trickle are cut off with a problem after the named limit, however politely they trickle."""
    started = time.monotonic()
    with raw(server, server.folder / "good.pem") as sock:
        for byte in b"POST /v1/check-in HTTP/1.1\r\nhost: localhost\r\n" * 3:
            try:
                sock.sendall(bytes([byte]))
            except OSError:
                break
            sock.settimeout(1.0)
            with contextlib.suppress(TimeoutError):
                answer = sock.recv(4096)
                break
        else:
            pytest.fail("nobody cut it off")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"http.too_slow" in answer
    assert time.monotonic() - started > LIMITS.header_seconds / 2, "cut off for another reason"
    assert_others_are_served(server)


def test_a_body_that_trickles(server):
    started = time.monotonic()
    with raw(server, server.folder / "good.pem") as sock:
        sock.sendall(b"POST /v1/check-in HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n")
        sock.settimeout(1.0)
        answer = b""
        while not answer and time.monotonic() < started + 10 * LIMITS.body_seconds:
            sock.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = sock.recv(4096)
    assert answer.startswith(b"HTTP/1.1 408")
    assert_others_are_served(server)


def test_a_thousand_requests_of_which_no_answer_is_read(server):
    """One connection, no certificate: without a bound each would wait in memory for its turn."""
    before = memory_mib(server)
    for _ in range(5):
        with raw(server, None) as sock:
            sock.settimeout(1.0)
            with contextlib.suppress(OSError):
                for _ in range(200):
                    sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 800)
            assert b"http.pipelined" in drained(sock)
    assert memory_mib(server) < before + 64
    assert_others_are_served(server)


def test_mute_connections_do_not_keep_others_out(server):
    """More than may shake hands at once, none of which says a word."""
    mute = []
    try:
        for _ in range(LIMITS.handshakes + 200):
            sock = socket.socket()
            sock.settimeout(30)
            sock.connect(("127.0.0.1", server.config.device_port))
            mute.append(sock)
        assert_others_are_served(server)
        descriptors = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
        assert descriptors < LIMITS.handshakes + 100
    finally:
        for sock in mute:
            sock.close()


def test_one_device_that_takes_every_connection(server):
    held = []
    try:
        for _ in range(LIMITS.connections_per_device):
            sock = raw(server, server.folder / "good.pem").__enter__()
            sock.sendall(b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 404")
            held.append(sock)
        with raw(server, server.folder / "good.pem") as sock:
            refused = received(sock)
        assert b"http.too_many_connections" in refused
        assert b"retry-after" in refused
        with raw(server, server.folder / "expired.pem") as other:  # another certificate has its own share
            other.sendall(b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert received(other).startswith(b"HTTP/1.1 404")
    finally:
        for sock in held:
            sock.close()
    assert_others_are_served(server)


def test_garbage_instead_of_http(server):
    with raw(server, server.folder / "good.pem") as sock:
        sock.sendall(b"\x00\x01\x02 not http at all\r\n\r\n")
        assert received(sock).startswith(b"HTTP/1.1 400")
    assert_others_are_served(server)


def test_plain_text_on_the_tls_port(server):
    with socket.create_connection(("127.0.0.1", server.config.device_port), 30) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert received(sock) == b""
    assert_others_are_served(server)


def test_basic_guessing_at_enrollment_learns_nothing(server):
    told = set()
    for name in ("good", "nobody"):
        token = base64.b64encode(f"{name}:hfc_guess".encode()).decode()
        with Caller(server, None) as caller:
            headers = {"authorization": f"Basic {token}"}
            caller.connection.request("POST", "/.well-known/est/simpleenroll", b"", headers)
            response = caller.connection.getresponse()
            assert response.getheader("www-authenticate")
            told.add((response.status, response.read()))
    assert len(told) == 1
    assert ACTOR.encode() not in told.pop()[1]
