"""What evidence of one model is appraised against: its policy and its releases, made ready once.

1. The basis is a digest over everything here that a verdict can depend on; a reading names the basis that it was made
   with, and no longer holds under another.
2. Only current releases vouch for files; which ones a device runs is decided by its boot.
3. Boots are compared with so many releases as `RELEASES` says, the current ones before all others. A boot of one beyond
   is of no release that is known, and contraindicated; what each is worth is still known of all (`standings`).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from holdfast_core.attestation.model import Policy
from holdfast_core.attestation.reference import Judged, Standing, basis_of
from holdfast_core.formats.ima.signature import PublicKey, key_id
from holdfast_core.kernel.digests import Digest, canonical, digest_of

RELEASES = 256
"""Of one model that a boot is compared with."""


class Ground(msgspec.Struct, frozen=True):
    """Policy and releases of one model. Build it with `ground`."""

    policy: Policy
    judged: tuple[Judged, ...]
    basis: Digest
    document: bytes
    """What the basis is the digest of."""
    files: frozenset[str]
    """Digests of files that current releases run, in hexadecimal."""
    file_keys: Mapping[bytes, PublicKey]
    files_basis: str
    """A digest over what files are compared with, which changes less often than the basis."""

    @property
    def judges_files(self) -> bool:
        """Whether files can be told apart at all."""
        return bool(self.files or self.file_keys)


def ground(policy: Policy, judged: tuple[Judged, ...]) -> Ground:
    """The ground that evidence of one model is appraised on."""
    judged = _compared(judged)
    document = basis_of(policy, judged)
    current = [each.statement for each in judged if each.standing is Standing.CURRENT]
    files = frozenset(value.digest for statement in current for value in statement.files)
    keys = [key for statement in current for der in statement.file_keys if (key := _key(der)) is not None]
    file_keys = {key_id(key): key for key in keys}
    files_basis = digest_of(canonical((sorted(files), sorted({der.hex() for s in current for der in s.file_keys}))))
    return Ground(policy, judged, digest_of(document), document, files, file_keys, files_basis)


def _compared(judged: tuple[Judged, ...]) -> tuple[Judged, ...]:
    """Those that count, in the order in which they came."""
    if len(judged) <= RELEASES:
        return judged
    places = sorted(range(len(judged)), key=lambda place: (judged[place].standing is not Standing.CURRENT, place))
    return tuple(judged[place] for place in sorted(places[:RELEASES]))


def _key(der: bytes) -> PublicKey | None:
    """A key that signs files; one that cannot be read vouches for nothing."""
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) else None
