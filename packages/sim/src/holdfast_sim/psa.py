"""The security processor of a simulated microcontroller: a key that never leaves it, and tokens of what was booted.

1. A token is a COSE_Sign1 over the claims of the TF-M profile; its nonce is what the caller binds it to.
2. The maker knows the public key of each chip from production, and has it named at the server.
3. CBOR is written by hand, shortest form: integers, byte and text strings, arrays and maps are all that a token has.

Source: RFC 9783, section 4 (claims); RFC 9052, section 4.4 (what is signed); RFC 8949, section 3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from holdfast_core.attestation.reference import Statement, TokenComponent
from holdfast_core.formats.cose import Algorithm
from holdfast_core.formats.psa import Profile, instance_id_of
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.instants import Instant

KEY = "psa-attestation-key.pem"
"""Where the chip's key lies in the state folder: no file of a real device holds it."""
PARTS = ("BL", "PRoT", "ARoT")
"""The software that is measured: boot loader, root of trust, application."""
_SECURED = 0x3000
_COORDINATE = 32
_PROFILE, _NONCE, _INSTANCE, _SEED = 265, 10, 256, 268
_CLIENT, _LIFECYCLE, _IMPLEMENTATION, _COMPONENTS = 2394, 2395, 2396, 2399
_ALGORITHM, _SIGN1 = 1, 18

_Item = int | bytes | str | Sequence["_Item"] | Mapping[int, "_Item"]


def make_key(folder: Path) -> str:
    """Make the chip's key, as its maker does in production; the public half (PEM). The folder exists."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = folder / KEY
    path.touch(0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def statement(model: str, version: str, svn: int, build: str, made_at: Instant) -> Statement:
    """What is said of a build, for the devices of `model`."""
    parts = tuple(TokenComponent(kind, _measured(kind, build).hex(), version) for kind in PARTS)
    return Statement(model, version, svn, made_at, components=parts)


class Processor:
    """The security processor whose key lies in `folder`; it booted `build`. Raises WorldError ``sim.psa_key``."""

    def __init__(self, folder: Path, build: str) -> None:
        key = load_pem_private_key((folder / KEY).read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise WorldError("sim.psa_key", "The chip's key is of no kind that signs tokens.", remedy="Make it anew.")
        self._key, self._build = key, build

    def token(self, nonce: bytes) -> bytes:
        """A token with this nonce (32 bytes)."""
        parts: Sequence[_Item] = [{1: kind, 2: _measured(kind, self._build), 5: bytes(32)} for kind in PARTS]
        claims = cbor(
            {
                _PROFILE: str(Profile.TFM),
                _NONCE: nonce,
                _INSTANCE: instance_id_of(self._key.public_key()),
                _CLIENT: 1,
                _LIFECYCLE: _SECURED,
                _IMPLEMENTATION: hashlib.sha256(b"holdfast simulated microcontroller").digest(),
                _SEED: hashlib.sha256(self._build.encode()).digest(),
                _COMPONENTS: parts,
            }
        )
        head = cbor({_ALGORITHM: int(Algorithm.ES256)})
        r, s = decode_dss_signature(self._key.sign(cbor(["Signature1", head, b"", claims]), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
        return _head(6, _SIGN1) + _head(4, 4) + cbor(head) + cbor({}) + cbor(claims) + cbor(signature)


def _measured(kind: str, build: str) -> bytes:
    return hashlib.sha256(f"{kind} of {build}".encode()).digest()


def cbor(item: _Item) -> bytes:
    """The encoding of `item`."""
    match item:
        case int():
            return _head(0, item) if item >= 0 else _head(1, -1 - item)
        case bytes():
            return _head(2, len(item)) + item
        case str():
            data = item.encode()
            return _head(3, len(data)) + data
        case Mapping():
            pairs = (cbor(key) + cbor(value) for key, value in item.items())
            return _head(5, len(item)) + b"".join(pairs)
        case _:
            return _head(4, len(item)) + b"".join(map(cbor, item))


def _head(major: int, number: int) -> bytes:
    if number < 24:  # noqa: PLR2004  (as much as five bits hold beside the lengths)
        return bytes([major << 5 | number])
    for code, size in ((24, 1), (25, 2), (26, 4)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | code]) + number.to_bytes(size, "big")
    return bytes([major << 5 | 27]) + number.to_bytes(8, "big")
