"""A stand-in for the server's device port, with real TLS and real certificates, and a device's root to look at."""

from __future__ import annotations

import base64
import datetime as dt
import http.server
import ipaddress
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509.oid import NameOID

from holdfast_core.baseline.model import Plan
from holdfast_core.inventory.model import DeviceClass, HealthProbe
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.codec import decode_check_in, encode
from holdfast_core.wire.frame import CheckIn, Directive, Level, Reply, VerdictNotice

CLAIM = "hfc_only-once"
PROBLEM = "application/problem+json"
Answer = tuple[int, str, bytes]
PAST = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)


class Authority:
    """A root, an intermediate, and what they issue. Everything ended in 2002: a device's clock is not asked."""

    def __init__(self) -> None:
        self.root_key, self.key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        self.root = _certificate("Test Root", "Test Root", self.root_key.public_key(), self.root_key, ca=True)
        self.issuing = _certificate("Test Issuing", "Test Root", self.key.public_key(), self.root_key, ca=True)

    @property
    def digest(self) -> Digest:
        return digest_of(self.root.public_bytes(Encoding.DER))

    def issue(self, name: str, public: ec.EllipticCurvePublicKey, *, server: bool = False) -> x509.Certificate:
        return _certificate(name, "Test Issuing", public, self.key, ca=False, server=server)

    def context(self, folder: Path) -> ssl.SSLContext:
        """TLS of the device port: client certificates asked for, not demanded."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        leaf = self.issue("server", key.public_key(), server=True)
        file = folder / "server.pem"
        file.write_bytes(pem + leaf.public_bytes(Encoding.PEM) + self.issuing.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(file)
        context.load_verify_locations(cadata=self.root.public_bytes(Encoding.PEM).decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= 0x200000
        return context


def _certificate(
    name: str,
    issuer: str,
    public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    ca: bool,
    server: bool = False,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(PAST)
        .not_valid_after(PAST + dt.timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if server:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())


class FakeServer:
    """What the tests ask of a server. `script` answers check-ins one by one, the plain answer follows."""

    def __init__(self) -> None:
        self.authority = Authority()
        self.enrolled: list[str] = []
        self.raw: list[bytes] = []
        self.peers: list[bytes | None] = []
        self.script: list[Callable[[CheckIn], Answer | None]] = []
        self.directives: list[Directive] = []
        self.wants: tuple[str, ...] = ()
        self.checkpoint: str | None = None
        self.next_s = 300
        self.url = ""

    @property
    def check_ins(self) -> list[CheckIn]:
        return [decode_check_in(data, LIMITS) for data in self.raw]

    def take(self, data: bytes, peer: bytes | None) -> Answer | None:
        self.raw.append(data)
        self.peers.append(peer)
        check_in = decode_check_in(data, LIMITS)
        if self.script:
            return self.script.pop(0)(check_in)
        return self.reply(check_in)

    def reply(self, check_in: CheckIn) -> Answer:
        ended = {report.id for report in check_in.reports if report.state != "accepted"}
        self.directives = [directive for directive in self.directives if directive.id not in ended]
        verdict = VerdictNotice(Level.TRUSTED, (), Instant(10**13))
        wants, self.wants = self.wants, ()
        answer = Reply(
            1, check_in.seq, Instant(10**12), self.next_s, f"nonce-{check_in.seq:06}", verdict,
            tuple(self.directives), wants, self.checkpoint,
        )  # fmt: skip
        return 200, "application/json", encode(answer)

    def enroll(self, authorization: str, body: bytes) -> Answer:
        self.enrolled.append(authorization)
        device, _, claim = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if claim != CLAIM:
            return problem(401, "claim.unknown", "This claim does not admit this device.")
        public = x509.load_der_x509_csr(base64.b64decode(body)).public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        return 200, "application/pkcs7-mime", certs_only([self.authority.issue(device, public), self.authority.issuing])


def certs_only(certificates: list[x509.Certificate]) -> bytes:
    return base64.encodebytes(pkcs7.serialize_certificates(certificates, Encoding.DER))


def problem(status: int, code: str, detail: str) -> Answer:
    body = {"type": "about:blank", "title": "t", "status": status, "detail": detail, "code": code, "remedy": "Do that."}
    return status, PROBLEM, msgspec.json.encode(body)


@contextmanager
def serving(server: FakeServer, folder: Path) -> Iterator[FakeServer]:
    """Serve `server` on a loopback port while the context lasts."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            self.request.do_handshake()
            super().setup()

        def do_GET(self) -> None:
            assert self.path == "/.well-known/est/cacerts"
            root = server.authority.root
            self.answer((200, "application/pkcs7-mime", certs_only([server.authority.issuing, root])))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/.well-known/est/simpleenroll":
                self.answer(server.enroll(self.headers["Authorization"], body))
            else:
                assert self.path == "/v1/check-in"
                self.answer(server.take(body, self.request.getpeercert(binary_form=True)))

        def answer(self, answer: Answer | None) -> None:
            if answer is None:  # the answer is lost on the way
                self.close_connection = True
                return
            status, kind, body = answer
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a test's output is its result."""

    class Quiet(http.server.ThreadingHTTPServer):
        def server_bind(self) -> None:
            socketserver.TCPServer.server_bind(self)  # http.server's own would ask the DNS for its name
            self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

        def handle_error(self, *_: object) -> None:
            """A handshake that a test breaks on purpose is no news."""

    listener = Quiet(("127.0.0.1", 0), Handler)
    context = server.authority.context(folder)
    listener.socket = context.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
    server.url = f"https://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


def device_root(folder: Path) -> Path:
    """A little root with a password file that is readable by everyone."""
    root = folder / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text('ID=testos\nVERSION_ID="1.2"\n')
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
    (root / "etc/shadow").chmod(0o644)
    return root


def a_plan(*controls: str, health: HealthProbe, heavy_interval_s: int = 86_400) -> Plan:
    return Plan(DeviceClass.LINUX_IOT, Digest("sha256:" + "0" * 64), controls, heavy_interval_s, health)


def plan_directive(number: int, plan: Plan) -> Directive:
    return Directive(number, "plan", msgspec.Raw(msgspec.json.encode(plan)))
