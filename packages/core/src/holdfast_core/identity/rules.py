"""What may be certified, and which credential may speak.

1. A certificate request (RFC 2986) is taken only for the claimed device's own name, with a strong key that no other
   credential ever had, and with no extension that asks for more than a leaf.
2. A claim is used once, within its time, for the device it names.
3. TLS proved key and chain; whether the credential may speak *now* is decided here, on every request, so that an open
   connection ends with its credential. TLS on the device port does not judge time: a device's clock may be lost.
"""

from __future__ import annotations

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from holdfast_core.identity.model import Claim, Credential
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import Instant, rfc3339
from holdfast_core.kernel.limits import Limits

MINIMUM_RSA_BITS = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1)


class IdentityRefused(HostileData):
    """A request whose identity does not hold; answered with 401 or 403."""

    default_http_status = 403


_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the parser raises for bytes that are no request; they share no base class."""


def read_request(der: bytes, device: DeviceId, limits: Limits) -> x509.CertificateSigningRequest:
    """Parse and check a PKCS#10 request from `device`.

    Raises:
        LimitExceeded: ``csr.too_large``.
        HostileData: ``csr.malformed``, ``csr.signature``, ``csr.name``, ``csr.weak_key``, ``csr.extension``.
    """
    if len(der) > limits.csr_bytes:
        raise LimitExceeded(
            "csr.too_large",
            f"The certificate request has {len(der)} bytes; {limits.csr_bytes} are allowed.",
            remedy="Send a plain PKCS#10 request with a subject and a public key.",
        )
    try:
        request = x509.load_der_x509_csr(der)
        signed = request.is_signature_valid
        extensions = list(request.extensions)
    except _UNREADABLE as error:
        raise HostileData(
            "csr.malformed",
            "The certificate request could not be read.",
            remedy="Send a DER PKCS#10 request, base64 encoded (RFC 7030, section 4.2.1).",
        ) from error
    if not signed:
        raise HostileData(
            "csr.signature",
            "The certificate request is not signed by the key it asks a certificate for.",
            remedy="Sign the request with the device's own private key.",
        )
    _check_name(request, device)
    _check_key(request)
    _check_extensions(extensions, device)
    return request


def _check_name(request: x509.CertificateSigningRequest, device: DeviceId) -> None:
    names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or len(list(request.subject)) != 1 or names[0].value != device:
        raise HostileData(
            "csr.name",
            f"The request must name {device!r} and nothing else.",
            remedy=f"Make the request with the subject CN={device}.",
            http_status=403,
        )


def _check_key(request: x509.CertificateSigningRequest) -> None:
    try:
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        key = None
    strong = (
        (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES))
        or isinstance(key, ed25519.Ed25519PublicKey)
        or (isinstance(key, rsa.RSAPublicKey) and key.key_size >= MINIMUM_RSA_BITS)
    )
    if not strong:
        raise HostileData(
            "csr.weak_key",
            "The key in the request is too weak or of an unknown kind.",
            remedy="Use ECDSA P-256 or P-384, Ed25519, or RSA of at least 2048 bits.",
        )


def _check_extensions(extensions: list[x509.Extension[x509.ExtensionType]], device: DeviceId) -> None:
    """Refuse a request for CA rights or foreign names; other extensions are not copied, so they need no check."""
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints) and value.ca:
            raise HostileData(
                "csr.extension",
                "The request asks for the rights of a certification authority.",
                remedy="A device gets a leaf certificate only; leave basicConstraints out.",
                http_status=403,
            )
        if isinstance(value, x509.SubjectAlternativeName):
            dns = value.get_values_for_type(x509.DNSName)
            if len(dns) != len(list(value)) or any(name != device for name in dns):
                raise HostileData(
                    "csr.extension",
                    "The request asks for names that are not the device's.",
                    remedy=f"Leave subjectAltName out, or name only DNS:{device}.",
                    http_status=403,
                )


def spki_digest(request: x509.CertificateSigningRequest) -> Digest:
    """The digest of the request's public key, by which a key met twice is found."""
    return digest_of(request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def check_claim(claim: Claim | None, device: DeviceId, now: Instant) -> Claim:
    """Return the claim if it admits `device` at `now`.

    Raises:
        IdentityRefused: ``claim.unknown``, ``claim.used``, ``claim.expired`` (401); an unknown claim and one
            for another device read alike, so that guessing teaches nothing.
    """
    if claim is None or claim.key.device != device:
        raise _claim_refused("claim.unknown", "This claim does not admit this device.")
    if claim.used_at is not None:
        raise _claim_refused("claim.used", f"This claim was used at {rfc3339(claim.used_at)}.")
    if now >= claim.expires_at:
        raise _claim_refused("claim.expired", f"This claim expired at {rfc3339(claim.expires_at)}.")
    return claim


def _claim_refused(code: str, sentence: str) -> IdentityRefused:
    return IdentityRefused(
        code, sentence, remedy="Ask an operator for a new one: holdfast claim create DEVICE.", http_status=401
    )


def check_credential(credential: Credential | None, now: Instant) -> Credential:
    """Return the credential if it may speak at `now`.

    Raises:
        IdentityRefused: ``identity.unknown``, ``identity.revoked``, ``identity.expired`` (403).
    """
    if credential is None:
        raise IdentityRefused(
            "identity.unknown",
            "This certificate was not issued by this control plane, or its device was removed.",
            remedy="Enroll the device again with a new claim.",
        )
    if credential.revoked_at is not None:
        raise IdentityRefused(
            "identity.revoked",
            f"This certificate was revoked at {rfc3339(credential.revoked_at)}: {credential.revoked_why}.",
            remedy="Stop calling. An operator decides whether the device may enroll again.",
        )
    if now >= credential.not_after:
        raise IdentityRefused(
            "identity.expired",
            f"This certificate expired at {rfc3339(credential.not_after)}.",
            remedy="Enroll the device again with a new claim.",
        )
    return credential


def revoke(credential: Credential, why: str, now: Instant) -> Credential:
    """The credential, ended; one that was revoked before keeps its first reason."""
    if credential.revoked_at is not None:
        return credential
    return msgspec.structs.replace(credential, revoked_at=now, revoked_why=why)
