"""What may be certified: the certificate request (PKCS#10, RFC 2986) of a device that was admitted.

1. A request is taken only for the admitted device's own name, with a strong key, signed by that key, and with no
   extension that asks for more than a leaf. That no credential ever had the key is checked against the store.
2. Nothing of a request is copied into the certificate but its public key, so extensions that ask for nothing
   forbidden need no check.
3. A challengePassword ties the request to the TLS channel it came through (RFC 7030, section 3.5). One that does not
   fit, or that cannot be judged because the channel has no unique value, is refused: ignoring it would be a lie.
"""

from __future__ import annotations

import base64
import hmac

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AttributeOID, NameOID

from holdfast_core.identity.names import certified_name
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.limits import Limits

MINIMUM_RSA_BITS = 2048
LARGEST_RSA_BITS = 4096
"""A larger key costs the server's time at every handshake and protects nothing more."""
_CURVES = (ec.SECP256R1, ec.SECP384R1)
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the parser raises for bytes that are no request; they share no base class."""


def read_request(
    der: bytes, key: DeviceKey, limits: Limits, *, own_subject: x509.Name | None = None, channel: bytes | None = None
) -> x509.CertificateSigningRequest:
    """Parse and check a PKCS#10 request from the device `key`.

    Args:
        der: the request.
        key: the device that was admitted.
        limits: the bounds in force.
        own_subject: a subject the device is known by already, such as its manufacturer's; allowed too.
        channel: the value of ``tls-unique`` (RFC 5929) where the channel has one.

    Raises:
        LimitExceeded: ``csr.too_large``.
        HostileData: ``csr.malformed``, ``csr.signature``, ``csr.name``, ``csr.weak_key``,
            ``csr.extension``, ``csr.possession``.
    """
    request = load_request(der, limits)
    _check_name(request, key, own_subject)
    check_key(request)
    _check_extensions(list(request.extensions), key)
    _check_possession(request, channel)
    return request


def load_request(der: bytes, limits: Limits) -> x509.CertificateSigningRequest:
    """Parse a PKCS#10 request that its own key signed; whose it is and what it asks for is not judged yet.

    Raises:
        LimitExceeded: ``csr.too_large``.
        HostileData: ``csr.malformed``, ``csr.signature``.
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
        list(request.extensions), list(request.subject)  # parsed now, so that nobody meets a malformed one later
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
    return request


def subject_of(key: DeviceKey) -> x509.Name:
    """The subject of a device's certificate: tenant, environment, device."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, key.scope.tenant),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, key.scope.environment),
            x509.NameAttribute(NameOID.COMMON_NAME, key.device),
        ]
    )


def _check_name(request: x509.CertificateSigningRequest, key: DeviceKey, own_subject: x509.Name | None) -> None:
    """Refuse any subject but the device's id alone, its certificate's whole subject, or the one it had before."""
    asked = sorted((attribute.oid.dotted_string, str(attribute.value)) for attribute in request.subject)
    short, whole = [(NameOID.COMMON_NAME.dotted_string, str(key.device))], subject_of(key)
    names = [short, sorted((attribute.oid.dotted_string, str(attribute.value)) for attribute in whole)]
    if asked not in names and (own_subject is None or request.subject != own_subject):
        raise HostileData(
            "csr.name",
            f"The request must name {key.device!r} and nothing else.",
            remedy=f"Make the request with the subject CN={key.device}.",
            http_status=403,
        )


def check_key(request: x509.CertificateSigningRequest) -> None:
    """Refuse a key that is too weak or of an unknown kind: ``csr.weak_key``."""
    try:
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        key = None
    strong = (
        (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES))
        or isinstance(key, ed25519.Ed25519PublicKey)
        or (isinstance(key, rsa.RSAPublicKey) and MINIMUM_RSA_BITS <= key.key_size <= LARGEST_RSA_BITS)
    )
    if not strong:
        raise HostileData(
            "csr.weak_key",
            "The key in the request is too weak or of an unknown kind.",
            remedy="Use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits.",
        )


def _check_extensions(extensions: list[x509.Extension[x509.ExtensionType]], key: DeviceKey) -> None:
    """Refuse a request for CA rights or foreign names (rule 2)."""
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
            if len(dns) != len(list(value)) or not {str(key.device), certified_name(key)}.issuperset(dns):
                raise HostileData(
                    "csr.extension",
                    "The request asks for names that are not the device's.",
                    remedy=f"Leave subjectAltName out, or name only DNS:{certified_name(key)}.",
                    http_status=403,
                )


def _check_possession(request: x509.CertificateSigningRequest, channel: bytes | None) -> None:
    """Refuse a challengePassword that does not prove that the key's holder opened this very channel."""
    try:
        challenge = request.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value
    except x509.AttributeNotFound:
        return
    except ValueError as error:
        raise _possession("The request's attributes cannot be read.") from error
    if channel is None:
        raise _possession("The request is tied to a TLS channel, and this one has no value to compare it with.")
    if not hmac.compare_digest(challenge, base64.b64encode(channel)):
        raise _possession("The request is tied to another TLS channel than the one it came through.")


def _possession(sentence: str) -> HostileData:
    return HostileData(
        "csr.possession",
        sentence,
        remedy="Use the EST port (TLS 1.2) with the channel's own tls-unique, or leave the challengePassword out.",
        http_status=403,
    )


def spki_digest(request: x509.CertificateSigningRequest) -> Digest:
    """The digest of the request's public key, by which a key met twice is found."""
    return digest_of(request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
