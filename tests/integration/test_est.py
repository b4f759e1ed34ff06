"""EST (RFC 7030) as a client of anybody's making meets it, on both ports; what comes out holds under openssl."""

from __future__ import annotations

import base64
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from est_client import EstClient, keep, new_key, request
from served_builders import ServedPlane, served


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory):
    with served(tmp_path_factory.mktemp("served") / "plane") as plane:
        yield plane


@pytest.fixture
def root(plane: ServedPlane) -> Path:
    return plane.plane.folder / "keys" / "root.pem"


@pytest.fixture(params=["device port", "EST port"])
def url(request: pytest.FixtureRequest, plane: ServedPlane) -> str:
    return plane.url if request.param == "device port" else plane.est_url


def dialled(url: str, root: Path, identity: Path | None = None) -> EstClient:
    return EstClient(url, root, identity)


def test_the_authorities_are_told_and_the_answer_holds_one_certificate(
    plane: ServedPlane, url: str, root: Path
) -> None:
    client = dialled(url, root)
    told = client.call("cacerts")
    assert told.headers["content-type"] == "application/pkcs7-mime"
    assert told.headers["content-transfer-encoding"] == "base64"
    assert max(map(len, told.body.splitlines())) == 64
    subjects = {c.subject.rfc4514_string() for c in told.certificates}
    assert len(subjects) == 3
    name = f"one-{url[-5:]}"
    answer = client.call("simpleenroll", request(name, new_key()), basic=(name, plane.claim(name)))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    leaf = answer.certificate
    names = leaf.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    assert names.get_values_for_type(x509.DNSName) == [f"{name}.production.default.holdfast.internal"]
    client.close()


_WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "one line": lambda text: text,
    "64 columns": lambda text: b"\n".join(text[i : i + 64] for i in range(0, len(text), 64)) + b"\n",
    "76 columns": lambda text: b"\n".join(text[i : i + 76] for i in range(0, len(text), 76)) + b"\n",
    "CRLF": lambda text: b"\r\n".join(text[i : i + 64] for i in range(0, len(text), 64)) + b"\r\n",
    "PEM": lambda text: (
        b"-----BEGIN CERTIFICATE REQUEST-----\n"
        + b"\n".join(text[i : i + 64] for i in range(0, len(text), 64))
        + b"\n-----END CERTIFICATE REQUEST-----\n"
    ),
    "spaces at line ends": lambda text: b" \n".join(text[i : i + 64] for i in range(0, len(text), 64)),
}


@pytest.mark.parametrize("wrapping", _WRAPPINGS)
def test_every_wrapping_of_base64_is_taken(plane: ServedPlane, root: Path, wrapping: str) -> None:
    name = "w-" + wrapping.replace(" ", "-").lower()
    client = dialled(plane.est_url, root)
    body = _WRAPPINGS[wrapping](request(name, new_key()))
    assert client.call("simpleenroll", body, basic=(name, plane.claim(name))).status == 200
    client.close()


def test_a_request_is_tied_to_its_channel_where_the_channel_has_a_value(plane: ServedPlane, root: Path) -> None:
    client = dialled(plane.est_url, root)
    assert client.version == "TLSv1.2"
    attributes = client.call("csrattrs")
    assert attributes.status == 200
    assert attributes.headers["content-type"] == "application/csrattrs"
    assert base64.b64decode(attributes.body) == bytes.fromhex("300b06092a864886f70d010907")
    tied = request("tied", new_key(), challenge=base64.b64encode(client.tls_unique))
    assert client.call("simpleenroll", tied, basic=("tied", plane.claim("tied"))).status == 200
    client.close()


def test_the_device_port_asks_for_no_attribute(plane: ServedPlane, root: Path) -> None:
    client = dialled(plane.url, root)
    assert client.version == "TLSv1.3"
    assert client.call("csrattrs").status == 204
    client.close()


def test_a_certificate_is_renewed_by_either_operation(plane: ServedPlane, root: Path, url: str, tmp_path: Path) -> None:
    name, key = f"again-{url[-5:]}", new_key()
    client = dialled(url, root)
    first = client.call("simpleenroll", request(name, key), basic=(name, plane.claim(name))).certificate
    client.close()
    for operation in ("simplereenroll", "simpleenroll"):
        client = dialled(url, root, keep(tmp_path / "identity.pem", key, first))
        key = new_key()
        answer = client.call(operation, request(name, key))
        assert answer.status == 200, answer.body
        first = answer.certificate
        client.close()


def test_who_shows_nothing_is_told_the_scheme(root: Path, url: str) -> None:
    client = dialled(url, root)
    refused = client.call("simpleenroll", request("cam", new_key()))
    assert (refused.status, refused.code) == (401, "claim.required")
    assert refused.headers["www-authenticate"].startswith("Basic realm=")
    again = client.call("simplereenroll", request("cam", new_key()))
    assert (again.status, again.code) == (401, "identity.certificate_required")
    client.close()


def test_an_operation_may_stand_under_a_label(plane: ServedPlane, root: Path) -> None:
    client = dialled(plane.url, root)
    assert client.call("factory-7/cacerts").status == 200
    client.close()


def assert_no_handshake(plane: ServedPlane, context: ssl.SSLContext) -> None:
    port = int(plane.est_url.rsplit(":", 1)[1])
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(raw),
    ):
        pass


@pytest.mark.parametrize("ciphers", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "AES256-GCM-SHA384", "NULL-SHA256"])
def test_weak_cipher_suites_are_off(plane: ServedPlane, ciphers: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.set_ciphers(ciphers + ":@SECLEVEL=0")
    except ssl.SSLError:
        pytest.fail("this OpenSSL cannot offer it, so nothing would be tested")
    assert_no_handshake(plane, context)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")  # offering them is the test
@pytest.mark.parametrize("old", ["TLSv1", "TLSv1_1", "TLSv1_3"])
def test_the_est_port_speaks_tls_1_2_alone(plane: ServedPlane, old: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion[old]
    assert_no_handshake(plane, context)


def verified(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", "verify", *words], check=False, capture_output=True, text=True)


def test_openssl_agrees_with_what_is_issued_and_with_its_confinement(
    plane: ServedPlane, root: Path, tmp_path: Path
) -> None:
    client = dialled(plane.url, root)
    leaf = client.call("simpleenroll", request("seen", new_key()), basic=("seen", plane.claim("seen"))).certificate
    client.close()
    authority, scope = plane.plane.authority, plane.plane.config.scope
    paths = {}
    for name, certificate in (
        ("leaf", leaf),
        ("issuer", authority.issuer(scope, 1)),
        ("anchor", authority.anchor(scope, 1)),
    ):
        paths[name] = tmp_path / f"{name}.pem"
        paths[name].write_bytes(certificate.public_bytes(Encoding.PEM))
    leaf_file, issuer, anchor = (str(paths[name]) for name in ("leaf", "issuer", "anchor"))
    through = ["-CAfile", str(root), "-untrusted", issuer, "-x509_strict", "-purpose", "sslclient"]
    assert verified(*through, leaf_file).returncode == 0, verified(*through, leaf_file).stderr
    # A relying party of this one environment trusts its anchor and needs no root.
    assert verified("-CAfile", anchor, "-purpose", "sslclient", leaf_file).returncode == 0
    assert verified("-CAfile", str(root), "-untrusted", issuer, "-purpose", "sslserver", leaf_file).returncode != 0


def told_raw(plane: ServedPlane, root: Path, operation: str) -> tuple[bytes, bytes]:
    """Head and body of a GET that asks for the connection to be closed, byte for byte."""
    context = ssl.create_default_context(cafile=str(root))
    context.verify_flags |= 0x200000
    port = int(plane.est_url.rsplit(":", 1)[1])
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
    ):
        method = b"POST" if operation.startswith("simple") else b"GET"
        tls.sendall(b"%s /.well-known/est/%s HTTP/1.1\r\n" % (method, operation.encode()))
        tls.sendall(b"Connection: close\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
        told = b"".join(iter(lambda: tls.recv(65_536), b""))
    head, _, body = told.partition(b"\r\n\r\n")
    return head, body


def test_headers_are_spelled_as_clients_of_the_field_compare_them(plane: ServedPlane, root: Path) -> None:
    """Some compare names byte by byte, and read until the connection is closed."""
    head, body = told_raw(plane, root, "cacerts")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nContent-Type: application/pkcs7-mime\r\n" in head + b"\r\n"
    assert b"\r\nContent-Transfer-Encoding: base64\r\n" in head + b"\r\n"
    assert b"\r\nContent-Length: %d\r\n" % len(body) in head + b"\r\n"
    head, _ = told_raw(plane, root, "csrattrs")
    assert b"\r\nContent-Type: application/csrattrs\r\n" in head + b"\r\n"
    head, _ = told_raw(plane, root, "simpleenroll")
    assert head.startswith(b"HTTP/1.1 401 ")
    assert b'\r\nWWW-Authenticate: Basic realm="holdfast"\r\n' in head + b"\r\n"
