"""An EST client of its own making: HTTP over the ssl module, so that every byte of a request can be chosen."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509.oid import AttributeOID, NameOID

NO_CHECK_TIME = 0x200000


class Answer(msgspec.Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])

    @property
    def certificates(self) -> list[x509.Certificate]:
        return pkcs7.load_der_pkcs7_certificates(base64.b64decode(self.body))

    @property
    def certificate(self) -> x509.Certificate:
        (leaf,) = self.certificates
        return leaf


class EstClient:
    """One connection to an EST server that is trusted through `root` (PEM), with an identity if one is given."""

    def __init__(
        self, url: str, root: Path, identity: Path | None = None, *, version: ssl.TLSVersion | None = None
    ) -> None:
        context = ssl.create_default_context(cafile=str(root))
        context.verify_flags |= NO_CHECK_TIME
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if identity is not None:
            context.load_cert_chain(identity)
        parts = urlsplit(url)
        self._http = http.client.HTTPSConnection(parts.hostname or "", parts.port or 0, context=context, timeout=30)

    def connect(self) -> None:
        if self._http.sock is None:
            self._http.connect()

    @property
    def tls_unique(self) -> bytes:
        self.connect()
        value: bytes = self._http.sock.get_channel_binding("tls-unique")  # type: ignore[union-attr]
        return value

    @property
    def version(self) -> str:
        self.connect()
        return str(self._http.sock.version())  # type: ignore[union-attr]

    def call(self, operation: str, body: bytes | None = None, *, basic: tuple[str, str] | None = None) -> Answer:
        headers = {"Content-Type": "application/pkcs10"} if body is not None else {}
        if basic is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(basic).encode()).decode()
        method = "GET" if body is None else "POST"
        self._http.request(method, f"/.well-known/est/{operation}", body, headers)
        response = self._http.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def ended(self, seconds: float = 10.0) -> bool:
        """Whether the server closes the connection within `seconds`."""
        sock = self._http.sock
        assert sock is not None
        sock.settimeout(seconds)
        try:
            return sock.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        self._http.close()


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def request(name: str, key: ec.EllipticCurvePrivateKey, *, challenge: bytes | None = None) -> bytes:
    """A PKCS#10 request in base64."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if challenge is not None:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge)
    return base64.b64encode(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))


def keep(path: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Path:
    """An identity file: key and certificate."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + certificate.public_bytes(Encoding.PEM))
    return path
