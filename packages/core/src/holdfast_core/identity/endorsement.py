"""Endorsement keys: which chip belongs to which device, and whose word for a chip is taken.

1. An endorsement key is known by the SHA-256 of its public key (SubjectPublicKeyInfo), the same digest that
   ``openssl pkey -pubin -outform der | sha256sum`` prints of what ``tpm2_createek`` wrote.
2. One chip is one device's: a binding is made once, by a person (pinned) or by the first enrollment, and stays, also
   after the device was retired.
3. A maker's root says that a chip is genuine, never which device it is in: the whole world buys from the same maker.
   So beside the root it takes a claim, unless the root was marked as one whose chips are all ours (`first_use`).
4. Certificates of chips are not what web servers have (RFC 5280 with TCG's profile: names in a critical
   subjectAltName, an expiry in the year 9999): the path is checked here, link by link, at most `LONGEST_PATH` long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

from holdfast_core.formats.tpm.keys import spki_of
from holdfast_core.formats.tpm.public import Public
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.digests import Digest, parse_digest
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import Instant, to_datetime
from holdfast_core.kernel.kept import Kept

LONGEST_PATH = 6
"""Certificates from a chip's own to the trusted one."""
LARGEST_CERTIFICATE = 8 * 1024
EK_CERTIFICATE = x509.ObjectIdentifier("2.23.133.8.1")
"""tcg-kp-EKCertificate: the key use that marks the certificate of an endorsement key."""
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_WEAK = (hashes.MD5, hashes.SHA1)
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    }
)


class TpmBinding(Kept, frozen=True, kw_only=True):
    """A chip that is a device's; `id` is the digest of its endorsement key, in hexadecimal."""

    device: DeviceId
    bound_at: Instant
    by: str
    """Who bound it, as the record names actors."""


class EkRoot(Kept, frozen=True, kw_only=True):
    """A certificate that vouches for chips: of a TPM's maker, or of a test's; `id` is the operator's name for it."""

    certificate: bytes
    added_at: Instant
    first_use: bool = False
    """Whether a chip under it may bind itself to a device that is expected, without a claim."""


def binding_id(digest: Digest) -> str:
    """The digest of an endorsement key as the id of its binding."""
    return digest.removeprefix("sha256:")


def ek_digest(text: str) -> Digest:
    """The digest in what a person wrote, with or without ``sha256:``.

    Raises:
        HostileData: ``digest.invalid``.
    """
    return parse_digest("sha256:" + text.strip().lower().removeprefix("sha256:"))


def read_root(data: bytes) -> x509.Certificate:
    """The certificate (PEM or DER) of an authority that certifies chips.

    Raises:
        HostileData: ``tpm.root_invalid``.
    """
    try:
        pem = data.lstrip().startswith(b"-----BEGIN")
        certificate = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
        usable = _is_authority(certificate, below=0)
    except _UNREADABLE:
        usable = False
    if not usable or len(data) > 2 * LARGEST_CERTIFICATE:
        raise HostileData(
            "tpm.root_invalid",
            "This is not the certificate of an authority.",
            remedy="Give the PEM or DER certificate that the TPM's maker publishes for its endorsement keys.",
        )
    return certificate


def check_ek_certificate(
    ek: Public, certificates: Sequence[bytes], roots: Sequence[EkRoot], now: Instant
) -> tuple[EkRoot, x509.Certificate]:
    """Follow the chip's certificate to a trusted one; return that root and the chip's certificate.

    Args:
        ek: the endorsement key that the device showed.
        certificates: DER: the chip's first, then any that lead on from it, in any order.
        roots: what is trusted here.
        now: for the dates of every link but the root, which an operator decided on.

    Raises:
        LimitExceeded: ``tpm.too_many_certificates``.
        IdentityRefused: ``tpm.ek_unknown`` (no certificate), ``tpm.ek_certificate``, ``tpm.ek_certificate_key``,
            ``tpm.ek_certificate_expired``, ``tpm.ek_untrusted``.
    """
    if len(certificates) > LONGEST_PATH or any(len(der) > LARGEST_CERTIFICATE for der in certificates):
        raise LimitExceeded(
            "tpm.too_many_certificates",
            "More or larger certificates came than lead from a chip to its maker's root.",
            remedy=f"Send the chip's certificate and at most {LONGEST_PATH - 1} others.",
        )
    if not certificates:
        raise _refused(
            "tpm.ek_unknown",
            "Nobody here knows this chip, and it showed no certificate.",
            "Compare the digest that 'holdfast-agent tpm' prints, then: holdfast tpm pin DEVICE DIGEST.",
        )
    try:
        chip, *others = [x509.load_der_x509_certificate(der) for der in certificates]
        trusted = [(root, x509.load_der_x509_certificate(root.certificate)) for root in roots]
        _check_chip(chip, ek)
        return _follow(chip, others, trusted, now), chip
    except _UNREADABLE as error:
        raise _refused(
            "tpm.ek_certificate",
            "The chip's certificate could not be read.",
            "Send the certificate as it lies in the chip (DER), or pin the chip: holdfast tpm pin.",
        ) from error


def _check_chip(chip: x509.Certificate, ek: Public) -> None:
    """The chip's own certificate: for this key, and for an endorsement key."""
    if chip.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != spki_of(ek):
        raise _refused(
            "tpm.ek_certificate_key",
            "The certificate is of another endorsement key than the one that was shown.",
            "Show the key that the certificate in the chip is for.",
        )
    uses = _extension(chip, x509.ExtendedKeyUsage)
    constraints = _extension(chip, x509.BasicConstraints)
    if (uses is not None and EK_CERTIFICATE not in uses) or (constraints is not None and constraints.ca):
        raise _refused(
            "tpm.ek_certificate",
            "The certificate is not one of an endorsement key.",
            "Send the certificate that lies in the chip (NV index 0x01c00002 or 0x01c0000a).",
        )


def _follow(
    chip: x509.Certificate,
    others: list[x509.Certificate],
    trusted: list[tuple[EkRoot, x509.Certificate]],
    now: Instant,
) -> EkRoot:
    """The trusted root at the end of the path; each certificate that came is used once, so the walk ends."""
    current, below = chip, 0
    while True:
        _check_dates(current, now)
        for root, certificate in trusted:
            if certificate == current or _vouches(certificate, current, below):
                return root
        issuer = next((other for other in others if _vouches(other, current, below)), None)
        if issuer is None:
            raise _refused(
                "tpm.ek_untrusted",
                "The chip's certificate leads to no root that is trusted here.",
                "If its maker is trusted: holdfast tpm trust NAME FILE. For this one chip: holdfast tpm pin.",
            )
        others.remove(issuer)
        current, below = issuer, below + 1


def _vouches(issuer: x509.Certificate, subject: x509.Certificate, below: int) -> bool:
    if isinstance(subject.signature_hash_algorithm, _WEAK) or not _is_authority(issuer, below):
        return False
    try:
        subject.verify_directly_issued_by(issuer)
    except _UNREADABLE:
        return False
    return True


def _is_authority(certificate: x509.Certificate, below: int) -> bool:
    """Whether it may certify with `below` authorities under it, and demands nothing that is not understood here."""
    if any(extension.critical and extension.oid not in _UNDERSTOOD for extension in certificate.extensions):
        return False
    constraints = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    if constraints is None or not constraints.ca or (usage is not None and not usage.key_cert_sign):
        return False
    return constraints.path_length is None or constraints.path_length >= below


_E = TypeVar("_E", bound=x509.ExtensionType)


def _extension(certificate: x509.Certificate, kind: type[_E]) -> _E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _check_dates(certificate: x509.Certificate, now: Instant) -> None:
    moment = to_datetime(now)
    if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
        raise _refused(
            "tpm.ek_certificate_expired",
            "A certificate between the chip and its maker's root is not valid now.",
            "Pin the chip itself, if it is trusted all the same: holdfast tpm pin DEVICE DIGEST.",
        )


def _refused(code: str, sentence: str, remedy: str) -> IdentityRefused:
    return IdentityRefused(code, sentence, remedy=remedy)
