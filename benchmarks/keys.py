"""Keys and secrets at rest: signatures by a key in a file and by one in a token, and what sealing costs.

Method: CPU time of this process for a fixed count of operations, on one core, after the first; SoftHSM2 does its work
in this process, so it counts too. Input: 32 bytes to sign, a certificate with two extensions, 24 characters to seal.
Peers in the same run: `openssl speed`, and a key of `cryptography` that lies in memory only.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast.adapters.pki import FileKeyStore
from holdfast.adapters.pki.passphrase import Passphrase
from holdfast.adapters.vault import FileVault
from holdfast.ports.keystore import KeyAlgorithm

COUNT = 3_000
MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "4711-4711"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
SECRET = b"Rk3mVtYq8wZpXa5nLbHd7sCg"


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        folder = Path(name)
        words = Passphrase(os.urandom(32).hex())
        file = FileKeyStore(folder / "keys", words).create("one", KeyAlgorithm.P256)
        _signing("a key from a file", cast("ec.EllipticCurvePrivateKey", file))
        token = _token(folder)
        if token is None:
            print("SoftHSM2 is not installed: no figure for a token")
        else:
            _signing("a key in SoftHSM2, by python-pkcs11", token)
        _signing("peer: a key in memory", ec.generate_private_key(ec.SECP256R1()))
        print(f"  peer: openssl speed ecdsap256: {_openssl()} signatures a second")
        _sealing(folder, words)


def _signing(what: str, key: ec.EllipticCurvePrivateKey) -> None:
    signed = _rate(lambda: key.sign(b"d" * 32, ec.ECDSA(hashes.SHA256())))
    certified = _rate(lambda: _certificate(key))
    print(f"{what}: {signed:,.0f} signatures, {certified:,.0f} certificates a CPU second")


def _certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cam-1")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOW)
    builder = builder.not_valid_after(NOW + timedelta(days=30))
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("cam-1")]), critical=False)
    return builder.sign(key, hashes.SHA256())


def _rate(work: Callable[[], object], count: int = COUNT) -> float:
    work()
    before = time.process_time()
    for _ in range(count):
        work()
    return count / (time.process_time() - before)


def _token(folder: Path) -> ec.EllipticCurvePrivateKey | None:
    if not MODULE.exists():
        return None
    from holdfast.adapters.pki.pkcs11 import Pkcs11KeyStore  # noqa: PLC0415  (an extra)

    (folder / "tokens").mkdir()
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(conf)
    argv = ["softhsm2-util", "--init-token", "--free", "--label", "bench", "--so-pin", "87654321", "--pin", PIN]
    subprocess.run(argv, check=True, capture_output=True)
    key = Pkcs11KeyStore(str(MODULE), "bench", lambda: PIN).create("one", KeyAlgorithm.P256)
    return cast("ec.EllipticCurvePrivateKey", key)


def _openssl() -> str:
    said = subprocess.run(
        ["openssl", "speed", "-seconds", "2", "ecdsap256"], capture_output=True, text=True, check=True
    )
    found = re.search(r"nistp256.*?s\s+.*?s\s+([\d.]+)", said.stdout)
    return f"{float(found[1]):,.0f}" if found else "?"


def _sealing(folder: Path, words: Passphrase) -> None:
    FileVault.create(folder / "vault.json", words)
    vault = FileVault(folder / "vault.json", words)
    before = time.process_time()
    sealed = vault.seal(SECRET, "c")
    first = time.process_time() - before
    seals, opens = _rate(lambda: vault.seal(SECRET, "c")), _rate(lambda: vault.unseal(sealed, "c"))
    print(
        f"the vault: {seals:,.0f} seals, {opens:,.0f} openings a CPU second; its first use, which stretches the "
        f"passphrase: {first * 1000:.0f} ms"
    )
