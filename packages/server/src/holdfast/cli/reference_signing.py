"""Signing a statement where it is built: the builder's key out of its file, and the envelope around the statement.

1. Ed25519, and ECDSA on P-256 and P-384 with deterministic nonces (RFC 6979): the same build gives the same file.
2. A passphrase is asked for on the terminal and nowhere else; without a terminal an encrypted key is refused.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import typer
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from holdfast.cli.files import read_bounded
from holdfast_core.attestation.reference import STATEMENT_TYPE
from holdfast_core.formats.dsse import key_id, pae
from holdfast_core.kernel.digests import canonical
from holdfast_core.kernel.errors import HostileData, WorldError

LARGEST_KEY = 16 * 1024
_HASHES = {"secp256r1": hashes.SHA256, "secp384r1": hashes.SHA384}

SigningKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


def read_signing_key(path: Path) -> SigningKey:
    """The private key in `path` (PEM).

    Raises:
        HostileData: ``reference.key``.
        WorldError: ``reference.key_encrypted``, ``reference.key_passphrase``, ``files.unreadable``.
    """
    data = read_bounded(path, LARGEST_KEY)
    key: object
    try:
        key = load_pem_private_key(data, None)
    except TypeError:
        key = _decrypted(path, data)
    except (ValueError, UnsupportedAlgorithm):
        raise _unfit(path) from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _HASHES:
        return key
    raise _unfit(path)


def _decrypted(path: Path, data: bytes) -> object:
    if not sys.stdin.isatty():
        raise WorldError(
            "reference.key_encrypted",
            f"{path} is encrypted, and there is no terminal to ask for its passphrase.",
            remedy="Run it in a terminal, or decrypt the key into memory for the build: openssl pkey -in KEY -out "
            "/dev/shm/KEY.",
        )
    passphrase = typer.prompt(f"Passphrase of {path}", hide_input=True, err=True)
    try:
        return load_pem_private_key(data, passphrase.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise WorldError(
            "reference.key_passphrase", f"This passphrase does not open {path}.", remedy="Try again."
        ) from None


def signed_envelope(payload: bytes, key: SigningKey) -> bytes:
    """The statement `payload`, signed: a DSSE envelope in JSON, with a line end for editors."""
    signed = pae(STATEMENT_TYPE, payload)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(signed)
    else:
        signature = key.sign(signed, ec.ECDSA(_HASHES[key.curve.name](), deterministic_signing=True))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": STATEMENT_TYPE,
        "signatures": [{"keyid": signer_of(key), "sig": base64.b64encode(signature).decode()}],
    }
    return canonical(envelope) + b"\n"


def signer_of(key: SigningKey) -> str:
    """The digest of the public half, as ``holdfast reference trust`` prints it."""
    return key_id(key.public_key())


def _unfit(path: Path) -> HostileData:
    return HostileData(
        "reference.key",
        f"{path} holds no private key that can sign a statement.",
        remedy="Make one: openssl genpkey -algorithm ed25519 -out KEY. Or give P-256 or P-384, as PEM.",
    )
