"""Verifying an exported record offline (its format is in `export`).

1. The export is read as a stream: one line, two frontiers and the pins are all that is in memory.
2. What counts is the root that the leaves' texts lead to, against signed ones: the export's checkpoint and the pins.
   The hash in each line only serves to name a bad leaf; the report says whether a signed root proves that name.
3. A cut tail and a rewritten log are found only against checkpoints held elsewhere (pins); without pins the report
   claims nothing about either.
4. A key that only the export vouches for is no proof of who wrote it: the outcome then is not `VERIFIED`.
5. Whatever the bytes are, the answer is a report. Each kind of fault is found once, where it was first seen. Only the
   caller's own arguments raise: a trusted key that is none, or too many pins.
6. Leaves are not interpreted: one that a newer server wrote verifies too.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

import msgspec

from holdfast_core.formats.note import VerifierKey, parse_verifier_key
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.limits import LIMITS, Limits
from holdfast_core.record.checkpoint import Checkpoint, read, unsigned_read
from holdfast_core.record.export import Header, Line, parse_header, parse_line
from holdfast_core.record.merkle import HASH_BYTES, Frontier, leaf_hash
from holdfast_core.record.report import Finding, Outcome, VerifyReport


def verify_export(
    lines: Iterable[bytes], *, pins: Sequence[str] = (), trusted_key: str | None = None, limits: Limits = LIMITS
) -> VerifyReport:
    """Verify an export.

    Args:
        lines: its lines in order, with or without their newlines. To keep memory bounded against a hostile file, read
            them with ``readline(limits.export_line_bytes + 1)``.
        pins: signed checkpoints of the same log, held elsewhere: by agents, or by whoever wrote one down.
        trusted_key: the log's verifier key (``name+hash+base64``) from somewhere other than the export, or `None`.
        limits: the bounds in force.

    Raises:
        HostileData: ``note.key_invalid`` when `trusted_key` is no verifier key.
        LimitExceeded: ``record.too_many_pins``.
    """
    trusted = None if trusted_key is None else parse_verifier_key(trusted_key)
    if len(pins) > limits.export_pins:
        raise LimitExceeded(
            "record.too_many_pins",
            f"{len(pins)} pins were given; {limits.export_pins} are compared at a time.",
            remedy="Give the newest pin of each device; older ones add nothing.",
        )
    stream = iter(lines)
    findings = _Findings()
    try:
        header = parse_header(next(stream, b""), limits)
    except HostileData as error:
        findings.error(error)
        return _report(Header("", 0, "", "", ""), _Signed((), None), _Walk(frozenset()), findings, trusted)
    signed = _signed(header, trusted, pins, findings, limits)
    walk = _Walk(frozenset(each.size for each in signed.all))
    for line in stream:
        walk.take(line, findings, limits)
    _judge_order(walk, signed, findings)
    _judge_leaves(walk, signed, findings)
    _judge_pins(walk, signed, findings)
    return _report(header, signed, walk, findings, trusted)


class _Findings:
    """Findings by code, the first of each kind (rule 5)."""

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}

    def add(self, code: str, sentence: str, remedy: str, index: int | None = None) -> None:
        self._found.setdefault(code, Finding(code, sentence, remedy, index))

    def error(self, error: HostileData, index: int | None = None) -> None:
        self.add(error.code, error.sentence, error.remedy, index)

    def all(self) -> tuple[Finding, ...]:
        return tuple(self._found.values())


class _Signed(msgspec.Struct, frozen=True):
    """The checkpoints that an export is held against."""

    pins: tuple[Checkpoint, ...]
    """Signed by the key and of this log, smallest first."""
    claimed: Checkpoint | None
    """The export's own, `None` when it cannot be read."""
    verified: bool = False
    """Whether the key signed `claimed`."""
    key: str = ""

    @property
    def all(self) -> tuple[Checkpoint, ...]:
        return self.pins if self.claimed is None else (*self.pins, self.claimed)

    @property
    def trusted(self) -> tuple[Checkpoint, ...]:
        """Those whose signature verified."""
        return self.all if self.verified else self.pins


class _Walk:
    """One pass over the leaves: where order breaks, where text and hash part, and the roots at watched sizes."""

    def __init__(self, watched: frozenset[int]) -> None:
        self._watched = watched
        self._expected = 0
        self._aligned = True
        self._declared: Frontier | None = None
        self.texts = Frontier()
        self.end = 0
        """One more than the highest index seen."""
        self.gap: int | None = None
        """First index that did not come when it was due."""
        self.back: int | None = None
        """First index that came after its turn."""
        self.hash_fault: int | None = None
        """First index whose text does not have the hash in its line."""
        self.roots: dict[int, bytes] = {}
        """Roots over the texts, while every leaf stood in its place."""
        self.declared_roots: dict[int, bytes] = {}
        """Roots over the hashes in the lines, once they have parted from the texts."""
        self._watch()

    def take(self, line: bytes, findings: _Findings, limits: Limits) -> None:
        """Read one line."""
        try:
            parsed = parse_line(line, limits)
        except HostileData as error:
            findings.error(error, self._expected)
            self._aligned = False
            self._expected += 1
            self.end = max(self.end, self._expected)
            return
        self._place(parsed.index)
        self._grow(parsed)
        if self._aligned:
            self._watch()

    def _place(self, index: int) -> None:
        if index > self._expected and self.gap is None:
            self.gap = self._expected
        if index < self._expected and self.back is None:
            self.back = index
        self._aligned = self._aligned and index == self._expected
        self._expected = index + 1
        self.end = max(self.end, self._expected)

    def _grow(self, line: Line) -> None:
        found = leaf_hash(line.data)
        if base64.b64encode(found).decode() != line.hash and self.hash_fault is None:
            self.hash_fault = line.index
            self._declared = self.texts
        if self._declared is not None:
            declared = _hash_in(line)
            self._declared = None if declared is None else self._declared.append((declared,))
        self.texts = self.texts.append((found,))

    def _watch(self) -> None:
        if self.texts.size in self._watched:
            self.roots[self.texts.size] = self.texts.root()
            if self._declared is not None:
                self.declared_roots[self.texts.size] = self._declared.root()

    def proven_prefix(self, signed: _Signed) -> int:
        """How many of the first leaves verified checkpoints prove."""
        proven = 0
        for each in signed.trusted:
            if self.roots.get(each.size) == each.root:
                proven = max(proven, each.size)
            elif self.hash_fault is not None and self.declared_roots.get(each.size) == each.root:
                proven = max(proven, self.hash_fault)
        return proven


def _hash_in(line: Line) -> bytes | None:
    try:
        declared = base64.b64decode(line.hash, validate=True)
    except ValueError:
        return None
    return declared if len(declared) == HASH_BYTES else None


def _signed(
    header: Header, trusted: VerifierKey | None, pins: Sequence[str], findings: _Findings, limits: Limits
) -> _Signed:
    key = trusted
    if trusted is None:
        try:
            key = parse_verifier_key(header.key)
        except HostileData as error:
            findings.error(error)
    elif header.key != str(trusted):
        findings.add(
            "export.key_differs",
            "The export names another verifier key than the one that is trusted.",
            "Find out which key is the log's; a log keeps its key for life.",
        )
    claimed, verified = _claimed(header, key, findings, limits)
    good = [pin for pin in (_pin(text, key, header, findings, limits) for text in pins) if pin is not None]
    return _Signed(tuple(sorted(good, key=lambda pin: pin.size)), claimed, verified, "" if key is None else str(key))


def _claimed(
    header: Header, key: VerifierKey | None, findings: _Findings, limits: Limits
) -> tuple[Checkpoint | None, bool]:
    """The export's checkpoint and whether the key signed it; a forged one still says what the leaves should be."""
    checkpoint, verified = None, False
    try:
        checkpoint = unsigned_read(header.checkpoint, limits)
        if key is not None:
            read(header.checkpoint, [key], limits)
            verified = True
    except HostileData as error:
        findings.error(error)
    if checkpoint is not None and checkpoint.origin != header.origin:
        findings.add(
            "export.origin_differs",
            "The export says it is of one log, its checkpoint is of another.",
            "Export the log again; the two never differ in an export of ours.",
        )
    return checkpoint, verified


def _pin(text: str, key: VerifierKey | None, header: Header, findings: _Findings, limits: Limits) -> Checkpoint | None:
    if key is None:
        return None
    try:
        pin = read(text, [key], limits)
    except HostileData as error:
        findings.add(
            "record.pin_unverified",
            f"A pinned checkpoint does not count, because the log's key did not sign it: {error.sentence}",
            "If it is from another log, leave it out. If a device got it from this server, the server has or had "
            "another key than this export's: treat the record as forged until that is explained.",
        )
        return None
    if pin.origin != header.origin:
        findings.add(
            "record.pin_other_log",
            "A pinned checkpoint is of another log, signed with the same key.",
            "Leave it out, or give the export that belongs to it.",
        )
        return None
    return pin


def _judge_order(walk: _Walk, signed: _Signed, findings: _Findings) -> None:
    if walk.gap is not None and walk.back is not None:
        first = min(walk.gap, walk.back)
        findings.add("record.leaves_reordered", f"Leaves are out of order from leaf {first} on.", _AGAIN, first)
    elif walk.gap is not None:
        findings.add("record.leaf_missing", f"Leaf {walk.gap} is missing.", _AGAIN, walk.gap)
    elif walk.back is not None:
        findings.add("record.leaf_repeated", f"Leaf {walk.back} is there more than once.", _AGAIN, walk.back)
    if signed.claimed is None:
        return
    size = signed.claimed.size
    if walk.end < size:
        sentence = f"The export ends before leaf {walk.end}; its checkpoint speaks of {size} leaves."
        findings.add("record.tail_missing", sentence, _AGAIN, walk.end)
    if walk.end > size:
        sentence = f"The export goes on after leaf {size - 1}, the last that its checkpoint speaks of."
        findings.add("record.leaf_surplus", sentence, _AGAIN, size)


def _judge_leaves(walk: _Walk, signed: _Signed, findings: _Findings) -> None:
    claimed = signed.claimed
    root = None if claimed is None else walk.roots.get(claimed.size)
    fits = claimed is not None and root == claimed.root
    at = walk.hash_fault
    if at is not None and fits:
        findings.add(
            "export.hash_wrong",
            f"The hash beside leaf {at} was changed; the leaf itself leads to the checkpoint's root.",
            _AGAIN,
            at,
        )
    elif at is not None:
        findings.add("record.leaf_edited", f"The text of leaf {at} is not what its hash was made of.", _AGAIN, at)
    elif root is not None and not fits:
        proven = walk.proven_prefix(signed)
        findings.add(
            "record.root_differs",
            f"The leaves do not lead to the checkpoint's root: one at or after leaf {proven} was changed, "
            "and its hash in the file with it, so the file alone cannot say which.",
            "Give more checkpoints held elsewhere, such as those the agents pinned, to narrow it down. " + _AGAIN,
        )


def _judge_pins(walk: _Walk, signed: _Signed, findings: _Findings) -> None:
    size = walk.end if signed.claimed is None else signed.claimed.size
    for pin in signed.pins:
        if pin.size > size:
            findings.add(
                "record.tail_cut",
                f"The log signed a checkpoint of {pin.size} leaves; this export claims that it has {size}.",
                "Export again, as the pin may be younger than the export. If the pin is still larger, the log's end "
                "was cut off or an old backup was restored: what followed is lost or hidden.",
                size,
            )
        elif not _fits(walk, pin):
            _pin_differs(walk, signed, pin, findings)


def _fits(walk: _Walk, pin: Checkpoint) -> bool:
    """Whether the leaves lead to the pin's root, or another finding says why that cannot be known."""
    root = walk.roots.get(pin.size)
    return root is None or pin.root in (root, walk.declared_roots.get(pin.size))


def _pin_differs(walk: _Walk, signed: _Signed, pin: Checkpoint, findings: _Findings) -> None:
    agreeing = [each.size for each in signed.pins if walk.roots.get(each.size) == each.root and each.size < pin.size]
    low = max(agreeing, default=0)
    where = f"The first leaf that differs is one of leaves {low} to {pin.size - 1}."
    index = low if low + 1 == pin.size else None
    claimed = signed.claimed
    if claimed is not None and signed.verified and walk.roots.get(claimed.size) == claimed.root:
        findings.add(
            "record.fork",
            f"The log signed two histories: a pinned checkpoint of {pin.size} leaves is not of these leaves. {where}",
            "Keep the export and the pin: together they prove that the log was rewritten by whoever holds its key.",
            index,
        )
    else:
        findings.add(
            "record.pin_differs",
            f"The leaves do not lead to the root that was pinned at {pin.size} leaves. {where}",
            _AGAIN,
            index,
        )


def _report(
    header: Header, signed: _Signed, walk: _Walk, findings: _Findings, trusted: VerifierKey | None
) -> VerifyReport:
    found = findings.all()
    first_bad = min((each.index for each in found if each.index is not None), default=None)
    proven = walk.proven_prefix(signed)
    consistent = Outcome.KEY_UNTRUSTED if trusted is None else Outcome.VERIFIED
    return VerifyReport(
        outcome=Outcome.BROKEN if found else consistent,
        origin=header.origin,
        key=signed.key,
        key_from_export=trusted is None,
        size=0 if signed.claimed is None else signed.claimed.size,
        leaves=walk.texts.size,
        root=walk.texts.root(),
        proven_prefix=proven,
        pins_checked=len(signed.pins),
        first_bad=first_bad,
        first_bad_proven=first_bad is not None and proven >= first_bad,
        findings=found,
    )


_AGAIN = "Export the log again from its server; if that shows the same, treat the server's store as tampered with."
