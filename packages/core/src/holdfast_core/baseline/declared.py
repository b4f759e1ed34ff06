"""What a model declares, held against what its image shows.

1. Pure: the model file and the report of an audit of the image, made as a device of that model.
2. A declaration is *shown* where the control that looks at it passed, *contradicted* where it failed, and *not shown*
   where it could not be decided: an image that is silent proves nothing, and refutes nothing.
3. What the image shows and the model does not claim is told too: the model may claim more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum

import msgspec

from holdfast_core.baseline.model import ControlId, Judged, Outcome, Report
from holdfast_core.inventory.model import DeviceModel, Fallback, RootFilesystem, UpdateKind


class Shows(StrEnum):
    """What an image says of a declaration."""

    SHOWN = "shown"
    CONTRADICTED = "contradicted"
    NOT_SHOWN = "not_shown"
    UNCLAIMED = "unclaimed"
    """The image shows it, and the model does not declare it."""


class Claim(msgspec.Struct, frozen=True):
    """One declaration of the model file and what the image says of it."""

    field: str
    """Where it stands in the model file: ``boot.secure_boot``."""
    control: ControlId
    shows: Shows
    sentence: str
    proof: tuple[str, ...] = ()
    remedy: str = ""


class _Declaration(msgspec.Struct, frozen=True):
    field: str
    claims: Callable[[DeviceModel], bool]
    controls: tuple[ControlId, ...]
    """Which controls look at it; the worst outcome counts."""
    words: str


_SUPPORT_END = "supplier.support_end"
_DECLARATIONS = (
    _Declaration("boot.secure_boot", lambda m: m.boot.secure_boot, ("BOOT-01",), "it boots only what is signed"),
    _Declaration("boot.anti_rollback", lambda m: m.boot.anti_rollback, ("BOOT-04",), "it refuses older software"),
    _Declaration("update.signed", lambda m: m.update.signed, ("UPD-01",), "updates are signed"),
    _Declaration(
        "update.kind",
        lambda m: m.update.kind in {UpdateKind.AB_IMAGE, UpdateKind.MCU_SWAP},
        ("BOOT-08",),
        "it has a second slot or a recovery system",
    ),
    _Declaration(
        "update.fallback",
        lambda m: m.update.fallback is Fallback.AUTOMATIC,
        ("UPD-04",),
        "an update that does not boot falls back by itself",
    ),
    _Declaration(
        "constraints.root_filesystem",
        lambda m: m.constraints.root_filesystem is RootFilesystem.IMMUTABLE,
        ("FS-01",),
        "its root cannot change",
    ),
    _Declaration(
        "data.encrypted_at_rest",
        lambda m: any(item.encrypted_at_rest for item in m.data),
        ("DAT-01",),
        "what it holds is encrypted at rest",
    ),
    _Declaration("expected.accounts", lambda m: bool(m.expected.accounts), ("ACC-10",), "only these accounts log in"),
    _Declaration("flows", lambda m: bool(m.flows), ("SVC-03",), "only the declared ports listen"),
    _Declaration("expected.autostart", lambda m: bool(m.expected.autostart), ("SVC-08",), "only these programs start"),
    _Declaration("expected.setuid", lambda m: bool(m.expected.setuid), ("FS-05",), "only these programs are setuid"),
    _Declaration(_SUPPORT_END, lambda m: bool(m.supplier.support_end), ("UPD-07",), "support has an end"),
)
_OPTIONAL = frozenset({"boot.secure_boot", "boot.anti_rollback", "update.signed", "update.fallback"})
"""What a model may leave unclaimed although its image shows it."""


def claims(model: DeviceModel, report: Report, *, filesystem: str = "", support_end: str = "") -> tuple[Claim, ...]:
    """Every declaration of `model` that an image can speak of, and what it says.

    Args:
        model: the declaration.
        report: the audit of the image.
        filesystem: the file system that the image's root is; empty where the root is a folder.
        support_end: the last day of support that the image's own software names; empty where it names none.
    """
    judged = {entry.control: entry for entry in report.judged}
    found = [claim for declaration in _DECLARATIONS for claim in _claim(declaration, model, judged)]
    if support_end and support_end != model.supplier.support_end:
        found = [claim for claim in found if claim.field != _SUPPORT_END]
        found.append(_other_end(model, support_end))
    if filesystem and (told := _root_driver(model, filesystem)):
        found.append(told)
    return tuple(found)


def _claim(declaration: _Declaration, model: DeviceModel, judged: dict[ControlId, Judged]) -> Iterator[Claim]:
    entries = [judged[name] for name in declaration.controls if name in judged]
    if not entries:
        return
    entry, claimed = entries[0], declaration.claims(model)
    said = f"The model says that {declaration.words}"
    if not claimed:
        if declaration.field in _OPTIONAL and entry.outcome is Outcome.PASS:
            sentence = f"The image shows that {declaration.words}, and the model does not say so."
            yield Claim(
                declaration.field, entry.control, Shows.UNCLAIMED, sentence, entry.proof, "Declare it in the model."
            )
        return
    match entry.outcome:
        case Outcome.PASS:
            yield Claim(declaration.field, entry.control, Shows.SHOWN, f"{said}, and the image shows it.", entry.proof)
        case Outcome.FAIL:
            remedy = f"Mend the image, or correct {declaration.field}. {entry.remedy}"
            sentence = f"{said}, and the image shows otherwise. {entry.reason}"
            yield Claim(declaration.field, entry.control, Shows.CONTRADICTED, sentence, entry.proof, remedy)
        case Outcome.UNKNOWN | Outcome.COMPENSATED:
            sentence = f"{said}; the image does not show it. {entry.reason}"
            yield Claim(declaration.field, entry.control, Shows.NOT_SHOWN, sentence, (), entry.remedy)
        case Outcome.NOT_APPLICABLE:
            return


def _other_end(model: DeviceModel, support_end: str) -> Claim:
    declared = model.supplier.support_end
    sentence = f"The model says that support ends on {declared or 'no day'}, and the image that it ends on another day."
    remedy = f"Write the same day into {_SUPPORT_END} and, as SUPPORT_END, into the image's os-release."
    return Claim(_SUPPORT_END, "UPD-07", Shows.CONTRADICTED, sentence, (f"SUPPORT_END={support_end}",), remedy)


def _root_driver(model: DeviceModel, filesystem: str) -> Claim | None:
    declared = model.expected.root_fs_drivers
    if filesystem in declared:
        sentence = f"The image's root is {filesystem}, whose driver is declared as needed."
        return Claim("expected.root_fs_drivers", "FS-10", Shows.SHOWN, sentence)
    sentence = f"The image's root is {filesystem}, and expected.root_fs_drivers does not list it."
    remedy = f"List {filesystem} in expected.root_fs_drivers, so that no hardening ever disables it."
    return Claim("expected.root_fs_drivers", "FS-10", Shows.CONTRADICTED, sentence, declared, remedy)
