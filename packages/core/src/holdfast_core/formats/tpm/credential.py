"""Making a credential for a TPM key, without a TPM (TPM2_MakeCredential; Part 1, section 24, and annexes B.10, C.6).

1. The secret comes out only of the TPM that has the endorsement key's private half, and only while the object with
   the given name is loaded in it: so whoever shows the secret has that key in that chip.
2. Cryptography is the library's: KDFa is its KBKDF, KDFe its concatenation KDF, the rest AES-CFB, HMAC, ECDH and OAEP.
"""

from __future__ import annotations

import msgspec
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from holdfast_core.formats.tpm.keys import HASH_CLASSES, public_key
from holdfast_core.formats.tpm.public import COORDINATE_BYTES, Curve, EccPoint, Public, RsaPoint
from holdfast_core.formats.tpm.reader import malformed, tpm2b, u32
from holdfast_core.kernel.errors import Bug

_IDENTITY = b"IDENTITY\0"
_BLOCK = 16


class Credential(msgspec.Struct, frozen=True):
    """What TPM2_ActivateCredential takes: a TPM2B_ID_OBJECT and a TPM2B_ENCRYPTED_SECRET."""

    blob: bytes
    secret: bytes


def make_credential(
    ek: Public, name: bytes, secret: bytes, *, seed: bytes, ephemeral: ec.EllipticCurvePrivateKey | None = None
) -> Credential:
    """Wrap `secret` for the object named `name` in the TPM that has `ek`.

    Args:
        ek: the endorsement key: a restricted decryption key with a symmetric cipher.
        name: the name of the object that must be loaded beside it.
        secret: at most as long as the endorsement key's hash.
        seed: fresh random bytes as long as the endorsement key's hash; used for RSA.
        ephemeral: a fresh key on the endorsement key's curve; used, and needed, for ECC.

    Raises:
        HostileData: ``tpm.malformed`` when the endorsement key's numbers are no key.
        Bug: ``tpm.credential`` for a key or secret that no caller may come with.
    """
    hashed = HASH_CLASSES[ek.hash]()
    if ek.symmetric is None or len(secret) > hashed.digest_size or len(seed) != hashed.digest_size:
        raise _bug()
    if isinstance(ek.unique, RsaPoint):
        encrypted = _by_rsa(ek, seed, hashed)
    else:
        seed, encrypted = _by_ecc(ek, ek.unique, ephemeral, hashed)
    key = _kdfa(hashed, seed, b"STORAGE", name, ek.symmetric.bits)
    cipher = Cipher(algorithms.AES(key), CFB(bytes(_BLOCK))).encryptor()
    identity = cipher.update(tpm2b(secret)) + cipher.finalize()
    outer = hmac.HMAC(_kdfa(hashed, seed, b"INTEGRITY", b"", hashed.digest_size * 8), hashed)
    outer.update(identity + name)
    return Credential(tpm2b(tpm2b(outer.finalize()) + identity), tpm2b(encrypted))


def _by_rsa(ek: Public, seed: bytes, hashed: hashes.HashAlgorithm) -> bytes:
    """The seed under the endorsement key (Part 1, B.10.4)."""
    key = public_key(ek)
    assert not isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101  (the caller looked)
    try:
        return key.encrypt(seed, padding.OAEP(padding.MGF1(hashed), hashed, _IDENTITY))
    except ValueError as error:  # an even modulus, for one: a number of the right length, and no key
        raise malformed("public area", "its modulus is none of an RSA key") from error


def _by_ecc(
    ek: Public, point: EccPoint, ephemeral: ec.EllipticCurvePrivateKey | None, hashed: hashes.HashAlgorithm
) -> tuple[bytes, bytes]:
    """The seed that both sides derive, and the ephemeral point by which the TPM can (Part 1, C.6.4)."""
    key = public_key(ek)
    if ephemeral is None or not isinstance(key, ec.EllipticCurvePublicKey):
        raise _bug()
    size = COORDINATE_BYTES[Curve(point.curve)]
    numbers = ephemeral.public_key().public_numbers()
    x, y = numbers.x.to_bytes(size, "big"), numbers.y.to_bytes(size, "big")
    shared = ephemeral.exchange(ec.ECDH(), key)
    seed = ConcatKDFHash(hashed, hashed.digest_size, _IDENTITY + x + point.x).derive(shared)
    return seed, tpm2b(x) + tpm2b(y)


def _kdfa(hashed: hashes.HashAlgorithm, key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    """KDFa (Part 1, section 11.4.10.2): SP 800-108 in counter mode over label, a zero, context and the length."""
    return KBKDFHMAC(
        algorithm=hashed,
        mode=Mode.CounterMode,
        length=bits // 8,
        rlen=4,
        llen=None,
        location=CounterLocation.BeforeFixed,
        label=None,
        context=None,
        fixed=label + b"\0" + context + u32(bits),
    ).derive(key)


def _bug() -> Bug:
    return Bug(
        "tpm.credential",
        "A credential was to be made for a key that can have none.",
        remedy="Report this with the log of the server.",
    )
