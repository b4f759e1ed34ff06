"""Revocation lists as relying parties have them: whether what lies in a file or at an address still protects anybody.

1. What is looked at is the copy that decides at the relying party, never our own: a publisher that died leaves us well
   and them unprotected.
2. A list that is missing, cut short, signed by another, lapsed, older than ours, or silent about the canary is told.
3. A list that will lapse is told while there is time: once it has missed two successors.
4. One bundle may hold lists of several issuers; what is asked for is a list of every issuer that is expected.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from holdfast_core.identity.validity import LIST_LIFE, LIST_REFRESH, shard_of
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.instants import Instant, from_datetime, in_words, rfc3339
from holdfast_core.kernel.limits import Limits
from holdfast_core.kernel.reasons import Reason

LAPSE_WARNING = LIST_LIFE - 2 * LIST_REFRESH
"""With less left than this, a list has missed two successors."""
_BEGIN, _END = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
_BLOCK = re.compile(_BEGIN + rb"[A-Za-z0-9+/=\s]*" + _END)
_SHARD = re.compile(r"/crl/[0-9a-f]+/([0-9]{1,6})\.crl")
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the parser raises for bytes that are no list; they share no base class."""

PUBLISH = "Find out why the newest list was not brought there: holdfast crl export FILE writes it by hand."


@dataclass(frozen=True)
class Expected:
    """What a published list of one issuer should be like.

    `number` is the lowest that is not behind. `canaries` are serial numbers that every list of this number holds.
    """

    certificate: x509.Certificate
    name: str
    number: int
    canaries: frozenset[int]
    shards: int


def read_lists(data: bytes, limits: Limits) -> list[x509.CertificateRevocationList]:
    """The lists in `data`: one in DER, or any number in PEM.

    Raises:
        LimitExceeded: ``crl.too_large``, ``crl.too_many``.
        HostileData: ``crl.unreadable``, ``crl.truncated``.
    """
    if len(data) > limits.crl_bytes:
        raise LimitExceeded(
            "crl.too_large",
            f"The list has over {limits.crl_bytes} bytes.",
            remedy="Check that it is the right file; ours has about 50 bytes a revoked certificate.",
        )
    blocks = _BLOCK.findall(data)
    if len(blocks) > limits.crl_lists:
        raise LimitExceeded(
            "crl.too_many",
            f"The file holds {len(blocks)} lists; {limits.crl_lists} are allowed.",
            remedy="Check that it is the right file; it needs one list for each issuer of the environment.",
        )
    if data.count(_BEGIN) != len(blocks):
        raise HostileData("crl.truncated", "The file ends within a list, or is damaged.", remedy=PUBLISH)
    try:
        lists = [x509.load_pem_x509_crl(block) for block in blocks] if blocks else [x509.load_der_x509_crl(data)]
        for one in lists:
            # Read here, so that what is wrong with them is told here.
            _ = (one.issuer, one.extensions, one.last_update_utc, one.next_update_utc, len(one))
    except _UNREADABLE as error:
        raise HostileData(
            "crl.unreadable", "The bytes are no revocation list, or one that was cut short.", remedy=PUBLISH
        ) from error
    return lists


def examine(
    lists: Sequence[x509.CertificateRevocationList], expected: Sequence[Expected], now: Instant
) -> tuple[Reason, ...]:
    """What is wrong with published lists at `now`; empty where a relying party may go by them."""
    found: list[Reason] = []
    for wanted in expected:
        mine = [one for one in lists if one.issuer == wanted.certificate.subject]
        if not mine:
            found.append(
                Reason("crl.missing", f"There is no list of the issuer {wanted.name}.", PUBLISH),
            )
        # Of two of one issuer a relying party takes any that fits; each must be right.
        for one in mine:
            found.extend(_examined(one, wanted, now))
    return tuple(found)


def _examined(one: x509.CertificateRevocationList, wanted: Expected, now: Instant) -> list[Reason]:
    if not _is_signed(one, wanted.certificate):
        sentence = f"A list in the name of {wanted.name} was not signed by it."
        remedy = "Take it away and look at who may write there; then bring the right one: holdfast crl export FILE."
        return [Reason("crl.signature", sentence, remedy)]
    return [
        *_judged_times(one, wanted.name, now),
        *_judged_number(one, wanted),
        *_judged_canaries(one, wanted),
    ]


def _is_signed(one: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return one.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # other keys raise what is caught
    except (TypeError, ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False


def _judged_times(one: x509.CertificateRevocationList, name: str, now: Instant) -> list[Reason]:
    made, until = from_datetime(one.last_update_utc), one.next_update_utc
    if until is None:
        return [Reason("crl.no_end", f"The list of {name} never lapses, so its age protects nobody.", PUBLISH)]
    end = from_datetime(until)
    if now < made:
        remedy = "Set the clock of whoever looks, or of the server that made it (holdfast doctor)."
        return [Reason("crl.future", f"The list of {name} is of {rfc3339(made)}, which is still to come.", remedy)]
    if now >= end:
        sentence = (
            f"The list of {name} lapsed at {rfc3339(end)}: whoever goes by it refuses everybody, or checks nothing."
        )
        return [Reason("crl.lapsed", sentence, PUBLISH)]
    if end - now < LAPSE_WARNING:
        sentence = f"The list of {name} lapses in {in_words(end - now)}, and no successor was brought."
        return [Reason("crl.lapses", sentence, PUBLISH)]
    return []


def number_of(one: x509.CertificateRevocationList) -> int:
    """The list's number (RFC 5280, section 5.2.3); 0 where it has none."""
    try:
        return one.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return 0


def _judged_number(one: x509.CertificateRevocationList, wanted: Expected) -> list[Reason]:
    number = number_of(one)
    if number >= wanted.number:
        return []
    sentence = f"The list of {wanted.name} has number {number}; {wanted.number} was made since, or put there before."
    return [Reason("crl.behind", sentence, PUBLISH)]


def shard_in(one: x509.CertificateRevocationList) -> int | None:
    """Which shard a list says it is; `None` for a whole one. -1: it is a part of another kind.

    A relying party that goes by a part finds nobody revoked in the rest.
    """
    try:
        point = one.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return None
    names = [name.value for name in point.full_name or () if isinstance(name, x509.UniformResourceIdentifier)]
    found = _SHARD.search(names[0]) if len(names) == 1 else None
    return int(found[1]) if found else -1


def _judged_canaries(one: x509.CertificateRevocationList, wanted: Expected) -> list[Reason]:
    shard = shard_in(one)
    for serial in sorted(wanted.canaries):
        if shard is not None and shard_of(serial, wanted.shards) != shard:
            continue
        if one.get_revoked_certificate_by_serial_number(serial) is None:
            sentence = f"The list of {wanted.name} does not hold the canary {serial:x}, which was revoked at its birth."
            return [Reason("crl.canary", sentence, PUBLISH)]
    return []
