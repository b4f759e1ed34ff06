"""What is legal in a catalogue and still not good: for people who write controls of their own.

1. A finding of the lint never stops a catalogue from being used; what must stop it is refused when it is read.
2. Every finding has a code, names its control, and says what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from holdfast_core.baseline.control import Ask, Catalogue, Control, Fix
from holdfast_core.baseline.model import ControlId
from holdfast_core.baseline.probes import Inspection, Manifest, ProbeSpec, parts
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.reasons import Reason
from holdfast_core.kernel.severity import Severity

STEPS = 1_000
"""Characters of all steps together: they travel in a verdict's reasons."""

Asks = Callable[[ProbeSpec], bool]


def lint(catalogue: Catalogue, shipped: Catalogue, *, walks: Asks, mendable: Asks) -> tuple[Reason, ...]:
    """What to look at in the controls of `catalogue` that are not as in `shipped`.

    Args:
        catalogue: shipped and own controls together.
        shipped: the catalogue without people's own.
        walks: whether a probe looks at the whole tree.
        mendable: whether the change that meets a probe can be worked out.
    """
    known = {control.id: control for control in shipped.controls}
    found: list[Reason] = []
    for control in catalogue.controls:
        if known.get(control.id) != control:
            found += _words(control)
            found += _costs(control, walks)
            found += _fixes(control, mendable, own=control.id not in known)
            found += _unseen(control)
            found += _loosened(control, known.get(control.id))
    return tuple(found)


def _words(control: Control) -> Iterator[Reason]:
    sentences = (control.fault, control.rationale, *control.remedy.steps, *control.remedy.undo)
    for sentence in sentences:
        if not sentence[0].isupper() or sentence[-1] not in ".!?":
            yield _told(
                control.id,
                "sentence",
                f"{sentence[:60]!r} is not a sentence.",
                "Start with a capital, end with a full stop: it is read at night, between other sentences.",
            )
    if sum(map(len, control.remedy.steps)) > STEPS:
        yield _told(
            control.id,
            "long",
            f"Its steps have more than {STEPS} characters.",
            "Shorten them, and link to a page of your own: they travel with every verdict.",
        )
    if not any(getattr(control.mappings, name) for name in control.mappings.__struct_fields__):
        yield _told(control.id, "unmapped", "It is mapped to no other catalogue.", "Add the ids that ask for the same.")


def _costs(control: Control, walks: Asks) -> Iterator[Reason]:
    walking = control.probe is not None and any(map(walks, parts(control.probe)))
    if walking:
        yield _told(
            control.id,
            "walks",
            "Its probe looks at the whole tree, which no device does for a probe that came with its plan.",
            "Ask it of images (holdfast audit), or look at named files.",
        )
    if walking and not control.cost.heavy:
        yield _told(
            control.id,
            "cheap",
            "Its probe looks at the whole tree, yet its cost says that it is cheap.",
            "Set cost.heavy to true, so that batteries and flash are spared.",
        )


def _fixes(control: Control, mendable: Asks, *, own: bool) -> Iterator[Reason]:
    if control.remedy.fix is Fix.BY_HAND:
        return
    if own:
        yield _told(
            control.id,
            "own_mend",
            f"Its fix is {control.remedy.fix.value}, yet devices and holdfast harden mend shipped controls only.",
            "Set remedy.fix to by_hand: a person follows its steps.",
        )
    elif control.probe is None or not mendable(control.probe):
        yield _told(
            control.id,
            "no_mend",
            f"Its fix is {control.remedy.fix.value}, yet no change can be worked out for its probe.",
            "Set remedy.fix to by_hand.",
        )


def _unseen(control: Control) -> Iterator[Reason]:
    """A demand on microcontrollers that nobody can look at."""
    looks = control.probe is not None and not isinstance(control.probe, Inspection | Manifest)
    if looks and control.classes[DeviceClass.MCU].ask is Ask.REQUIRED:
        yield _told(
            control.id,
            "no_agent",
            "It is required of class mcu and looks at files, yet no agent runs there: it stays undecided.",
            "Ask class mcu for a fact of its build ({ask: manifest}), or say why it does not apply.",
        )


def _loosened(control: Control, before: Control | None) -> Iterator[Reason]:
    """An override that asks less of somebody."""
    if before is None:
        return
    if control.severity.rank > before.severity.rank:
        yield _told(
            control.id,
            "lowered",
            f"It was {before.severity.value} and is {control.severity.value} here.",
            "Say in review why; a waiver with an owner and an end is the other way.",
        )
    for device_class, demand in before.classes.items():
        asked = demand.ask in {Ask.REQUIRED, Ask.MANIFEST}
        if asked and control.classes[device_class].ask is Ask.NOT_APPLICABLE:
            weight = "an open door, " if before.severity is Severity.CRITICAL else ""
            yield _told(
                control.id,
                "unasked",
                f"It is {weight}no longer asked of class {device_class.value}.",
                "Say in review why; a compensation in the model file is the other way.",
            )


def _told(control: ControlId, code: str, sentence: str, remedy: str) -> Reason:
    return Reason(f"control.{code}.{control}", f"{control}: {sentence}", remedy)
