"""The keys of a boot chain, and the table by which a machine knows them.

1. The ROM knows one thing: the digest of the root key. The root key signs the table of all other keys, and the table of
   images that are revoked.
2. A stage says in its manifest, by digest, which key its next stage is signed with; the table has the key itself.
3. Private keys exist where releases are made, never in a machine.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast_core.kernel.errors import HostileData

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
FIT_KEY = "fit"
"""What mkimage calls the key of the FIT image (key-name-hint)."""
_FROM, _UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2046, 1, 1, tzinfo=UTC)


class BootKeys:
    """The private keys of one product line, each with a certificate that it signed itself.

    Args:
        root: signs the key table, the first manifest and the recovery image's.
        stage: signs the manifest of U-Boot proper.
        fit: signs FIT images; RSA, for U-Boot's sake.
        mcu: signs MCUboot images.
    """

    def __init__(
        self,
        root: ec.EllipticCurvePrivateKey,
        stage: ec.EllipticCurvePrivateKey,
        fit: rsa.RSAPrivateKey,
        mcu: ec.EllipticCurvePrivateKey,
    ) -> None:
        self.root, self.stage, self.fit, self.mcu = root, stage, fit, mcu
        self._certificates = {name: _certificate(name, key) for name, key in self.all().items()}

    @classmethod
    def generate(cls) -> BootKeys:
        """Fresh keys; takes about 0.1 s, nearly all for RSA."""
        curve = ec.SECP256R1()
        root, stage, mcu = (ec.generate_private_key(curve) for _ in range(3))
        return cls(root, stage, rsa.generate_private_key(65537, 2048), mcu)

    def all(self) -> dict[str, PrivateKey]:
        """The keys by name, root first."""
        return {"root": self.root, "stage": self.stage, "fit": self.fit, "mcu": self.mcu}

    def certificate(self, name: str) -> bytes:
        """The certificate of the key `name`, DER."""
        return self._certificates[name]


class KeyTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the root key signs of the others: certificates (DER, the root's first), digests of revoked images."""

    certificates: tuple[bytes, ...]
    revoked: tuple[bytes, ...] = ()

    def certificate_of(self, digest: str) -> bytes | None:
        """The certificate of the key with this digest."""
        return next((each for each in self.certificates if key_digest(public_key(each)) == digest), None)


class _Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    table: bytes
    signature: bytes


def signed_table(table: KeyTable, root: ec.EllipticCurvePrivateKey) -> bytes:
    """The file that a machine keeps."""
    body = msgspec.json.encode(table)
    return msgspec.json.encode(_Signed(body, root.sign(body, ec.ECDSA(hashes.SHA256()))))


def open_table(data: bytes, root: str) -> KeyTable:
    """The key table in `data`, if the key with the digest `root` signed it.

    Raises:
        HostileData: ``boot.keys``.
    """
    try:
        signed = msgspec.json.decode(data, type=_Signed)
        table = msgspec.json.decode(signed.table, type=KeyTable)
        key = public_key(table.certificates[0])
        if key_digest(key) != root or not isinstance(key, ec.EllipticCurvePublicKey):
            raise _refused("it is of another root key")
        key.verify(signed.signature, signed.table, ec.ECDSA(hashes.SHA256()))
        for each in table.certificates:
            public_key(each)
    except (msgspec.MsgspecError, ValueError, IndexError, UnsupportedAlgorithm) as error:
        raise _refused("it makes no sense") from error
    except InvalidSignature as error:
        raise _refused("its signature is wrong") from error
    return table


def public_key(certificate: bytes) -> PublicKey:
    """The key of a certificate (DER). Raises HostileData ``boot.keys`` when it is of no kind that boots."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise _refused("a key in it is neither RSA nor of an elliptic curve")
    return key


def key_digest(key: PublicKey) -> str:
    """The name of a key here: SHA-256 of its SubjectPublicKeyInfo, in hexadecimal."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _certificate(name: str, key: PrivateKey) -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"boot {name}")])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), _FROM, _UNTIL)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def _refused(why: str) -> HostileData:
    return HostileData(
        "boot.keys",
        f"The table of boot keys is refused: {why}.",
        remedy="Write the table that the product's root key signed.",
    )
