"""Manufacturers: whose certificates (IDevID, IEEE 802.1AR) admit which devices, and to which models.

1. A manufacturer is the roots it signs under, and the models it may admit devices to. What one manufacturer signs says
   nothing of another's devices, also where both use the same serial numbers.
2. An IDevID says one thing: the serial number. It is read from one place only, the one the record names.
3. An IDevID is for one admission. Its device may come again while the certificate it got was never used (an answer
   gets lost, power fails); after that, and once a person revoked one, a person has to allow it, for a copied IDevID
   looks exactly the same.
4. The dates of the authorities above an IDevID are not judged: devices outlive them, and 802.1AR wants IDevIDs that
   never end. An IDevID that does end is refused after its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from holdfast_core.identity.model import Credential, Method, Revocation
from holdfast_core.identity.names import ISSUER_NAME
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.lifecycle import Device, parse_text
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.ids import DeviceId, parse_name
from holdfast_core.kernel.instants import DAY, Instant, from_datetime
from holdfast_core.kernel.kept import Kept
from holdfast_core.kernel.limits import Limits
from holdfast_core.kernel.printable import printable

ALLOWED_FOR = DAY
"""How long a person's word counts that a device may come with its IDevID once more."""
HARDWARE_MODULE_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")
"""id-on-hardwareModuleName (RFC 4108, section 5)."""
_SEQUENCE, _OID, _OCTETS = 0x30, 0x06, 0x04
_SHORT = 0x80
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.DuplicateExtension)


class SerialFrom(StrEnum):
    """Where a manufacturer writes the serial number."""

    SUBJECT = "subject"
    """The attribute serialNumber of the subject (802.1AR, section 8.6)."""
    HARDWARE_MODULE = "hardware-module"
    """hwSerialNum of a hardwareModuleName in subjectAltName (RFC 4108), as TPM vendors do."""


class Manufacturer(Kept, frozen=True, kw_only=True):
    """Whose certificates admit devices; `id` is its name."""

    certificates: tuple[bytes, ...]
    """DER: its roots, and those authorities below them that its devices do not send."""
    models: tuple[str, ...]
    """Model names, or ``name@version``, of the devices it may admit."""
    added_at: Instant
    serial_from: SerialFrom = SerialFrom.SUBJECT
    add: bool = False
    """Whether a device that nobody expects is added, of the one model, for `owner`."""
    owner: str = ""

    @property
    def anchors(self) -> tuple[bytes, ...]:
        """What TLS must trust for its devices to get through."""
        return self.certificates

    def makes(self, model: str) -> bool:
        """Whether it may admit devices of the model ``name@version``."""
        return bool(model) and (model in self.models or model.partition("@")[0] in self.models)


class Allowance(Kept, frozen=True, kw_only=True):
    """A person's word that the device `id` may come once more with its manufacturer's certificate."""

    by: str
    expires_at: Instant


class IDevID(msgspec.Struct, frozen=True):
    """What a manufacturer's certificate says of its device."""

    serial: str
    subject: x509.Name


def read_authorities(pem: bytes, limits: Limits) -> list[x509.Certificate]:
    """The authorities of a manufacturer from a PEM bundle: at least one root.

    Raises:
        LimitExceeded: ``manufacturer.too_large``.
        HostileData: ``manufacturer.certificates``.
    """
    if len(pem) > limits.manufacturer_bytes:
        raise LimitExceeded(
            "manufacturer.too_large",
            f"The certificates have more than {limits.manufacturer_bytes} bytes.",
            remedy="Give the roots alone; devices send what lies between.",
        )
    try:
        found = x509.load_pem_x509_certificates(pem)
        authorities = [certificate for certificate in found if _is_authority(certificate)]
        roots = [certificate for certificate in authorities if _signed_itself(certificate)]
    except _UNREADABLE as error:
        raise _no_authorities(f"they cannot be read ({type(error).__name__})") from error
    if len(authorities) != len(found) or not roots:
        raise _no_authorities("one of them is no authority, or none of them is a root")
    if len(found) > limits.manufacturer_certificates:
        raise _no_authorities(f"there are more than {limits.manufacturer_certificates}")
    return found


def read_alike(name: x509.Name) -> tuple[tuple[str, str], ...]:
    """What names have in common that TLS takes for one: case, blanks and kinds of strings tell none apart."""
    return tuple(sorted((entry.oid.dotted_string, _folded(str(entry.value))) for entry in name))


def is_reserved(name: x509.Name) -> bool:
    """Whether an issuer of ours could come to bear this name: issuers are numbered, so their names are known before."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return any(_folded(str(entry.value)).startswith(ISSUER_NAME.lower()) for entry in common)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def read_idevid(der: bytes, serial_from: SerialFrom, now: Instant) -> IDevID:
    """What the leaf of a verified chain says of its device.

    Raises:
        IdentityRefused: ``idevid.unfit``.
    """
    try:
        leaf = x509.load_der_x509_certificate(der)
        if _is_authority(leaf):
            raise _unfit("it is an authority's, not a device's")
        serials = _serials(leaf, serial_from)
        subject = leaf.subject
    except _UNREADABLE as error:
        raise _unfit(f"it cannot be read ({type(error).__name__})") from error
    if now >= from_datetime(leaf.not_valid_after_utc):
        raise _unfit("it has ended")
    if len(serials) != 1 or not serials[0].strip():
        raise _unfit(f"it names no serial number, or several ({serial_from.value})")
    return IDevID(printable(serials[0].strip()), subject)


def checked(manufacturer: Manufacturer) -> Manufacturer:
    """The manufacturer, if its record makes sense.

    Raises:
        HostileData: ``name.invalid``, ``manufacturer.models``, ``device.text``.
    """
    parse_name(manufacturer.id, what="manufacturer name")
    parse_text(manufacturer.owner, what="owner")
    for model in manufacturer.models:
        name, at, version = model.partition("@")
        parse_name(name, what="model name")
        if at:
            parse_name(version, what="model version")
    exact = len(manufacturer.models) == 1 and "@" in manufacturer.models[0]
    if not manufacturer.models or (manufacturer.add and not (exact and manufacturer.owner)):
        raise HostileData(
            "manufacturer.models",
            "A manufacturer admits to the models it names; one that adds devices names one model and an owner.",
            remedy="Give --model NAME or NAME@VERSION; with --add-devices exactly one NAME@VERSION and --owner.",
        )
    return manufacturer


def is_used_up(credentials: Iterable[Credential]) -> bool:
    """Whether a device with these credentials has been admitted for good (rule 3)."""
    return any(c.confirmed_at is not None or c.method is not Method.MANUFACTURER or _ended(c) for c in credentials)


def _ended(credential: Credential) -> bool:
    """Whether it was ended for another reason than that its device came again before it used it."""
    return credential.revoked_at is not None and credential.revoked_code is not Revocation.SUPERSEDED


def check_unused(device: Device, credentials: Iterable[Credential], allowance: Allowance | None, now: Instant) -> None:
    """Let a device be admitted that was not before, or whose coming again a person allowed.

    Raises:
        IdentityRefused: ``idevid.used``.
    """
    allowed = allowance is not None and now < allowance.expires_at
    if is_used_up(credentials) and not allowed:
        raise IdentityRefused(
            "idevid.used",
            f"{device.key.device} was admitted before; its manufacturer's certificate admits once.",
            remedy=f"If it was reset on purpose: holdfast enrollment allow {device.key.device} --why REASON. "
            "Else find the copy.",
        )


def added_id(manufacturer: Manufacturer, idevid: IDevID) -> DeviceId:
    """The id of a device that nobody expected: manufacturer and serial number.

    Raises:
        HostileData: ``name.invalid``.
    """
    serial = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in idevid.serial.lower())
    return DeviceId(parse_name(f"{manufacturer.id}-{serial.strip('-')}", what="device id"))


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _signed_itself(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except _UNREADABLE:
        return False
    return True


def _serials(leaf: x509.Certificate, serial_from: SerialFrom) -> list[str]:
    if serial_from is SerialFrom.SUBJECT:
        return [str(attribute.value) for attribute in leaf.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)]
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    others = names.get_values_for_type(x509.OtherName)
    return [_hardware_serial(other.value) for other in others if other.type_id == HARDWARE_MODULE_NAME]


def _hardware_serial(der: bytes) -> str:
    """hwSerialNum: SEQUENCE { hwType OBJECT IDENTIFIER, hwSerialNum OCTET STRING }; as text, or else in hexadecimal."""
    content, rest = _element(der, _SEQUENCE)
    _, after = _element(content, _OID)
    serial, behind = _element(after, _OCTETS)
    if rest or behind:
        raise ValueError("something follows")
    text = serial.decode("ascii", "replace")
    return text if text.isascii() and text.isprintable() else serial.hex()


def _element(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first element, which must have `tag` and a short length (X.690, 8.1.3.4), and what follows."""
    if len(der) < 2 or der[0] != tag or der[1] >= _SHORT or len(der) < 2 + der[1]:  # noqa: PLR2004  (tag and length)
        raise ValueError("not the element that was expected")
    return der[2 : 2 + der[1]], der[2 + der[1] :]


def der_of(certificates: Iterable[x509.Certificate]) -> tuple[bytes, ...]:
    """Certificates as they are kept."""
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)


def _no_authorities(why: str) -> HostileData:
    return HostileData(
        "manufacturer.certificates",
        f"These certificates cannot stand for a manufacturer: {why}.",
        remedy="Give a PEM file with the root it signs its devices' certificates under, and nothing but authorities.",
    )


def _unfit(why: str) -> IdentityRefused:
    return IdentityRefused(
        "idevid.unfit",
        f"The manufacturer's certificate admits no device: {why}.",
        remedy="Enroll the device with a claim, and ask its manufacturer.",
    )
