"""Reading X.509 certificates and SSH public keys: names, days, the key's kind and size. Parsing, no cryptography.

1. Nothing is verified here: a certificate says of itself what it says.
2. What does not parse as a certificate is none; what is a certificate with a key of an unknown kind has no size.

Structures: RFC 5280 §4.1, RFC 3279, RFC 5480, RFC 4253 §6.6.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import zip_longest

import msgspec

from holdfast_core.kernel.instants import Instant, from_datetime
from holdfast_probe.credentials.der import (
    BITS,
    BOOLEAN,
    GENERALIZED_TIME,
    INTEGER,
    OCTETS,
    OID,
    SEQUENCE,
    SET,
    UTC_TIME,
    Element,
    element_at,
    elements,
    inside,
    oid,
)

MARK = b"-----BEGIN CERTIFICATE-----"
_END = b"-----END CERTIFICATE-----"
CERTIFICATE_BYTES = 16 * 1024
"""No single certificate is larger."""
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----")
_SPACE = re.compile(rb"[\s\"',\\]|\\n")
_RSA, _DSA, _EC = "1.2.840.113549.1.1.1", "1.2.840.10040.4.1", "1.2.840.10045.2.1"
_CURVES = {
    "1.2.840.10045.3.1.1": 192,
    "1.3.132.0.31": 192,
    "1.3.132.0.33": 224,
    "1.3.132.0.32": 224,
    "1.2.840.10045.3.1.7": 256,
    "1.3.132.0.10": 256,
    "1.3.36.3.3.2.8.1.1.7": 256,
    "1.3.132.0.34": 384,
    "1.3.36.3.3.2.8.1.1.11": 384,
    "1.3.132.0.35": 521,
    "1.3.36.3.3.2.8.1.1.13": 512,
}
_EDWARDS = {"1.3.101.112": ("Ed25519", 256), "1.3.101.113": ("Ed448", 448)}
_MD_SIGNATURES = frozenset({"1.2.840.113549.1.1.2", "1.2.840.113549.1.1.4"})
_NAMES = {"2.5.4.3": "CN", "2.5.4.10": "O", "2.5.4.11": "OU"}
_BASIC_CONSTRAINTS = "2.5.29.19"


class Key(msgspec.Struct, frozen=True):
    """A public key; `bits` is `None` where its kind or curve is not known here."""

    kind: str
    bits: int | None

    @property
    def weak(self) -> bool:
        """Whether it is too short: RSA and DSA below 2048 bits, elliptic curves below 224."""
        least = 2048 if self.kind in ("RSA", "DSA") else 224
        return self.bits is not None and self.bits < least


class Certificate(msgspec.Struct, frozen=True):
    """What a certificate says of itself."""

    subject: str
    issuer: str
    key: Key
    not_before: Instant
    not_after: Instant
    authority: bool
    md_signed: bool
    """Signed with MD2 or MD5."""
    fingerprint: str
    """SHA-256 of the whole, in hex."""


def certificates_in(data: bytes) -> Iterator[Certificate]:
    """The certificates in PEM anywhere in `data`, or the one in DER that it is."""
    if data[:2] == b"\x30\x82" and (single := certificate(data)):
        yield single
    begins = list(_PEM.finditer(data))
    for match, after in zip_longest(begins, begins[1:]):
        # One ends before another begins; so each byte is decoded once, however many begin and none ends.
        limit = min(match.end() + 2 * CERTIFICATE_BYTES, after.start() if after else len(data))
        end = data.find(_END, match.end(), limit)
        if end > 0:
            with suppress(binascii.Error, ValueError):
                if found := certificate(base64.b64decode(_SPACE.sub(b"", data[match.end() : end]), validate=True)):
                    yield found


def certificate(data: bytes) -> Certificate | None:
    """The certificate that `data` is, or `None`."""
    outer = element_at(data, 0)
    parts = inside(outer[0], SEQUENCE) if outer else None
    if not parts or len(parts) != 3 or outer is None:  # noqa: PLR2004  (to be signed, algorithm, signature)
        return None
    fields = inside(parts[0], SEQUENCE)
    if not fields:
        return None
    fields = fields[1:] if fields[0][0] == 0xA0 else fields  # noqa: PLR2004  (the version, if it says one)
    if len(fields) < 6 or fields[0][0] != INTEGER:  # noqa: PLR2004  (serial, algorithm, issuer, validity, subject, key)
        return None
    days, key = _days(fields[3]), _public_key(fields[5])
    if days is None or key is None:
        return None
    return Certificate(
        subject=_name(fields[4]),
        issuer=_name(fields[2]),
        key=key,
        not_before=days[0],
        not_after=days[1],
        authority=_is_authority(fields[6:]),
        md_signed=_algorithm(parts[1])[0] in _MD_SIGNATURES,
        fingerprint=hashlib.sha256(data[: outer[1]]).hexdigest(),
    )


def ssh_key(line: bytes) -> Key | None:
    """The public key of a line of ``authorized_keys`` or of a ``.pub`` file; options before it are passed over."""
    for word, after in zip(words := line.split(), words[1:], strict=False):
        if word in (b"ssh-rsa", b"ssh-dss"):
            with suppress(binascii.Error, ValueError):
                return _ssh_blob(base64.b64decode(after, validate=True))
    return None


def _ssh_blob(blob: bytes) -> Key | None:
    parts: list[bytes] = []
    position = 0
    while position + 4 <= len(blob) and len(parts) < 4:  # noqa: PLR2004  (no more are needed)
        length = int.from_bytes(blob[position : position + 4], "big")
        parts.append(blob[position + 4 : position + 4 + length])
        position += 4 + length
    match parts:
        case [b"ssh-rsa", _, modulus, *_]:
            return Key("RSA", int.from_bytes(modulus, "big").bit_length())
        case [b"ssh-dss", modulus, *_]:
            return Key("DSA", min(int.from_bytes(modulus, "big").bit_length(), 1024))
    return None


def _days(field: Element) -> tuple[Instant, Instant] | None:
    times = inside(field, SEQUENCE)
    if not times or len(times) != 2:  # noqa: PLR2004  (from, to)
        return None
    start, end = _time(times[0]), _time(times[1])
    return None if start is None or end is None else (start, end)


def _time(element: Element) -> Instant | None:
    tag, content = element
    text = content.decode("ascii", "replace")
    if tag == UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text  # RFC 5280 §4.1.2.5.1
    elif tag != GENERALIZED_TIME:
        return None
    try:
        return from_datetime(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC))
    except ValueError:
        return None


def _public_key(field: Element) -> Key | None:
    parts = inside(field, SEQUENCE)
    if not parts or len(parts) != 2 or parts[1][0] != BITS:  # noqa: PLR2004  (algorithm, key)
        return None
    algorithm, parameter = _algorithm(parts[0])
    if algorithm == _RSA:
        numbers = elements(parts[1][1][1:])
        modulus = (inside(numbers[0], SEQUENCE) or [(0, b"")])[0] if numbers else (0, b"")
        return Key("RSA", int.from_bytes(modulus[1], "big").bit_length()) if modulus[0] == INTEGER else None
    if algorithm == _DSA:
        numbers = elements(parameter[1]) if parameter else None
        return Key("DSA", int.from_bytes(numbers[0][1], "big").bit_length() if numbers else None)
    if algorithm == _EC:
        return Key("EC", _CURVES.get(oid(parameter[1])) if parameter and parameter[0] == OID else None)
    kind, bits = _EDWARDS.get(algorithm, (algorithm, None))
    return Key(kind, bits)


def _algorithm(element: Element) -> tuple[str, Element | None]:
    parts = inside(element, SEQUENCE)
    if not parts or parts[0][0] != OID:
        return "", None
    return oid(parts[0][1]), parts[1] if len(parts) > 1 else None


def _name(element: Element) -> str:
    """The common name, organisation and unit of a name, as far as they are text."""
    said = []
    for pair in _pairs(element):
        if pair and len(pair) == 2 and (label := _NAMES.get(oid(pair[0][1]))):  # noqa: PLR2004  (type, value)
            coding = "utf-16-be" if pair[1][0] == 0x1E else "utf-8"  # noqa: PLR2004  (a BMPString)
            said.append(f"{label}={pair[1][1][:128].decode(coding, 'replace')}")
    return ", ".join(said) or "no name"


def _pairs(element: Element) -> Iterator[list[Element] | None]:
    for part in inside(element, SEQUENCE) or []:
        for pair in inside(part, SET) or []:
            yield inside(pair, SEQUENCE)


def _is_authority(rest: list[Element]) -> bool:
    extensions = next((content for tag, content in rest if tag == 0xA3), b"")  # noqa: PLR2004  (the extensions)
    listed = elements(extensions)
    for extension in (inside(listed[0], SEQUENCE) or []) if listed else []:
        parts = inside(extension, SEQUENCE)
        if parts and parts[0][0] == OID and oid(parts[0][1]) == _BASIC_CONSTRAINTS and parts[-1][0] == OCTETS:
            constraints = elements(parts[-1][1])
            flags = inside(constraints[0], SEQUENCE) if constraints else None
            return bool(flags) and flags is not None and flags[0] == (BOOLEAN, b"\xff")
    return False
