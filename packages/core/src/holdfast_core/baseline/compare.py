"""Two audits held side by side: what is new, what is fixed, what stayed.

1. A failure is known by its control, and by what its proof is about (`fingerprints`), not by how it is worded.
2. Fixed is only what was looked at again and came out well. What failed and cannot be decided any more is `lost`, and
   so is what failed and is not in the catalogue any more; what is no longer asked, or has something stand in, is
   `excused`: neither is a repair.
3. An earlier document is hostile until it is parsed: it is bounded, and only what is compared is read of it.
4. Two audits that are hardly comparable are compared, and the reader is told why they hardly are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated

import msgspec

from holdfast_core.baseline.fingerprints import fingerprint, subject
from holdfast_core.baseline.model import ControlId, Judged, Outcome, Text
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.limits import LIMITS

MAX_EARLIER_BYTES = 4 * 1024 * 1024
"""Of an earlier document; one of ours has less than half a megabyte."""
FORMATS = (1,)
"""The forms of the document that can be compared with."""


class Change(StrEnum):
    """What became of a control between two audits."""

    NEW = "new"
    """It fails, and did not fail before."""
    CHANGED = "changed"
    """It fails as before, and what shows it is other than before."""
    UNCHANGED = "unchanged"
    """It fails as before."""
    LOST = "lost"
    """It failed, and nobody can say now."""
    EXCUSED = "excused"
    """It failed; now it does not apply, or something stands in."""
    FIXED = "fixed"
    """It failed, and was found in order."""


class Shift(msgspec.Struct, frozen=True):
    """What became of one control: the proof that came, and what went."""

    change: Change
    came: tuple[str, ...] = ()
    went: tuple[str, ...] = ()


class _Entry(msgspec.Struct, frozen=True):
    control: ControlId
    outcome: Outcome
    title: Text = ""
    proof: Annotated[tuple[str, ...], msgspec.Meta(max_length=LIMITS.proof_items)] = ()


class _Target(msgspec.Struct, frozen=True):
    name: Text


class _Device(msgspec.Struct, frozen=True, rename={"device_class": "class"}):
    device_class: DeviceClass
    model: Text | None = None


class _Of(msgspec.Struct, frozen=True):
    digest: Text


class Earlier(msgspec.Struct, frozen=True):
    """What is read of an earlier document."""

    format: int
    at: Text
    target: _Target
    device: _Device
    catalogue: _Of
    judged: Annotated[tuple[_Entry, ...], msgspec.Meta(max_length=2 * LIMITS.findings)]


class Comparison(msgspec.Struct, frozen=True):
    """How an audit compares with an earlier one; each entry says what became of it."""

    at: str
    """When the earlier one was made."""
    target: str
    counts: dict[str, int]
    notes: tuple[str, ...] = ()
    """Why the two are hardly comparable."""
    dropped: tuple[ControlId, ...] = ()
    """What failed then and is not judged now; each counts as lost."""
    titles: dict[ControlId, str] = msgspec.field(default_factory=dict)
    """What those in `dropped` asked."""

    @classmethod
    def of(
        cls, earlier: Earlier, shifts: Mapping[ControlId, Shift], target: str, asked_as: str, catalogue: str
    ) -> Comparison:
        """Sum up `shifts` since `earlier`, which is told apart from `target`, audited as `asked_as`."""
        counted = Counter(shift.change for shift in shifts.values())
        before = earlier.device.model or earlier.device.device_class.value
        notes = []
        if earlier.target.name != target:
            notes.append(f"The earlier audit looked at {earlier.target.name}.")
        if before != asked_as:
            notes.append(f"The earlier audit judged it as {before}, this one as {asked_as}.")
        if earlier.catalogue.digest != catalogue:
            notes.append("The earlier audit asked another version of the catalogue.")
        gone = [e for e in earlier.judged if e.outcome is Outcome.FAIL and e.control not in shifts]
        counted[Change.LOST] += len(gone)
        counts = {change.value: counted[change] for change in Change}
        titles = {entry.control: entry.title for entry in sorted(gone, key=lambda entry: entry.control)}
        return cls(earlier.at, earlier.target.name, counts, tuple(notes), tuple(titles), titles)


def read_earlier(data: bytes) -> Earlier:
    """The document of an earlier audit, as far as it is compared.

    Raises:
        LimitExceeded: ``compare.too_large``.
        HostileData: ``compare.not_a_document``, ``compare.format``, ``compare.duplicate``.
    """
    if len(data) > MAX_EARLIER_BYTES:
        raise LimitExceeded(
            "compare.too_large",
            f"The earlier document has over {MAX_EARLIER_BYTES} bytes.",
            remedy="Give what holdfast audit --format json wrote.",
        )
    try:
        earlier = msgspec.json.decode(data, type=Earlier)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refused("not_a_document", f"It is no document of an audit: {str(error)[:200]}.") from error
    if earlier.format not in FORMATS:
        raise _refused("format", f"The earlier document has format {earlier.format}, which is not known here.")
    if len({entry.control for entry in earlier.judged}) != len(earlier.judged):
        raise _refused("duplicate", "The earlier document judges a control twice.")
    return earlier


def compared(judged: Iterable[Judged], earlier: Earlier) -> dict[ControlId, Shift]:
    """What became of every control that fails, or failed and is still judged."""
    before = {entry.control: entry for entry in earlier.judged if entry.outcome is Outcome.FAIL}
    shifts = ((entry.control, _shift(entry, before.get(entry.control))) for entry in judged)
    return {name: shift for name, shift in shifts if shift is not None}


def _shift(now: Judged, before: _Entry | None) -> Shift | None:
    if now.outcome is Outcome.FAIL:
        if before is None:
            return Shift(Change.NEW)
        if fingerprint(now.control, now.proof) == fingerprint(before.control, before.proof):
            return Shift(Change.UNCHANGED)
        return Shift(Change.CHANGED, _only(now.proof, before.proof), _only(before.proof, now.proof))
    if before is None:
        return None
    return Shift(_MENDED.get(now.outcome, Change.EXCUSED), went=before.proof)


_MENDED = {Outcome.PASS: Change.FIXED, Outcome.UNKNOWN: Change.LOST}


def _only(these: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `these` that are about something which none of `others` is about."""
    known = {subject(item) for item in others}
    return tuple(item for item in these if subject(item) not in known)


def _refused(what: str, sentence: str) -> HostileData:
    return HostileData(f"compare.{what}", sentence, remedy="Give what holdfast audit --format json wrote.")
