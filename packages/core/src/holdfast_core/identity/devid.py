"""Whether a key is where it is said to be: in the TPM of the device, never to leave it.

The chain of proof (TCG, TPM 2.0 Keys for Device Identity and Attestation), link by link, each with its own refusal:

1. The endorsement key is a chip's: its certificate or a person says so (`endorsement`).
2. The attestation key lies in the same chip: the chip opened a secret that was wrapped for its name
   (`check_activation`). A name is the hash of the key's public area, so its attributes are the chip's word.
3. The attestation key speaks for the chip alone: it is restricted, so what it signs beginning with TPM_GENERATED was
   made inside (`check_attestation_key`).
4. It says that the device's key, by name, lies in the chip too (`check_certified`), with a nonce that was never used.
5. The device's key cannot leave the chip (`check_device_key`), and the request is for this very key
   (`check_requested`).
"""

from __future__ import annotations

import hmac

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast_core.formats.tpm.attest import Quoted, parse_attestation, parse_signature
from holdfast_core.formats.tpm.keys import spki_of, verifies
from holdfast_core.formats.tpm.public import Attribute, Public, RsaPoint
from holdfast_core.identity.rules import IdentityRefused

_SMALLEST_RSA_BITS, _SMALLEST_EXPONENT = 2048, 65537
_BORN_INSIDE = (Attribute.FIXED_TPM, Attribute.FIXED_PARENT, Attribute.SENSITIVE_DATA_ORIGIN)
"""Made by the chip's own generator, and bound to it and to its parent: it can be in no other place, ever."""


def check_endorsement_key(ek: Public) -> Public:
    """The key, if it has the form of an endorsement key (TCG EK Credential Profile, section 2.1.5).

    Raises:
        IdentityRefused: ``tpm.ek_template``, ``tpm.weak_key``.
    """
    _check_strength(ek)
    if (
        not ek.has(*_BORN_INSIDE, Attribute.RESTRICTED, Attribute.DECRYPT)
        or ek.has(Attribute.SIGN)
        or ek.symmetric is None
    ):
        raise _refused(
            "tpm.ek_template",
            "The key that was shown as the chip's endorsement key cannot be one.",
            "Make it with the standard template: tpm2_createek.",
        )
    return ek


def check_attestation_key(ak: Public) -> Public:
    """The key, if everything it signs as an attestation was made inside the chip.

    Raises:
        IdentityRefused: ``tpm.ak_template``, ``tpm.weak_key``.
    """
    _check_strength(ak)
    if (
        not ak.has(*_BORN_INSIDE, Attribute.RESTRICTED, Attribute.SIGN)
        or ak.has(Attribute.DECRYPT)
        or ak.scheme is None
    ):
        raise _refused(
            "tpm.ak_template",
            "The attestation key may sign what was not made inside the chip, or may be outside of it itself.",
            "Make it in the TPM as restricted, fixedTPM, fixedParent, sensitiveDataOrigin and sign, with a scheme.",
        )
    return ak


def check_device_key(key: Public) -> Public:
    """The key, if it is fit to be a device's identity: it signs anything, decrypts nothing and cannot leave the chip.

    Raises:
        IdentityRefused: ``tpm.key_template``, ``tpm.weak_key``.
    """
    _check_strength(key)
    if not key.has(*_BORN_INSIDE, Attribute.SIGN) or key.has(Attribute.RESTRICTED) or key.has(Attribute.DECRYPT):
        raise _refused(
            "tpm.key_template",
            "The device's key could leave the chip, or is not made for signing.",
            "Make it in the TPM as fixedTPM, fixedParent, sensitiveDataOrigin and sign, not restricted.",
        )
    return key


def check_activation(shown: bytes, expected: bytes) -> None:
    """Refuse a secret that did not come out of the chip; takes the same time wherever it differs.

    Raises:
        IdentityRefused: ``tpm.secret_wrong`` (401).
    """
    if not hmac.compare_digest(shown, expected):
        raise IdentityRefused(
            "tpm.secret_wrong",
            "The secret is not the one that was wrapped for this chip and attestation key.",
            remedy="Open the newest challenge with TPM2_ActivateCredential, or begin again.",
            http_status=401,
        )


def check_certified(ak: Public, key: Public, attestation: bytes, signature: bytes, nonce: bytes) -> None:
    """Check the attestation key's word that `key` lies in the same chip.

    Args:
        ak: an attestation key that passed `check_attestation_key` and was activated.
        key: the device's key.
        attestation: TPMS_ATTEST, as signed.
        signature: TPMT_SIGNATURE.
        nonce: what the server gave for this one exchange.

    Raises:
        HostileData: ``tpm.malformed``.
        IdentityRefused: ``tpm.attest_signature``, ``tpm.attest_type``, ``tpm.attest_nonce``, ``tpm.attest_name``.
    """
    if not verifies(ak, parse_signature(signature), attestation):
        raise _refused(
            "tpm.attest_signature",
            "The attestation was not signed by the attestation key that was activated.",
            "Certify the device's key with the attestation key that this exchange began with.",
        )
    said = parse_attestation(attestation)
    if isinstance(said.attested, Quoted):
        raise _refused(
            "tpm.attest_type",
            "The attestation speaks of what was booted, not of a key.",
            "Certify the key with TPM2_Certify or TPM2_CertifyCreation.",
        )
    if said.nonce != nonce:
        raise _refused(
            "tpm.attest_nonce",
            "The attestation was made for another exchange.",
            "Certify the device's key with the nonce of this exchange as qualifying data.",
        )
    if said.attested.name != key.name:
        raise _refused(
            "tpm.attest_name",
            "The attestation speaks of another key than the one that was shown.",
            "Certify the very key that the request is for.",
        )


def check_requested(key: Public, request: x509.CertificateSigningRequest) -> None:
    """Refuse a request for another key than the certified one.

    Raises:
        IdentityRefused: ``tpm.request_key``.
    """
    if request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != spki_of(key):
        raise _refused(
            "tpm.request_key",
            "The certificate is requested for another key than the one in the chip.",
            "Sign the request with the key that the attestation speaks of.",
        )


def _check_strength(key: Public) -> None:
    """RSA of enough bits, with an exponent that is no toy; ECC curves were chosen where they are read."""
    weak = isinstance(key.unique, RsaPoint) and (
        key.unique.bits < _SMALLEST_RSA_BITS or key.unique.exponent < _SMALLEST_EXPONENT
    )
    if weak:
        raise _refused(
            "tpm.weak_key",
            "A key of the chip is too weak.",
            "Use ECC P-256 or P-384, or RSA of at least 2048 bits with the usual exponent.",
        )


def _refused(code: str, sentence: str, remedy: str) -> IdentityRefused:
    return IdentityRefused(code, sentence, remedy=remedy)
