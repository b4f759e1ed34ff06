"""Certificate revocation lists, version 2 (RFC 5280, section 5).

1. A shard says in a critical extension which address it is the list of (5.2.5), the same that its certificates name:
   a relying party that was given another shard refuses it instead of finding nobody revoked there.
2. The whole list has no such extension: mosquitto and others take it from a file, for certificates of every shard.
3. An entry is made once and kept: of a list of 100,000 the making of entries is most of the time, and one more
   revocation changes one entry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.adapters.pki.signing import hash_for
from holdfast.ports.validity import Issuer
from holdfast_core.identity.model import Revocation
from holdfast_core.identity.validity import Ended, ListStamp
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.instants import to_datetime

_REASONS: dict[Revocation, list[x509.Extension[x509.ExtensionType]]] = {
    reason: [x509.Extension(x509.CRLReason.oid, critical=False, value=x509.CRLReason(x509.ReasonFlags(reason.value)))]
    for reason in Revocation
    # An entry without a reason says the same in fewer bytes, and RFC 5280, section 5.3.1, asks for that.
    if reason is not Revocation.UNSPECIFIED
}


class CrlMaker:
    """Implements `holdfast.ports.validity.ListMaker`."""

    def __init__(self) -> None:
        self._entries: defaultdict[Digest, dict[int, tuple[Ended, x509.RevokedCertificate]]] = defaultdict(dict)

    def make(self, issuer: Issuer, revocations: Sequence[Ended], made: ListStamp, *, address: str = "") -> bytes:
        """See the port."""
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            issuer.certificate.public_key()  # type: ignore[arg-type]  # a certificate's key that signs is one of these
        )
        extensions: list[x509.Extension[x509.ExtensionType]] = [
            x509.Extension(authority_key.oid, critical=False, value=authority_key),
            x509.Extension(x509.CRLNumber.oid, critical=False, value=x509.CRLNumber(made.number)),
        ]
        if address:
            extensions.append(_of_address(address))
        # All at once: the builder's own way of adding one entry after another copies the list each time.
        builder = x509.CertificateRevocationListBuilder(
            issuer.certificate.subject,
            to_datetime(made.this_update),
            to_datetime(made.next_update),
            extensions,
            self._made(issuer.id, revocations),
        )
        return builder.sign(issuer.key, hash_for(issuer.key)).public_bytes(Encoding.DER)

    def _made(self, issuer: Digest, revocations: Iterable[Ended]) -> list[x509.RevokedCertificate]:
        kept = self._entries[issuer]
        found = []
        for revocation in revocations:
            known = kept.get(revocation.serial)
            if known is None or (known[0] is not revocation and known[0] != revocation):
                known = kept[revocation.serial] = (revocation, _entry(revocation))
            found.append(known[1])
        return found

    def forget(self, issuer: Digest, serials: Sequence[int]) -> None:
        """See the port."""
        for serial in serials:
            self._entries[issuer].pop(serial, None)


def _entry(revocation: Ended) -> x509.RevokedCertificate:
    reason = _REASONS.get(revocation.reason, [])
    return x509.RevokedCertificateBuilder(revocation.serial, to_datetime(revocation.at), reason).build()


def _of_address(address: str) -> x509.Extension[x509.ExtensionType]:
    value = x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(address)],
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    return x509.Extension(value.oid, critical=True, value=value)
