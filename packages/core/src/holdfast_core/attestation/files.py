"""Following the IMA list: which of it the quote proves, and whether the files in it are a release's.

1. A slice goes on where the last one was proven to end, or begins anew. The list may have grown after the quote was
   made: the longest beginning that leads to the quoted register counts, the rest is the next slice's.
2. A list that does not fit one check-in comes in several. What is not proven yet is followed, and affirms nothing: the
   register's last value proves all entries before it at once.
3. A file counts as known by its digest, or by a signature of a release's key. Where a release says nothing of files,
   none is judged. After `WRONG_SIGNATURES` that do not hold, no other signature of that slice is looked at: what a
   device may cost is bounded, and it is told as one with unknown files in any case.
4. Files that were judged by other values are judged anew: the list is followed again from its first entry.
5. The first entry sums up the boot (``boot_aggregate``); where it can be recomputed, it must be of this boot. A list
   that goes no further measures nothing, and affirms nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from holdfast_core.attestation.ground import Ground
from holdfast_core.attestation.model import APPROVED_FILES, UNRECOGNIZED_FILES, ImaState
from holdfast_core.attestation.quote import IMA_REGISTER, Signed, registers_of
from holdfast_core.attestation.refusals import Refused
from holdfast_core.formats.ima.entries import ImaEntry
from holdfast_core.formats.ima.replay import boot_aggregate, walk
from holdfast_core.formats.ima.signature import WRONG, verify_ima_signature
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.printable import printable
from holdfast_core.kernel.reasons import Reason
from holdfast_core.wire.attestation import ImaSlice, unpack

AGGREGATE = b"boot_aggregate"
SHOWN_NAME = 120
WRONG_SIGNATURES = 64
"""Of one slice: a whole one of signatures that do not hold would be seconds of arithmetic."""
LEAST_LIST = 2
"""Entries of a list that measures at all: the boot's sum, and the agent that sends it."""
_NOTHING_MEASURED = Reason(
    "attestation.ima_empty",
    "The device's kernel measures no files, which its model says it does.",
    "Boot it with an IMA policy (ima_policy=tcb, or one of yours), or set attestation.ima to false in the model file.",
)


def start_of(policy_bank: str) -> bytes:
    """The register at boot."""
    return bytes(hashlib.new(policy_bank).digest_size)


def follow_list(
    part: ImaSlice | None,
    before: ImaState,
    ground: Ground,
    values: Mapping[int, bytes],
    signed: Signed,
    *,
    new_boot: bool,
) -> ImaState:
    """How far the list is proven after `part`.

    Args:
        part: what came of it.
        before: how far it was followed.
        ground: what files are compared with.
        values: all other registers of the quote.
        signed: the quote.
        new_boot: whether the register began anew.

    Raises:
        Refused: ``ima_gap``, ``ima_malformed``, ``ima_mismatch``.
    """
    start = start_of(ground.policy.bank)
    begun = ImaState(value=start, basis=ground.files_basis)
    known = begun if new_boot or before.basis != ground.files_basis else before
    if part is None:
        if new_boot or not _leads(known.value, ground, values, signed):
            raise Refused("ima_gap")
        return msgspec.structs.replace(known, loaded=True)
    if part.start == 0:
        known = begun
    elif new_boot or part.start != known.count:
        raise Refused("ima_gap")
    try:
        walked = walk(unpack(part.data), known.value, bank=ground.policy.bank)
    except HostileData as error:
        raise Refused("ima_malformed", detail=error.sentence) from None
    reached = _reached((known.value, *walked.values), ground, values, signed)
    if reached is None:
        if not part.more:
            raise Refused("ima_mismatch")
        return _judged(known, walked.entries, walked.values, ground, values, loaded=False)
    return _judged(known, walked.entries[:reached], walked.values[:reached], ground, values, loaded=True)


def _reached(chain: Sequence[bytes], ground: Ground, values: Mapping[int, bytes], signed: Signed) -> int | None:
    """How many entries lead to what was quoted: tried from the end, for a list rarely grows by more than a few."""
    head, tail = _around(ground, values)
    expected, name = signed.quoted.digest, signed.hash
    for count in range(len(chain) - 1, -1, -1):
        if hashlib.new(name, head + chain[count] + tail).digest() == expected:
            return count
    return None


def _leads(value: bytes, ground: Ground, values: Mapping[int, bytes], signed: Signed) -> bool:
    head, tail = _around(ground, values)
    return signed.is_of((head, value, tail))


def _around(ground: Ground, values: Mapping[int, bytes]) -> tuple[bytes, bytes]:
    """The quoted registers before and after IMA's."""
    order = [register for register in registers_of(ground.policy) if register != IMA_REGISTER]
    head = b"".join(values[register] for register in order if register < IMA_REGISTER)
    return head, b"".join(values[register] for register in order if register > IMA_REGISTER)


def _judged(
    known: ImaState,
    entries: Sequence[ImaEntry],
    chain: Sequence[bytes],
    ground: Ground,
    values: Mapping[int, bytes],
    *,
    loaded: bool,
) -> ImaState:
    unknown, first = known.unknown, known.first_unknown
    signatures = _Signatures(ground)
    for place, entry in enumerate(entries, known.count):
        if not _is_known(entry, place, ground, values, signatures):
            unknown += 1
            first = first or printable(entry.text)[:SHOWN_NAME]
    value = chain[-1] if chain else known.value
    return ImaState(known.count + len(entries), value, unknown, first, loaded, known.basis)


def _is_known(
    entry: ImaEntry, place: int, ground: Ground, values: Mapping[int, bytes], signatures: _Signatures
) -> bool:
    if entry.name == AGGREGATE:
        return place == 0 and _sums_up(entry, values)
    if not ground.judges_files:
        return True
    return not entry.violation and (entry.digest.hex() in ground.files or signatures.vouch_for(entry))


class _Signatures:
    """The signatures in one slice, as long as they are worth looking at (rule 3)."""

    def __init__(self, ground: Ground) -> None:
        self._keys = ground.file_keys
        self._left = WRONG_SIGNATURES

    def vouch_for(self, entry: ImaEntry) -> bool:
        """Whether a key of a release signed the entry's file."""
        if not entry.signature or not self._keys or not self._left:
            return False
        try:
            verify_ima_signature(entry, self._keys)
        except HostileData as error:
            self._left -= error.code == WRONG  # only those cost anything; a key of others is none of ours to count
            return False
        return True


def _sums_up(entry: ImaEntry, values: Mapping[int, bytes]) -> bool:
    """Whether the first entry is of the registers of this boot; where not all were quoted, it cannot be told."""
    try:
        return boot_aggregate(values, bank=entry.algorithm) == entry.digest
    except HostileData:
        return True


def judge_files(ground: Ground, ima: ImaState) -> tuple[int, tuple[Reason, ...]]:
    """The claim about the file system, 0 where nothing was demanded or can be told, and why."""
    if not ground.policy.ima:
        return 0, ()
    if ima.count < LEAST_LIST:
        return UNRECOGNIZED_FILES, (_NOTHING_MEASURED,)
    if ima.unknown:
        more = f" and {ima.unknown - 1} more" if ima.unknown > 1 else ""
        reason = Reason(
            "attestation.unknown_files",
            f"The device ran or read files that no current release names: {ima.first_unknown}{more}.",
            "Find out where they came from. If they are yours, sign them or add them to the release's values.",
        )
        return UNRECOGNIZED_FILES, (reason,)
    return (APPROVED_FILES if ground.judges_files else 0), ()
