"""Reference values: what a release looks like when it was booted, computed where it was built.

1. They are computed from the release's own files, signed by whoever built it, and come before the release does.
2. A value learned from a device is an exception that names the device and the reason: for images that never change.
3. Several releases may be current at once: during a rollout the one that goes and the one that comes. A device runs one
   of them, not a mixture (`comparison`).
4. A release past its retire date is a warning. One that was revoked, or whose security version number is below every
   current one's, is contraindicated, however well it is signed.
5. A statement is never changed. Revoking and an earlier retire date stand beside it.
6. Registers that a running system can reset (16 and 23) hold whatever that system likes: nothing is stated of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Annotated

import msgspec

from holdfast_core.kernel.digests import Digest, canonical, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import LATEST, Instant
from holdfast_core.kernel.kept import Kept
from holdfast_core.supply.model import Artefact, release_id
from holdfast_core.wire.codec import told
from holdfast_core.wire.frame import Text, Whole

STATEMENT_TYPE = "application/vnd.holdfast.reference+json"
VERSION = 1
MEASUREMENTS = 4_096
FILES = 20_000
LARGEST_STATEMENT = 3 * 1024 * 1024

RESETTABLE = frozenset({16, 23})
"""By the table of PCR attributes in the TCG PC Client Platform TPM Profile, locality 0 may reset them."""

Hex = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$")]
Register = Annotated[int, msgspec.Meta(ge=0, lt=24)]
_BANK = re.compile(r"sha(256|384|512)")


class _Stated(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of what a statement holds."""


class Measurement(_Stated, frozen=True):
    """One thing that a boot of the release measures: where, its digest in the statement's bank, and what it is.

    An `optional` one may be missing: not every boot comes by it.
    """

    register: Register
    digest: Hex
    what: Text
    optional: bool = False


class Golden(_Stated, frozen=True):
    """The value of a whole register: for devices without an event log, and for fixed images."""

    register: Register
    value: Hex


class TokenComponent(_Stated, frozen=True):
    """One software component of a token (RFC 9783, section 4.4.1)."""

    kind: Text
    digest: Hex
    version: Text = ""
    signer: Text = ""


class FileValue(_Stated, frozen=True):
    """One file that the release runs, by its digest as IMA takes it; the path is for people."""

    path: Text
    digest: Hex


class Learned(_Stated, frozen=True):
    """That values were taken from a device rather than computed, from which, and why that was good enough."""

    device: Text
    why: Text


class Statement(_Stated, frozen=True, dict=True):
    """What a builder says of a release. Times are milliseconds UTC."""

    model: Text
    version: Text
    svn: Whole
    made_at: Annotated[Instant, msgspec.Meta(ge=0, le=LATEST)]
    v: int = VERSION
    bank: str = "sha256"
    retire_at: Annotated[Instant, msgspec.Meta(ge=0, le=LATEST)] | None = None
    artefacts: Annotated[tuple[Artefact, ...], msgspec.Meta(max_length=64)] = ()
    measurements: Annotated[tuple[Measurement, ...], msgspec.Meta(max_length=MEASUREMENTS)] = ()
    golden: Annotated[tuple[Golden, ...], msgspec.Meta(max_length=24)] = ()
    components: Annotated[tuple[TokenComponent, ...], msgspec.Meta(max_length=32)] = ()
    files: Annotated[tuple[FileValue, ...], msgspec.Meta(max_length=FILES)] = ()
    file_keys: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=8)] = ()
    """SubjectPublicKeyInfo (DER) of keys that sign files (ima-sig)."""
    learned: Learned | None = None

    @property
    def id(self) -> str:
        """The release's name."""
        return release_id(self.model, self.version)

    @cached_property
    def registers(self) -> frozenset[int]:
        """The registers it says something of."""
        return frozenset(m.register for m in self.measurements) | {g.register for g in self.golden}

    @cached_property
    def named(self) -> Mapping[int, frozenset[str]]:
        """Digests of its measurements by register; sorted once, for boots are compared with every release."""
        found: defaultdict[int, set[str]] = defaultdict(set)
        for measurement in self.measurements:
            found[measurement.register].add(measurement.digest)
        return {register: frozenset(digests) for register, digests in found.items()}


class Reference(Kept, frozen=True, kw_only=True):
    """A statement that a trusted key signed, and what people decided since; `id` is the release's name."""

    statement: Statement
    digest: Digest
    """Of the statement's bytes as they were signed."""
    signer: str
    added_at: Instant
    retire_at: Instant | None = None
    """The date in force: the statement's, or an earlier one."""
    revoked_at: Instant | None = None
    revoked_why: str = ""


class ReleaseKey(Kept, frozen=True, kw_only=True):
    """A key whose statements are taken; `id` is the operator's name for it, `public` SubjectPublicKeyInfo (DER)."""

    public: bytes
    added_at: Instant


class Standing(StrEnum):
    """What a release is worth at one moment."""

    CURRENT = "current"
    RETIRED = "retired"
    SUPERSEDED = "superseded"
    """Its security version number is below every current release's: going back to it is a downgrade."""
    REVOKED = "revoked"


class Judged(msgspec.Struct, frozen=True):
    """A release's values and what they are worth."""

    statement: Statement
    digest: Digest
    standing: Standing


def standings(references: Iterable[Reference], now: Instant) -> tuple[Judged, ...]:
    """What each release of one model is worth at `now`, the highest security version and newest first."""
    known = sorted(references, key=lambda r: (r.statement.svn, r.statement.made_at, r.id), reverse=True)
    in_force = [r for r in known if r.revoked_at is None and (r.retire_at is None or now < r.retire_at)]
    floor = min((reference.statement.svn for reference in in_force), default=-1)
    return tuple(Judged(r.statement, r.digest, _standing(r, now, floor)) for r in known)


def _standing(reference: Reference, now: Instant, floor: int) -> Standing:
    if reference.revoked_at is not None and reference.revoked_at <= now:
        return Standing.REVOKED
    if reference.statement.svn < floor:
        return Standing.SUPERSEDED
    if reference.retire_at is not None and reference.retire_at <= now:
        return Standing.RETIRED
    return Standing.CURRENT


def basis_of(policy: msgspec.Struct, judged: tuple[Judged, ...]) -> bytes:
    """What evidence is appraised against, in one byte form; its digest is the basis that readings name."""
    return canonical({"policy": policy, "releases": [(j.statement.id, j.digest, j.standing) for j in judged]})


def parse_statement(data: bytes) -> Statement:
    """A statement as it was signed.

    Raises:
        HostileData: ``reference.malformed``, ``reference.empty``, ``reference.register``, ``name.invalid``.
    """
    try:
        statement = msgspec.json.decode(data, type=Statement)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise _malformed(told(error)) from None
    if statement.v != VERSION:
        raise _malformed(f"it is of version {statement.v}, and this is version {VERSION}")
    if not _BANK.fullmatch(statement.bank):
        raise _malformed(f"its bank {statement.bank[:20]!r} is not taken")
    size = int(statement.bank.removeprefix("sha")) // 4
    if any(len(m.digest) != size for m in statement.measurements) or any(
        len(g.value) != size for g in statement.golden
    ):
        raise _malformed(f"a digest in it is none of {statement.bank}")
    if len({g.register for g in statement.golden}) < len(statement.golden):
        raise _malformed("it gives one register two values")
    if resettable := sorted(statement.registers & RESETTABLE):
        raise proves_nothing(resettable[0])
    if not (statement.measurements or statement.golden or statement.components):
        raise HostileData(
            "reference.empty",
            "The statement says nothing that a device could be compared with.",
            remedy="Name the release's files: holdfast reference build … --artefact KIND:FILE@REGISTER.",
        )
    statement.id  # noqa: B018  (a name that is none is refused here)
    return statement


def statement_bytes(statement: Statement) -> tuple[bytes, Digest]:
    """The byte form of a statement, and its digest."""
    data = canonical(statement)
    return data, digest_of(data)


def proves_nothing(register: int) -> HostileData:
    """The refusal of a value for a register that a running system can reset."""
    return HostileData(
        "reference.register",
        f"Register {register} can be reset by the running system, so its value proves nothing of a release.",
        remedy="Leave it out, or have it measured into a register that only a reboot resets: 0 to 15.",
    )


def _malformed(why: str) -> HostileData:
    return HostileData(
        "reference.malformed",
        f"These are no reference values: {why}.",
        remedy="Build them anew: holdfast reference build.",
    )
