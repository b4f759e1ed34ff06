"""Group CRY: one certificate of the device, one authority that it trusts, and servers that offer what is sound."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hardened.net import SSHD
from hardened.shape import Break
from probe_builders import Files, der_ec_key, pem


def certificate(name: str, *, until: int = 2036, key: Any = None, authority: bool = False) -> bytes:
    """A certificate in PEM that signs itself, from 2026 on."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(4711)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(until, 11, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


_STORE = "etc/ssl/certs/ca-certificates.crt"
_ROOT = certificate("Function Root", authority=True)
_OPENSSL = "openssl_conf = defaults\n[system_default]\nMinProtocol = {}\nCipherString = DEFAULT:@SECLEVEL=2\n"
_NGINX = """http {{
  server {{
    listen 8443 ssl;
    ssl_protocols {};
    ssl_ciphers HIGH:!aNULL:!MD5:!RC4;
    ssl_verify_client on;
    {}
  }}
}}
"""
_CRL = "ssl_crl /etc/nginx/revoked.pem;"

GOOD: Files = {
    "etc/function/device.crt": certificate("device-0001"),
    _STORE: _ROOT,
    "etc/ssl/openssl.cnf": _OPENSSL.format("TLSv1.2"),
    "etc/nginx/nginx.conf": _NGINX.format("TLSv1.2 TLSv1.3", _CRL),
    "usr/lib/systemd/systemd-random-seed": ("", 0o755),
    "proc/sys/kernel/random/entropy_avail": "256\n",
}
PLAN: dict[str, tuple[Any, ...]] = {}
FACTS: dict[str, Any] = {
    "device_key": "tpm",
    "key_bits_ok": True,
    "tls_min": "1.2",
    "entropy_source": True,
    "crypto_supported": True,
    "revocation_checked": True,
}
LIVE_ONLY: frozenset[str] = frozenset()
FOLDER_ONLY: frozenset[str] = frozenset({"CRY-03"})
BREAKS: dict[str, Break] = {
    "CRY-01": Break(files={"opt/function/cloud.pem": pem("EC PRIVATE KEY", der_ec_key())}),
    "CRY-02": Break(facts={"device_key": "file"}),
    "CRY-03": Break(files={"etc/ssh/ssh_host_ecdsa_key": (pem("EC PRIVATE KEY", der_ec_key()), 0o600)}),
    "CRY-04": Break(
        files={"etc/function/device.crt": certificate("device-0001", key=rsa.generate_private_key(65537, 1024))}
    ),
    "CRY-05": Break(files={"etc/function/device.crt": certificate("device-0001", until=2026)}),
    "CRY-06": Break(files={"etc/ssl/openssl.cnf": _OPENSSL.format("TLSv1")}),
    "CRY-07": Break(files={_STORE: _ROOT + certificate("DigiNotar Root CA", authority=True)}),
    "CRY-08": Break(files={"var/lib/systemd/random-seed": (bytes(range(256)) * 2, 0o600)}),
    "CRY-09": Break(files={"usr/lib/libssl.so.1.0.0": "a library\n"}),
    "CRY-10": Break(files={"etc/nginx/nginx.conf": _NGINX.format("TLSv1.2 TLSv1.3", "")}),
    "CRY-11": Break(files={"etc/nginx/nginx.conf": _NGINX.format("TLSv1 TLSv1.2", _CRL)}),
    "CRY-12": Break(files={"etc/ssh/sshd_config": SSHD.replace("aes256-ctr", "aes256-ctr,aes128-cbc")}),
}
