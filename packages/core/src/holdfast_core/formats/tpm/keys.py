"""TPM keys as `cryptography` knows them: the public key, and the verification of what it signed.

1. A signature must be by the scheme that the key is bound to; a key without a scheme may choose any that is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast_core.formats.tpm.attest import Signature
from holdfast_core.formats.tpm.public import Algorithm, Curve, EccPoint, Public, Scheme
from holdfast_core.formats.tpm.reader import malformed
from holdfast_core.kernel.digests import Digest, digest_of

CURVES: Mapping[Curve, ec.EllipticCurve] = MappingProxyType({Curve.P256: ec.SECP256R1(), Curve.P384: ec.SECP384R1()})
HASH_CLASSES: Mapping[Algorithm, type[hashes.HashAlgorithm]] = MappingProxyType(
    {Algorithm.SHA256: hashes.SHA256, Algorithm.SHA384: hashes.SHA384, Algorithm.SHA512: hashes.SHA512}
)

SHORTEST_RSA = 2048
"""Bits. A key of a few hundred is factored in an afternoon, and too short for the padding of some hashes."""

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def public_key(public: Public) -> PublicKey:
    """The key of a public area.

    Raises:
        HostileData: ``tpm.malformed`` when the numbers are no key (a point that is not on its curve).
    """
    unique = public.unique
    try:
        if isinstance(unique, EccPoint):
            x, y = int.from_bytes(unique.x, "big"), int.from_bytes(unique.y, "big")
            return ec.EllipticCurvePublicNumbers(x, y, CURVES[unique.curve]).public_key()
        return rsa.RSAPublicNumbers(unique.exponent, int.from_bytes(unique.modulus, "big")).public_key()
    except ValueError as error:
        raise malformed("public area", "its numbers are no key") from error


def spki_of(public: Public) -> bytes:
    """The key as DER SubjectPublicKeyInfo, as it stands in a certificate."""
    return public_key(public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def spki_digest_of(public: Public) -> Digest:
    """The digest by which the key is known: SHA-256 over its SubjectPublicKeyInfo."""
    return digest_of(spki_of(public))


def verifies(public: Public, signature: Signature, data: bytes) -> bool:
    """Whether `signature` over `data` was made by the key of `public`, under the scheme it is bound to.

    An RSA key under `SHORTEST_RSA` bits vouches for nothing.
    """
    if public.scheme not in (None, Scheme(signature.algorithm, signature.hash)):
        return False
    key, hashed = public_key(public), HASH_CLASSES[signature.hash]()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            if signature.algorithm is not Algorithm.ECDSA:
                return False
            r, s = (int.from_bytes(part, "big") for part in signature.parts)
            key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashed))
        elif key.key_size < SHORTEST_RSA:
            return False
        elif signature.algorithm is Algorithm.RSASSA:
            key.verify(signature.parts[0], data, padding.PKCS1v15(), hashed)
        elif signature.algorithm is Algorithm.RSAPSS:
            pss = padding.PSS(padding.MGF1(hashed), padding.PSS.AUTO)
            key.verify(signature.parts[0], data, pss, hashed)
        else:
            return False
    except InvalidSignature:
        return False
    return True
