"""A change set: the steps that meet failed controls, as a value that is reviewed, stored, carried out and undone.

1. A step meets one control; its changes lead on from those of the steps before it.
2. Cheap and safe steps come first: what only takes permissions away, then the rest, then what needs a reboot, and
   last what can brick. Within one rank the more severe comes first.
3. The document is for people too: text stands in it as lines, bits as octal digits; only what is no text is base64.
4. The digest of what was there before stands beside it, so that a document whose past was edited is refused: undoing it
   would not bring back what was.
5. Everything read from a document is bounded, and a path in it can lead nowhere but below the root (`wire.changes`).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from holdfast_core.baseline.control import Control, Fix
from holdfast_core.baseline.model import ControlId, Plan
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.wire.changes import (
    MAX_CONTENT,
    Change,
    ContentChange,
    FolderChange,
    Id,
    LinkChange,
    ModeChange,
    OwnerChange,
    Place,
)

FORMAT: Literal[1] = 1
MAX_SET_BYTES = 32 * 1024 * 1024
"""A change set as a document."""
MAX_STEPS = 512
MAX_STEP_CHANGES = 4096

Sentence = Annotated[str, msgspec.Meta(max_length=1024)]


class Step(msgspec.Struct, frozen=True):
    """The changes that meet one control, and what they ask of the device."""

    control: ControlId
    title: Sentence
    changes: tuple[Change, ...]
    reboot: bool = False
    may_brick: bool = False
    undo: tuple[Sentence, ...] = ()
    """How the control's guide takes it back; the changes themselves are undone by themselves."""


class ByHand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A failed control that a person has to meet: why, and by which steps."""

    control: ControlId
    title: Sentence
    why: Sentence
    steps: Annotated[tuple[Sentence, ...], msgspec.Meta(max_length=16)] = ()
    reboot: bool = False
    may_brick: bool = False


class ChangeSet(msgspec.Struct, frozen=True):
    """What would be done to one root, planned at one time from one model and one catalogue."""

    model: str
    """Its name and version."""
    model_digest: Digest
    plan: Plan
    """With the digest of the catalogue, how the essential function is known, and what else the audit compares with."""
    made_at: str
    """RFC 3339."""
    steps: tuple[Step, ...]
    by_hand: tuple[ByHand, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes, in their order."""
        return tuple(change for step in self.steps for change in step.changes)


def rank(control: Control) -> tuple[bool, bool, bool, int, str]:
    """Where `control` stands in the order of steps (rule 2)."""
    remedy = control.remedy
    automatic = remedy.fix is Fix.AUTOMATIC
    return remedy.may_brick, remedy.reboot, not automatic, control.severity.rank, control.id


# The document


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of what a document holds."""


class Text(_Document, frozen=True, tag_field="as", tag="text"):
    """Content as its lines; a last line that is empty stands for the line end before it."""

    lines: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=MAX_CONTENT)], ...], msgspec.Meta(min_length=1)]

    @property
    def content(self) -> bytes:
        """The bytes."""
        return "\n".join(self.lines).encode()


class Binary(_Document, frozen=True, tag_field="as", tag="base64"):
    """Content that is no text."""

    content: Annotated[bytes, msgspec.Meta(max_length=MAX_CONTENT)]


Content: TypeAlias = Text | Binary
Octal = Annotated[str, msgspec.Meta(pattern=r"^0[0-7]{3,4}$")]


class ModeEdit(_Document, frozen=True, tag_field="kind", tag="mode"):
    """`ModeChange`, in octal."""

    path: Place
    before: Octal
    after: Octal


class FolderEdit(_Document, frozen=True, tag_field="kind", tag="folder"):
    """`FolderChange`, in octal."""

    path: Place
    mode: Octal


class ContentEdit(_Document, frozen=True, tag_field="kind", tag="content"):
    """`ContentChange`, readable; `was` is the digest of `before`, null where there was no file."""

    path: Place
    was: Digest | None
    mode: Octal
    uid: Id
    gid: Id
    before: Content | None
    after: Content | None


Edit: TypeAlias = ModeEdit | FolderEdit | ContentEdit | OwnerChange | LinkChange


class StepDocument(_Document, frozen=True):
    """`Step`."""

    control: ControlId
    title: Sentence
    changes: Annotated[tuple[Edit, ...], msgspec.Meta(max_length=MAX_STEP_CHANGES)]
    reboot: bool = False
    may_brick: bool = False
    undo: Annotated[tuple[Sentence, ...], msgspec.Meta(max_length=16)] = ()


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`ChangeSet`."""

    format: Literal[1]
    model: Sentence
    model_digest: Digest
    made_at: Sentence
    plan: Plan
    steps: Annotated[tuple[StepDocument, ...], msgspec.Meta(max_length=MAX_STEPS)]
    by_hand: Annotated[tuple[ByHand, ...], msgspec.Meta(max_length=MAX_STEPS)] = ()


def render(changes: ChangeSet) -> bytes:
    """The document of a change set.

    Raises:
        LimitExceeded: ``changes.too_large``.
    """
    steps = tuple(
        StepDocument(each.control, each.title, tuple(map(_edit, each.changes)), each.reboot, each.may_brick, each.undo)
        for each in changes.steps
    )
    document = Document(
        FORMAT, changes.model, changes.model_digest, changes.made_at, changes.plan, steps, changes.by_hand
    )
    data = msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
    if len(data) > MAX_SET_BYTES or any(len(step.changes) > MAX_STEP_CHANGES for step in changes.steps):
        raise LimitExceeded(
            "changes.too_large",
            f"The change set has {len(data)} bytes, more than a person can review.",
            remedy="Plan fewer controls at once, with --control.",
        )
    return data


def parse(data: bytes) -> ChangeSet:
    """The change set in a document.

    Raises:
        LimitExceeded: ``changes.too_large``.
        HostileData: ``changes.invalid``, ``changes.past_edited``.
    """
    if len(data) > MAX_SET_BYTES:
        raise LimitExceeded(
            "changes.too_large", "The change set is too large.", remedy="Check that it is the right file."
        )
    try:
        document = msgspec.json.decode(data, type=Document)
        steps = tuple(_step(step) for step in document.steps)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise HostileData(
            "changes.invalid",
            f"The change set cannot be read: {str(error)[:300]}.",
            remedy="Plan it anew with 'holdfast harden TREE --model FILE -o changes.json'.",
        ) from error
    return ChangeSet(document.model, document.model_digest, document.plan, document.made_at, steps, document.by_hand)


def _step(step: StepDocument) -> Step:
    changes = tuple(map(_change, step.changes))
    return Step(step.control, step.title, changes, step.reboot, step.may_brick, step.undo)


def _edit(change: Change) -> Edit:
    match change:
        case ModeChange(path, before, after):
            return ModeEdit(path, _octal(before), _octal(after))
        case FolderChange(path, mode):
            return FolderEdit(path, _octal(mode))
        case ContentChange(path, before, after, mode, uid, gid):
            was = digest_of(before) if before is not None else None
            return ContentEdit(path, was, _octal(mode), uid, gid, _written(before), _written(after))
        case OwnerChange() | LinkChange():
            return change


def _change(edit: Edit) -> Change:
    match edit:
        case ModeEdit(path, before, after):
            return ModeChange(path, int(before, 8), int(after, 8))
        case FolderEdit(path, mode):
            return FolderChange(path, int(mode, 8))
        case ContentEdit():
            return _content_change(edit)
        case OwnerChange() | LinkChange():
            return edit


def _content_change(edit: ContentEdit) -> ContentChange:
    before = edit.before.content if edit.before is not None else None
    after = edit.after.content if edit.after is not None else None
    if edit.was != (digest_of(before) if before is not None else None):
        raise HostileData(
            "changes.past_edited",
            f"What the change set says was in {edit.path[:200]} is not what it was planned from.",
            remedy="Edit only what is to be there after; or plan it anew.",
        )
    if max(len(before or b""), len(after or b"")) > MAX_CONTENT:
        raise ValueError(f"a content is larger than {MAX_CONTENT} bytes")
    return ContentChange(edit.path, before, after, int(edit.mode, 8), edit.uid, edit.gid)


def _octal(mode: int) -> str:
    return f"0{mode:03o}"


def _written(content: bytes | None) -> Content | None:
    if content is None:
        return None
    try:
        lines = content.decode().split("\n")
    except UnicodeDecodeError:
        return Binary(content)
    # A carriage return or an escape would not be seen by who reviews it.
    return Text(tuple(lines)) if all(line.replace("\t", "").isprintable() for line in lines) else Binary(content)
